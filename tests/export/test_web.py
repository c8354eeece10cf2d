"""Export as a page: written whole or refused, and what it draws in Chromium is what Python draws."""

import json
import re
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

from helpers.browser import PAGE, STAND_IN, served
from helpers.command_line import ok, refused
from helpers.runs import start
from unnoise import pictures
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.export.onnx import onnx_model
from unnoise.export.web.export import export_web
from unnoise.export.web.runtime import runtime_files
from unnoise.runs.checkpoint import Progress, Run

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

CLASSES = ("a", "<b>", "</script>")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run with classes and random weights that draws with added noise, as most presets do."""
    changes = ("network.num_classes=3", "sampling.sampler=dpmpp_2m_sde")
    plain = start(tmp_path_factory.mktemp("runs") / "plain")
    data = replace(plain.config.data, classes=CLASSES, labels="auto", source="/home/me/photos")
    config = replace(plain.config, data=data, recipe=plain.config.recipe.changed(changes))
    opened = Run.create(plain.path.with_name("my digits"), config)
    made = opened.config.build()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.weights.average.network.parameters():
            parameter.normal_(std=0.2, generator=generator)
    opened.save(made, Progress(step=1))
    return opened.path


@pytest.fixture(scope="module")
def model(saved):
    """Its network, translated once, as that takes long."""
    jaxtyping.config.update("jaxtyping_disable", True)  # sizes are symbols meanwhile
    yield onnx_model(Run.open(saved))
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def _translated(model, monkeypatch, tmp_path):
    monkeypatch.setattr("unnoise.export.web.export.onnx_model", lambda _run, **_: model)
    monkeypatch.chdir(tmp_path)


def facts_of(html: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="run">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def test_a_folder_has_the_page_the_network_and_the_runtime(saved, model, capfd):
    ok("export", saved, "--to", "web", "--out", "page", "--runtime", STAND_IN)
    names = {file.name for file in Path("page").iterdir()}
    assert names == {file.name for folder in (PAGE, STAND_IN) for file in folder.iterdir()} | {"model.onnx"}
    assert Path("page/model.onnx").read_bytes() == model.content
    html = Path("page/index.html").read_text(encoding="utf-8")
    assert "{{" not in html
    assert "/home/me" not in html
    facts = facts_of(html)
    assert facts["classes"] == list(CLASSES)
    assert facts["title"] == "my digits"
    assert dict(facts["told"])["Learned from"] == "photos"
    assert [one["title"] for one in facts["samplers"]] == ["DPM-Solver++ 2M SDE", "DDIM", "DPM-Solver++ 2M"]
    assert set(facts["runtime"]) == {"wasm"}
    assert "python -m http.server" in " ".join(capfd.readouterr().err.split())


def test_the_size_that_is_told_is_that_of_the_page(saved, capfd):
    for out, more in (("page", ()), ("page.html", ("--single-file",))):
        ok("export", saved, "--to", "web", "--out", out, "--runtime", STAND_IN, *more)
        written = [file for file in (Path(out), *Path(out).glob("*")) if file.is_file()]
        size = sum(file.stat().st_size for file in written) / 1e6
        told = " ".join(capfd.readouterr().err.split())
        assert f"A page of {size:.1f} MB, its runtime included, with weights in float32. Drawn from" in told


def test_a_single_file_refers_to_nothing_else(saved):
    made = export_web(Run.open(saved), Path("page.html"), single_file=True, runtime=STAND_IN)
    assert [file.name for file in Path().iterdir()] == ["page.html"]
    html = made.path.read_text(encoding="utf-8")
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="(?!data:)', html)
    assert "http" not in re.sub(r'<script type="text/plain".*?</script>', "", html, flags=re.DOTALL).replace(
        "python -m http.server", ""
    ).replace("http-equiv", "")
    assert made.megabytes == pytest.approx(len(html.encode()) / 1e6)


def test_weights_of_a_build_for_gpus_are_taken_where_they_are_whole(saved):
    folder = Path("package/dist")
    folder.mkdir(parents=True)
    for file in STAND_IN.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "ort.webgpu.min.js").write_text('"./ort-wasm-simd-threaded.jsep.mjs"')
    with runtime_files(Path("package")) as found:
        assert found.webgpu is None
    for suffix in ("mjs", "wasm"):
        (folder / f"ort-wasm-simd-threaded.jsep.{suffix}").touch()
    with runtime_files(Path("package")) as found:
        assert found.webgpu.binary.name == "ort-wasm-simd-threaded.jsep.wasm"


def stand_in_npm(folder: Path, script: str) -> Path:
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    return folder


def test_without_a_folder_npm_gets_the_runtime(saved, tmp_path, monkeypatch):
    packed = tmp_path / "onnxruntime-web-1.0.0.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        for file in STAND_IN.iterdir():
            archive.add(file, f"package/dist/{file.name}")
    monkeypatch.setenv("PATH", f"{stand_in_npm(tmp_path / 'bin', f'cp {packed} .')}:/usr/bin:/bin")
    export_web(Run.open(saved), Path("page"))
    assert Path("page/ort.wasm.min.js").read_bytes() == (STAND_IN / "ort.wasm.min.js").read_bytes()


def files():
    return sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--out", "new", "--runtime", "nowhere"], "There is no folder nowhere"),
        (["--out", "new", "--runtime", "empty"], "empty is no copy of npm's package onnxruntime-web"),
        (["--out", "new", "--runtime", "half"], "half lacks ort-wasm-simd-threaded.wasm"),
        (["--out", "half", "--runtime", STAND_IN], "half is there already"),
        (["--out", "new", "--single-file", "--runtime", STAND_IN], "is not a name that ends in .html"),
        (["--out", "half", "--single-file"], "is not a name that ends in .html"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_left_behind(saved, capsys, words, sentence):
    for folder in ("empty", "half"):
        Path(folder).mkdir()
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs"):
        Path("half", name).write_bytes((STAND_IN / name).read_bytes())
    before = files()
    assert sentence in refused(capsys, "export", saved, "--to", "web", *words)
    assert files() == before


def test_a_missing_npm_is_told_with_both_remedies(saved, capsys, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    said = refused(capsys, "export", saved, "--to", "web", "--out", "new")
    assert "npm is not installed" in said
    assert "--runtime" in said
    assert files() == ["bin"]


def test_what_npm_says_is_told(saved, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(stand_in_npm(tmp_path / "bin", "echo no network >&2; exit 1")))
    said = refused(capsys, "export", saved, "--to", "web", "--out", "new")
    assert "npm cannot get onnxruntime-web (no network)" in said
    assert files() == ["bin", "bin/npm"]


def test_a_missing_package_is_told_with_its_extra(saved, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnx" else name)
    assert "pip install 'unnoise[export]'" in refused(capsys, "export", saved, "--to", "web", "--out", "new")
    assert not files()


def test_a_sampler_that_the_page_lacks_is_told(saved, capfd):
    opened = Run.open(saved)
    sampling = Sampling(sampler="unipc", num_steps=3)
    recipe = replace(opened.config.recipe, sampling=sampling)
    changed = replace(opened, config=replace(opened.config, recipe=recipe))
    (note,) = export_web(changed, Path("page"), runtime=STAND_IN).notes
    assert "instead of the run's own sampler, unipc" in note


def pixels(tab):
    """Grey levels of the sheet, (height, width)."""
    tab.wait_for_selector("body[data-morphed]", state="attached")
    code = """() => { const sheet = document.getElementById("sheet");
      return Array.from(sheet.getContext("2d").getImageData(0, 0, sheet.width, sheet.height).data); }"""
    return np.array(tab.evaluate(code)).reshape(8, 8, 4)[..., 0]


def test_the_page_draws_and_shows_every_step(saved, tab):
    export_web(Run.open(saved), Path("page"), runtime=STAND_IN)
    with served(Path("page")) as address:
        tab.goto(f"{address}#seed=7&count=1&steps=5&class=1")
        last = pixels(tab)
        assert {url.partition("?")[0].rpartition("/")[0] + "/" for url in tab.asked} <= {address, "data:/"}
        assert "One picture" in tab.inner_text("#status")
        assert tab.locator("#class option").all_inner_texts() == ["each in turn", *CLASSES, "none"]
        tab.locator("#step").fill("1")
        assert (pixels(tab) != last).any()
        assert "1 of 5" in tab.inner_text(".scrub")
        tab.locator("#shown").select_option("noisy")
        assert "shown=noisy" in tab.url
        with tab.expect_download() as download:
            tab.locator("#save").click()
        assert download.value.suggested_filename == "seed-7.png"


def test_every_control_has_a_name_and_the_page_fits_a_phone(saved, tab):
    export_web(Run.open(saved), Path("page.html"), single_file=True, runtime=STAND_IN)
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.goto(Path("page.html").absolute().as_uri())
    tab.wait_for_selector("body[data-morphed]", state="attached")
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    code = """() => [...document.querySelectorAll("input, select, button")].filter((one) =>
      !(one.labels?.length || one.ariaLabel || one.textContent.trim())).map((one) => one.id)"""
    assert tab.evaluate(code) == []


def test_inside_another_page_there_is_the_drawing_alone(saved, tab):
    export_web(Run.open(saved), Path("page.html"), single_file=True, runtime=STAND_IN)
    Path("outer.html").write_text(
        '<iframe src="page.html" width="700" height="500"></iframe>', encoding="utf-8"
    )
    tab.goto(Path("outer.html").absolute().as_uri())
    inner = tab.frame_locator("iframe")
    inner.locator("body[data-morphed]").wait_for(state="attached")
    assert inner.locator("#sheet").is_visible()
    assert inner.locator("#draw").is_visible()
    assert not any(inner.locator(name).is_visible() for name in ("header", "footer", "#between"))


def test_a_folder_opened_without_a_server_says_what_to_do(saved, tab):
    export_web(Run.open(saved), Path("page"), runtime=STAND_IN)
    tab.goto(Path("page/index.html").absolute().as_uri())
    tab.wait_for_function("document.getElementById('status').textContent.includes('http.server')")


@pytest.mark.slow
@pytest.mark.parametrize("single_file", [False, True])
def test_the_browser_draws_the_pictures_of_python(saved, web_runtime, tab, single_file):
    out = Path("page.html" if single_file else "page")
    made = export_web(Run.open(saved), out, single_file=single_file, runtime=web_runtime)
    denoiser, own = Run.open(saved).load(), Run.open(saved).config.recipe.sampling
    choice = "#seed=7&count=1&steps=10&sampler="  # 7 in turn of three classes is the second
    with served(Path()) as address:
        here = made.path.absolute().as_uri() if single_file else f"{address}page/"
        tab.goto(f"{here}{choice}0")
        for place, sampler in enumerate(("dpmpp_2m_sde", "ddim", "dpmpp_2m")):
            tab.wait_for_selector("body[data-morphed]", state="attached")
            tab.evaluate("(place) => { element('sampler').value = place; return draw(); }", place)
            sampling = replace(own, sampler=sampler, num_steps=10)
            images = denoiser.generate(1, seed=7, classes=torch.tensor([1]), sampling=sampling)
            wanted, found = pictures.to_uint8(images)[0, ..., 0].astype(int), pixels(tab).astype(int)
            assert np.abs(found - wanted).max() <= 2
            assert found.std() > 10
    assert [url for url in tab.asked if not url.startswith((here, "blob:", "data:"))] == []
