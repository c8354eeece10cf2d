"""Pages of reports: self-contained, escaped, with the numbers of the run's files."""

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from helpers.command_line import ok, refused
from helpers.evaluated_runs import EVALUATION, LEVELS, QUALITY, write
from helpers.pages import Seen, rows
from unnoise import __version__, reports
from unnoise.reports.curves import quality_chart
from unnoise.reports.page import Heading
from unnoise.runs.checkpoint import Run

NASTY = '<b>&"x"</b>'
ROOT = Path(__file__).parents[2]


def page_of(run: Path) -> str:
    return reports.render(reports.report(reports.RunFolder.read(run)))


def pages(run: Path, other: Path) -> list[str]:
    folders = [reports.RunFolder.read(run), reports.RunFolder.read(other)]
    drawn = [torch.rand(3, 1, 8, 8), torch.rand(3, 3, 12, 20)]
    return [reports.render(reports.compare(folders, drawn)), page_of(run)]


def test_pages_are_self_contained_and_well_formed(run):
    shutil.copytree(run, "other")
    write(run)
    for html in pages(run, Path("other")):
        seen = Seen(html)
        assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
        assert not seen.all("script")
        assert not seen.all("link")
        assert not seen.all("iframe")
        for _, attributes in seen.elements:
            for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
                assert (attributes.get(name) or "data:").startswith(("data:", "#"))
            assert not any(name.startswith("on") for name in attributes)
        assert "url(" not in html
        assert "@import" not in html
        assert "http" not in html
        assert "@media screen and (prefers-color-scheme: dark)" in html
        assert "color-scheme: light dark" in html
        assert all(picture["alt"] for picture in seen.all("img"))
        assert all(chart["role"] == "img" for chart in seen.all("svg"))
        assert len(seen.all("title")) == 1 + len(seen.all("svg"))
        links = {link["href"][1:] for link in seen.all("a")}
        assert links == {heading["id"] for heading in seen.all("h2")}
        ids = [attributes["id"] for _, attributes in seen.elements if "id" in attributes]
        assert len(set(ids)) == len(ids)


def test_the_light_and_the_dark_scheme_define_the_same_variables():
    css = (ROOT / "src/unnoise/reports/templates/page.css").read_text()
    light, dark = css.split("@media screen and (prefers-color-scheme: dark)")
    names = [{word for word in part.split() if word.startswith("--")} for part in (light, dark.split("* {")[0])]
    assert names[0] == names[1]
    assert {"--ink:", "--paper:", "--grid:", *(f"--series-{n}:" for n in range(1, 9))} <= names[0]


def test_the_templates_are_package_data():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (pattern,) = [
        each for each in project["tool"]["setuptools"]["package-data"]["unnoise"] if "reports" in each
    ]
    assert {path.name for path in (ROOT / "src/unnoise").glob(pattern)} == {"page.html", "page.css"}
    assert any(each.startswith("jinja2") for each in project["project"]["dependencies"])


def test_numbers_on_the_page_are_those_of_the_files(run):
    write(run)
    html = page_of(run)
    found = rows(html)
    assert ["KID-lite0 lower is better", "0.01172 0.0071 to 0.0163", "-0.0002"] in found
    assert ["recall higher is better", "0.713 0.680 to 0.745", "–"] in found
    assert ["total", "3.025", "0.0331"] in found
    assert ["prior", "0.000412", "–"] in found
    assert ["in features", "3.2 % 2.20 to 4.10 %", "0.507 0.480 to 0.530"] in found
    assert ["in pixels", "4.1 % 3.0 to 5.0 %", "0.512"] in found
    assert ["grey", "0.2911", "0.3053", "0.3402", "0.3768", "0.018"] in found
    for step, images, seconds, kid, _, _, copied, _, _ in QUALITY:
        (line,) = [row for row in found if row[:2] == [str(step), str(images)]]
        assert line[2:4] == [f"{seconds:.0f} s", f"{kid:.4g}"]
        assert line[5] == f"{100 * copied:.3g} %"
    seen = Seen(html)
    history = reports.RunFolder.read(run).history
    loss = [row.held_out_loss for row in history if row.held_out_loss is not None][-1]
    assert f"Held-out loss {loss:.4g}, measured once" in seen.text
    assert "KID-lite0 during training 0.0771 at its best, after 20 steps; 0.0912 at the end" in seen.text
    assert "which may be chance" in seen.text  # 0.0771 lies in 0.0745 to 0.1072
    assert "No sign of copying: 3 % of the samples." in seen.text
    assert "step 30" in seen.text
    assert f"{LEVELS[-1][2]:.4g}" in seen.text
    assert "samples 1,024 split held-out extractor lite0 resize to 64 x 64 eta 1" in seen.text
    assert "Not measured yet" not in seen.text
    tones = [item["class"] for item in seen.all("li")]
    assert tones == ["good", "plain", "plain", "good", "plain"]


