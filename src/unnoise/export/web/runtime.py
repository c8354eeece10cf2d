"""The files of onnxruntime-web that a page needs: from a folder, or from npm."""

import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from unnoise.utils.errors import UnnoiseError, require

_PACKAGE = "onnxruntime-web"
_PLACES = (".", "dist", f"{_PACKAGE}/dist", f"node_modules/{_PACKAGE}/dist", "package/dist")
"""Where the files may be below a folder."""
_SCRIPTS = {"wasm": "ort.wasm.min.js", "webgpu": "ort.webgpu.min.js"}
_MODULE = re.compile(rb"ort-wasm-simd-threaded(?:\.\w+)?\.mjs")
_SECONDS = 300


class Build(NamedTuple):
    """Files of a build of onnxruntime-web: its script, and the module and WebAssembly that it loads."""

    script: Path
    module: Path
    binary: Path


class Runtime(NamedTuple):
    """Builds of onnxruntime-web: for one thread of the CPU, and for WebGPU where the package has it."""

    wasm: Build
    webgpu: Build | None


@contextmanager
def runtime_files(folder: Path | None) -> Iterator[Runtime]:
    """The runtime in a folder, or without one that of npm's package, which is there until the end of the block.

    Args:
        folder: of npm's package onnxruntime-web, of its `dist`, or of a project with it in `node_modules`.

    Raises:
        UnnoiseError: for a folder without these files, a missing npm, or one that cannot get the package.
    """
    if folder is not None:
        yield _found(folder)
        return
    with tempfile.TemporaryDirectory() as place:
        _download(Path(place))
        yield _found(Path(place))


def _found(folder: Path) -> Runtime:
    require(folder.is_dir(), f"There is no folder {folder} with {_PACKAGE}: choose another with --runtime.")
    for place in _PLACES:
        script = folder / place / _SCRIPTS["wasm"]
        if script.is_file():
            wasm, webgpu = _build(script), _build(script.with_name(_SCRIPTS["webgpu"]))
            lacking = [file.name for file in (wasm or ())[1:] if not file.is_file()]
            if wasm is None or lacking:
                what = " and ".join(lacking) or f"the module of {script.name}"
                raise UnnoiseError(
                    f"{script.parent} lacks {what}: choose a whole copy of npm's package {_PACKAGE} with "
                    "--runtime."
                )
            whole = webgpu is not None and all(file.is_file() for file in webgpu)
            return Runtime(wasm, webgpu if whole else None)
    raise UnnoiseError(
        f"{folder} is no copy of npm's package {_PACKAGE}: {_SCRIPTS['wasm']} is not there, nor in dist. "
        "Choose another folder with --runtime, or leave it out where npm is installed."
    )


def _build(script: Path) -> Build | None:
    """The build of a script, which names its module; the names differ from version to version."""
    named = _MODULE.search(script.read_bytes()) if script.is_file() else None
    if named is None:
        return None
    module = script.with_name(named.group().decode())
    return Build(script, module, module.with_suffix(".wasm"))


def _download(place: Path) -> None:
    """Gets npm's package and unpacks its scripts."""
    npm = shutil.which("npm")
    if npm is None:
        raise UnnoiseError(
            f"The page needs {_PACKAGE}, which npm would get, but npm is not installed: install it, or name a "
            f"folder with the package by --runtime."
        )
    command = [npm, "pack", f"{_PACKAGE}@1", "--prefer-offline", "--silent", "--pack-destination", str(place)]
    try:
        subprocess.run(command, cwd=place, capture_output=True, check=True, timeout=_SECONDS, text=True)  # noqa: S603
        (packed,) = place.glob("*.tgz")
        with tarfile.open(packed) as archive:
            for member in _needed(archive):
                _unpack(archive, member, place)
    except (OSError, ValueError, subprocess.SubprocessError, tarfile.TarError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines() or ["no reason is given"]
        raise UnnoiseError(
            f"npm cannot get {_PACKAGE} ({said[0]}). Go online, or name a folder with the package by --runtime."
        ) from error


def _needed(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    names = re.compile(rf"package/dist/({'|'.join(_SCRIPTS.values())}|ort-wasm-simd-threaded.*\.(mjs|wasm))")
    return [member for member in archive if member.isfile() and names.fullmatch(member.name)]


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """Writes one file. Early versions of Python 3.11 have no safe `extractall`."""
    source, target = archive.extractfile(member), place / member.name
    assert source is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read())
