"""`python -m fuzz [TARGET ...] --seconds 60`: runs fuzz targets under Atheris (libFuzzer for Python).

The target `all` runs all of them by turns. After a crash the exit code is 1, and the bytes that caused it are
kept in the folder that the output names.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

MAX_MEGABYTES = 3000
MAX_SECONDS_PER_INPUT = 30
"""More memory or time than this counts as a crash."""


def main() -> int:
    """Runs each target in a process of its own, because libFuzzer ends its process."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, help="as many inputs instead, however long each of them takes")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        return _fuzz(given.one, given.seconds, given.runs)
    from fuzz.targets import TARGETS

    known = [*TARGETS, "all"]
    for name in given.targets:
        if name not in known:
            parser.error(f"there is no target {name!r}: choose from {', '.join(known)}")
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
    """Fuzzes one target; does not return, because libFuzzer ends the process."""
    import atheris

    # Instrumented modules show libFuzzer which mutations reach new code.
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
    # With a number of inputs none has a time limit, however busy the machine is (0 would mean one second).
    timed = [f"-max_total_time={seconds}", f"-timeout={MAX_SECONDS_PER_INPUT}"]
    amount = timed if runs is None else [f"-runs={runs}", "-timeout=1000000"]
    limits = [f"-rss_limit_mb={MAX_MEGABYTES}", *amount]
    options = "-seed=1", "-max_len=4096", "-print_final_stats=1", "-verbosity=0"
    atheris.Setup([sys.argv[0], *limits, *options, f"-artifact_prefix={folder}/", str(corpus)], target.read)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