def test_missing_measurements_are_named_with_the_command_that_makes_them(run):
    text = Seen(page_of(run)).text
    assert "Measure scores, bits/dim, copies, colours: unnoise evaluate mine" in text
    assert "loss at each noise level: unnoise train digits --out mine --resume --steps 6" in text
    titles = [
        part.text for part in reports.report(reports.RunFolder.read(run)).sections if isinstance(part, Heading)
    ]
    assert titles == ["Samples", "Training", "Not measured yet", "How it was trained"]
    for name in ("history.csv", "samples", "model.safetensors"):
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = Seen(page_of(run)).text
    assert "not trained yet" in text
    assert "Train longer to measure loss, samples, KID during training, loss at each noise level:" in text
    for part in EVALUATION:
        write(run, {part: EVALUATION[part]}, [], [])
        assert "unnoise evaluate mine" in Seen(page_of(run)).text
    sparse = {
        "quality": {"scores": [{"name": "FID", "value": 3.5}]},
        "memorisation": {},
        "colours": {"verdict": "!"},
    }
    write(run, sparse, [(1, 2, 3, -0.001, -0.002, 0.001, 0.0, 0.5, "learned")], [])
    assert ["FID lower is better", "3.5", "–"] in rows(page_of(run))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("evaluation.json", "{"),
        ("evaluation.json", "[1]"),
        ("evaluation.json", '{"quality": {"scores": [{"name": "KID", "value": "much"}]}}'),
        ("evaluation.json", '{"colours": [1, 2]}'),
        ("quality.csv", "step,images\n1,2\n"),
        ("quality.csv", "step,images,seconds,kid\n1,2,3,x\n"),
        ("noise_levels.csv", "step,log_snr,loss\n1,2\n"),
        ("history.csv", "step\nx\n"),
        ("evaluation/nearest.png", "not a picture"),
        ("evaluation/samples.png", ""),
    ],
)
def test_a_damaged_file_is_reported_in_one_sentence_and_no_page_is_written(run, capsys, name, text):
    write(run)
    (run / name).write_text(text)
    sentence = refused(capsys, "report", run)
    assert f"{run / name} is damaged" in sentence
    assert sentence.endswith(".")
    assert not (run / "report.html").exists()


def test_a_picture_outside_the_run_is_not_shown(run):
    Image.new("L", (40, 20)).save("secret.png")
    write(run, {"memorisation": {"verdict": "!", "picture": "../secret.png"}})
    assert "nearest training pictures" not in page_of(run)


def test_names_and_facts_of_a_run_are_escaped(run, tmp_path):
    config = Run.open(run).config
    data = replace(config.data, source=NASTY, classes=(NASTY, "b"))
    config = replace(config, data=data, preset="nano")
    other = tmp_path / NASTY.replace("/", "")
    shutil.copytree(run, other)
    Run(other, config).with_config(config)
    bad = json.loads(
        json.dumps(EVALUATION).replace("KID-lite0", NASTY.replace('"', "'")).replace("grey", "<i>")
    )
    bad["quality"]["facts"]["<script>alert(1)</script>"] = NASTY
    write(other, bad, [(*row[:-1], "<u>") for row in QUALITY])
    for html in pages(other, run):
        seen = Seen(html)
        assert not {"b", "i", "u", "script"} & {tag for tag, _ in seen.elements}
        assert '<b>&"x"<b>' in seen.text or '&"x"' in seen.text


def test_unnoise_report_writes_the_page_and_refuses_bad_paths(run, capsys):
    ok("report", run)
    assert capsys.readouterr().out == "report: mine/report.html\n"
    ok("report", run, "--out", "elsewhere/page.html")
    assert Path("elsewhere/page.html").read_text() == (run / "report.html").read_text()
    seen = Seen((run / "report.html").read_text())
    assert seen.text.startswith(
        "mine – unnoise mine digits, 8 × 8 pixels, grey; preset nano; 3 steps, 48 images"
    )
    assert seen.text.endswith(f"unnoise {__version__}")
    assert "There is no run at" in refused(capsys, "report", "nowhere")
    assert "an .html file" in refused(capsys, "report", run, "--out", "page.pdf")
    Path("file").write_text("")
    assert "Cannot write" in refused(capsys, "report", run, "--out", "file/page.html")


def test_samples_that_are_copies_are_never_ringed_as_the_best(run):
    def ringed(shares: tuple[float, ...]) -> tuple[float, float]:
        quality = [(n, 64 * n, n, 3.0 - n, 0, 3, share, 0.5, "lite0") for n, share in enumerate(shares)]
        write(run, quality=quality)
        (line,) = quality_chart(reports.RunFolder.read(run)).plots[0].lines
        return line.ringed

    assert ringed((0.0, 0.0, 0.0)) == (128, 1.0)
    assert ringed((0.0, 0.0, 0.5)) == (64, 2.0)
    assert ringed((0.5, 0.5, 0.5)) == (128, 1.0)
