"""Export of a run as a page that draws in the browser: a folder, or a single HTML file."""

import base64
import gzip
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jinja2

from unnoise import __version__
from unnoise.export.onnx import onnx_model, require_packages
from unnoise.export.onnx_denoise import Difference
from unnoise.export.onnx_weights import WeightType
from unnoise.export.web.facts import notes_on, page_facts
from unnoise.export.web.runtime import Runtime, runtime_files
from unnoise.pictures.pixels import CHANNELS
from unnoise.runs.checkpoint import Run
from unnoise.utils.errors import require
from unnoise.utils.files import atomic_folder, atomic_write, check_writable, require_new_folder, require_suffix

_SOURCE = Path(__file__).parent / "page"
_MODEL = "model.onnx"
_SCRIPT = re.compile(r'<script src="([^"]+)"></script>')
_STYLE = '<link rel="stylesheet" href="style.css">'


class WebExport(NamedTuple):
    """What was exported.

    Args:
        path: the folder, or the single file.
        megabytes: size of all files, the runtime included.
        difference: of the network's pictures from PyTorch's, from the same noises.
        notes: what the page draws otherwise than the run.
    """

    path: Path
    megabytes: float
    difference: Difference
    notes: tuple[str, ...]


def check_web(run: Run, out: Path, *, single_file: bool = False) -> None:
    """Checks before long work that a page of this run can be made and written.

    Raises:
        UnnoiseError: for a missing package, pictures that no screen shows, a folder that is there already, a
            single file that does not end in .html, or a place that can't be written.
    """
    channels = run.config.data.channels
    require(
        channels in CHANNELS,
        f"A page shows pictures of 1 to 4 channels, but those of {run.path} have {channels}. Export to onnx.",
    )
    if single_file:
        require_suffix(out, ".html")
    else:
        require_new_folder(out)
    require_packages()
    check_writable(out if single_file else out / _MODEL)


def export_web(
    run: Run,
    out: Path,
    *,
    single_file: bool = False,
    runtime: Path | None = None,
    weights: WeightType = "float32",
    progress: Callable[[float, str], None] = lambda _fraction, _phase: None,
) -> WebExport:
    """Writes a page that draws with a run's averaged network in the browser, whole or not at all.

    The page draws the same pictures as `unnoise generate` from the same seeds, offline. Its files are served
    from their folder (`python -m http.server`); a single file has everything inside and opens without a server,
    but only computes on the CPU.

    Args:
        run: with saved weights.
        out: a new folder, or with `single_file` an .html file.
        single_file: everything in one file.
        runtime: a folder with npm's package onnxruntime-web; None gets it by npm.
        weights: how the weights are stored; see `onnx_weights`.
        progress: called with the fraction that is done, and what is being done.

    Raises:
        UnnoiseError: see `check_web`, `runtime_files` and `onnx_model`.
    """
    check_web(run, out, single_file=single_file)
    progress(0.0, "getting the runtime")
    with runtime_files(runtime) as found, TemporaryDirectory() as place:
        made = onnx_model(run, weights=weights, progress=progress)
        model = Path(place) / _MODEL
        model.write_bytes(made.content)
        found = found._replace(webgpu=None) if single_file else found
        facts = page_facts(run, made.metadata, found)
        files = {_MODEL: model, **_runtime_files(found)}
        if single_file:
            with atomic_write(out) as file:
                file.write_text(_single_page(facts, files), encoding="utf-8")
        else:
            with atomic_folder(out) as folder:
                _write_folder(folder, facts, files)
    written = [out] if single_file else list(out.iterdir())
    megabytes = sum(file.stat().st_size for file in written) / 1e6
    return WebExport(out, megabytes, made.difference, notes_on(run.config))


def _runtime_files(runtime: Runtime) -> dict[str, Path]:
    return {file.name: file for build in runtime if build is not None for file in build}


def _page(facts: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((_SOURCE / "index.html").read_text(encoding="utf-8"))
    return template.render(title=facts["title"], version=__version__, facts=facts)


def _write_folder(folder: Path, facts: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    for source in _SOURCE.iterdir():
        if source.suffix in (".js", ".css"):
            shutil.copyfile(source, folder / source.name)
    for name, source in files.items():
        shutil.copyfile(source, folder / name)
    (folder / "index.html").write_text(_page(facts), encoding="utf-8")


def _single_page(facts: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """The page with its style and scripts, and the other files compressed, in base64."""

    def inlined(found: re.Match[str]) -> str:
        return f"<script>\n{(_SOURCE / found.group(1)).read_text(encoding='utf-8')}</script>"

    style = f"<style>\n{(_SOURCE / 'style.css').read_text(encoding='utf-8')}</style>"
    page = _SCRIPT.sub(inlined, _page(facts).replace(_STYLE, style))
    packed = "".join(
        f'<script type="text/plain" id="file:{name}">{_packed(file)}</script>\n' for name, file in files.items()
    )
    return page.replace('<script type="application/json"', packed + '<script type="application/json"', 1)


def _packed(file: Path) -> str:
    return base64.b64encode(gzip.compress(file.read_bytes(), mtime=0)).decode()
