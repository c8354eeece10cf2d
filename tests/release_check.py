"""Release check: builds the sdist and the wheel into dist/, and tries the wheel in a fresh environment.

`make release-check` runs it. The wheel is installed and used outside the repository, as a newcomer does.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
CONSTRAINTS = ROOT / "constraints.txt"
SDIST_KINDS = {
    "",
    ".cfg",
    ".css",
    ".html",
    ".in",
    ".js",
    ".json",
    ".md",
    ".py",
    ".svg",
    ".toml",
    ".txt",
    ".typed",
}
"""Suffixes of text: whatever else is in an sdist is data."""
LARGEST_FILE = 100_000
"""Bytes of one file of the sdist; the largest module has a seventh of it."""
COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("info digits", ()),
    ("train digits --out run --minutes 0.1 --device cpu", ("run/model.safetensors", "run/loss.png")),
    ("generate run --num-images 9 --num-steps 8 --device cpu --out drawn.png", ("drawn.png",)),
    ("morph run --frames 8 --num-steps 8 --device cpu --out morph.gif", ("morph.gif",)),
    ("report run", ("run/report.html",)),
    (
        "demo --out demo --minutes 0.1 --device cpu",
        ("demo/digits.png", "demo/reverse.png", "demo/reverse.gif", "demo/morph.gif"),
    ),
)
"""What the installed wheel is asked to do, and the files that must then be there."""


class CheckError(Exception):
    """What is wrong with the release, in one sentence."""


def call(*words: str | Path, folder: Path = ROOT) -> str:
    """Runs a program without the repository on its path; returns what it printed.

    Raises:
        CheckError: with its output, when it failed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["UNNOISE_CACHE"] = str(folder / "cache")
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CheckError(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def version() -> str:
    """`unnoise.__version__` of the repository."""
    sys.path.insert(0, str(ROOT / "src"))
    import unnoise

    return unnoise.__version__


def build() -> tuple[Path, Path]:
    """Builds the sdist, and the wheel from it, into an empty dist/; returns both."""
    shutil.rmtree(DIST, ignore_errors=True)
    call(sys.executable, "-m", "build", "--outdir", DIST, ROOT)
    names = [f"unnoise-{version()}.tar.gz", f"unnoise-{version()}-py3-none-any.whl"]
    found = sorted(path.name for path in DIST.iterdir())
    if found != sorted(names):
        raise CheckError(f"dist/ must hold {' and '.join(names)}, but holds {', '.join(found)}.")
    return DIST / names[0], DIST / names[1]


def tracked(folder: str) -> set[str]:
    """Files of a folder that git knows, with paths from the root."""
    listed = call("git", "-C", ROOT, "ls-files", "-z", folder)
    return {name for name in listed.split("\0") if name}


def check_wheel(wheel: Path) -> str:
    """The wheel holds every file of src/unnoise, package data too, and nothing else but its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if not PurePosixPath(name).parts[0].endswith(".dist-info")}
    expected = {name.removeprefix("src/") for name in tracked("src")}
    if files != expected:
        missing, unexpected = sorted(expected - files), sorted(files - expected)
        raise CheckError(f"{wheel.name} lacks {missing or 'nothing'}; it must not hold {unexpected or 'more'}.")
    data = sum(not name.endswith(".py") for name in files)
    return f"{len(files)} files, {data} of them package data, {wheel.stat().st_size / 1e3:.0f} kB"


def check_sdist(sdist: Path) -> str:
    """The sdist holds the sources and the licence, and no data, no large file, and nothing from elsewhere."""
    with tarfile.open(sdist) as archive:
        members = [member for member in archive.getmembers() if not member.isdir()]
    top = sdist.name.removesuffix(".tar.gz")
    names = {member.name.removeprefix(f"{top}/") for member in members}
    for member in members:
        path = PurePosixPath(member.name)
        if not member.isreg() or path.parts[0] != top or ".." in path.parts:
            raise CheckError(f"{sdist.name} holds {member.name}, which is no plain file below {top}/.")
        if path.suffix not in SDIST_KINDS or member.size > LARGEST_FILE:
            raise CheckError(f"{sdist.name} holds {member.name} of {member.size:,} bytes: data, or too large.")
    missing = sorted((tracked("src") | {"LICENSE", "README.md", "pyproject.toml"}) - names)
    if missing:
        raise CheckError(f"{sdist.name} lacks {', '.join(missing)}.")
    return f"{len(members)} files, {sdist.stat().st_size / 1e3:.0f} kB"


def install(wheel: Path, folder: Path) -> Path:
    """Installs the wheel and its digits into a fresh environment; returns the folder of its programs."""
    environment = folder / "environment"
    venv.create(environment, with_pip=True)
    programs = environment / ("Scripts" if sys.platform == "win32" else "bin")
    pip = (programs / "python", "-m", "pip")
    quiet = ("--quiet", "--disable-pip-version-check", "--constraint", CONSTRAINTS)
    call(*pip, "install", *quiet, "torch", folder=folder)  # alone and first, as in the Makefile
    call(*pip, "install", *quiet, f"{wheel}[digits]", folder=folder)
    call(*pip, "check", folder=folder)
    return programs


def try_out(programs: Path, folder: Path) -> None:
    """Runs the installed commands in an empty folder, and looks for the files that they write.

    Raises:
        CheckError: for another version, another place of the package, a command that fails, a missing file.
    """
    place = call(programs / "python", "-c", "import unnoise; print(unnoise.__file__)", folder=folder).strip()
    if not Path(place).is_relative_to(folder):
        raise CheckError(f"unnoise was imported from {place}, and not from the fresh environment.")
    said = call(programs / "unnoise", "--version", folder=folder).strip()
    if said != f"unnoise {version()}":
        raise CheckError(f"unnoise --version says {said!r}, but the repository is {version()}.")
    for command, files in COMMANDS:
        with timed(f"unnoise {command}"):
            call(programs / "unnoise", *command.split(), folder=folder)
        missing = [name for name in files if not (folder / name).is_file()]
        if missing:
            raise CheckError(f"unnoise {command} wrote no {', '.join(missing)}.")


@contextmanager
def timed(name: str) -> Iterator[list[str]]:
    """Prints the seconds and the name of what is done inside, with the facts that it adds to the list."""
    start = time.perf_counter()
    facts: list[str] = []
    yield facts
    print(f"{time.perf_counter() - start:6.1f} s  {': '.join((name, *facts))}", flush=True)  # noqa: T201


def main() -> None:
    """Builds, checks, installs and tries out; says at the end what was done."""
    start = time.perf_counter()
    with timed("built the sdist, and the wheel from it"):
        sdist, wheel = build()
    with timed("twine check --strict"):
        call(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    with timed(wheel.name) as facts:
        facts.append(check_wheel(wheel))
    with timed(sdist.name) as facts:
        facts.append(check_sdist(sdist))
    with tempfile.TemporaryDirectory(prefix="unnoise-release-") as temporary:
        folder = Path(temporary).resolve()
        with timed("installed the wheel with [digits] into a fresh environment"):
            programs = install(wheel, folder)
        try_out(programs, folder)
    seconds = time.perf_counter() - start
    print(f"Built and checked {sdist.name} and {wheel.name} in dist/ in {seconds:.0f} seconds.")  # noqa: T201


if __name__ == "__main__":
    try:
        main()
    except CheckError as error:
        sys.exit(f"Not ready for a release: {error}")
