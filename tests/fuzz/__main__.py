"""Targets under atheris, libFuzzer for Python, each for so long: `python -m fuzz [TARGET ...] --seconds 60`.

The target `all` is every one of them by turns.
A crash ends it with 1 and the traceback, after the bytes that cause it were kept in the folder that it names.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

MEGABYTES = 3000
"""More than this, or more than 30 seconds for one input, is a crash as well."""
LONGEST = 30


def main() -> int:
    """Each target in a process of its own, as libFuzzer ends its process."""
    asked = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    asked.add_argument("targets", nargs="*", metavar="TARGET")
    asked.add_argument("--seconds", type=int, default=60)
    asked.add_argument("--runs", type=int, help="as many inputs instead, however long each of them takes")
    asked.add_argument("--one", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.one:
        return _fuzz(given.one, given.seconds, given.runs)
    from fuzz.targets import TARGETS

    known = [*TARGETS, "all"]
    for name in given.targets:
        if name not in known:
            asked.error(f"there is no target {name!r}: choose from {', '.join(known)}")
    for name in given.targets or TARGETS:
        amount = ["--seconds", str(given.seconds)] if given.runs is None else ["--runs", str(given.runs)]
        print(
            f"fuzz {name} for {given.runs or given.seconds} {'s' if given.runs is None else 'inputs'}",
            flush=True,
        )
        own = [sys.executable, "-m", "fuzz", "--one", name, *amount]
        if subprocess.run(own, check=False).returncode:
            return 1
    return 0


def _fuzz(name: str, seconds: int, runs: int | None) -> int:
    """Never returns where all goes well: libFuzzer ends the process with 0."""
    import atheris

    # What decides on bytes is instrumented, so that libFuzzer sees which of its edits lead further.
    with atheris.instrument_imports(include=["unnoise.data", "unnoise.utils", "PIL"]):
        import PIL.BmpImagePlugin
        import PIL.GifImagePlugin
        import PIL.JpegImagePlugin
        import PIL.PngImagePlugin
        import PIL.TiffImagePlugin
        import PIL.WebPImagePlugin  # noqa: F401

        from fuzz.targets import ALL, TARGETS
    target = {**TARGETS, "all": ALL}[name]
    folder = Path(tempfile.mkdtemp(prefix=f"unnoise-fuzz-{name}-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(target.seeds()):
        (corpus / f"{number:02d}").write_bytes(data)
    timed = [f"-max_total_time={seconds}", f"-timeout={LONGEST}"]
    limits = f"-rss_limit_mb={MEGABYTES}", *(timed if runs is None else [f"-runs={runs}", "-timeout=0"])
    options = "-seed=1", "-max_len=4096", "-print_final_stats=1", "-verbosity=0"
    atheris.Setup([sys.argv[0], *limits, *options, f"-artifact_prefix={folder}/", str(corpus)], target.read)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
