"""Report and comparison pages: self-contained, escaped, with the numbers of the run's files."""

import csv
import json
import shlex
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.oracles import last
from helpers.pages import Seen, rows
from helpers.runs import digits, start
from unnoise import __version__, reports
from unnoise.cli import run as command_line
from unnoise.reports.comparability import why_not_compare_losses, why_not_compare_scores
from unnoise.reports.curves import quality_chart
from unnoise.reports.page import Code, Heading, Text
from unnoise.reports.settings import changed_settings, differences, shortened, train_command
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget, RunConfig
from unnoise.runs.plan import Wishes, plan
from unnoise.training.loop import train
from unnoise.utils.errors import UnnoiseError

NASTY = '<b>&"x"</b>'
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 3)
    last(train(made, digits()))
    return made.path


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "mine")
    return Path("mine")


def ok(*arguments: object) -> None:
    assert command_line([str(argument) for argument in arguments]) == 0


def refused(capsys, *arguments: object) -> str:
    capsys.readouterr()
    assert command_line([str(argument) for argument in arguments]) == 2
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unnoise: ")]
    return sentence


QUALITY = [
    (10, 160, 5.5, 0.4321, 0.4011, 0.4655, 0.0123, 0.48, "lite0"),
    (20, 320, 11.0, 0.0771, 0.0605, 0.0912, 0.0234, 0.49, "lite0"),
    (30, 480, 16.5, 0.0912, 0.0745, 0.1072, 0.0345, 0.51, "lite0"),
]
LEVELS = [(step, snr, 0.3 + 0.01 * snr + 1 / step) for step in (10, 30) for snr in (-4.0, 0.0, 4.0)]
EVALUATION = {
    "bits_per_dim": {
        "source": "digits",
        "num_images": 89,
        "total": {"mean": 3.0246, "standard_error": 0.0331},
        "prior": {"mean": 0.000412, "standard_error": None},
    },
    "quality": {
        "step": 30,
        "facts": {
            "samples": 1024,
            "split": "held-out",
            "extractor": "lite0",
            "resize": "to 64 x 64",
            "eta": 1.0,
        },
        "scores": [
            {
                "name": "KID-lite0",
                "value": 0.01172,
                "low": 0.0071,
                "high": 0.0163,
                "better": "lower",
                "real": -2e-4,
            },
            {"name": "recall", "value": 0.713, "low": 0.68, "high": 0.745, "better": "higher", "real": None},
        ],
        "warnings": ["Fewer than 50,000 pictures."],
    },
    "memorisation": {
        "verdict": "No sign of copying: 3 % of the samples.",
        "copied": {"value": 0.032, "low": 0.022, "high": 0.041},
        "index": {"value": 0.507, "low": 0.48, "high": 0.53},
        "pixels": {"copied": {"value": 0.041, "low": 0.03, "high": 0.05}, "index": {"value": 0.512}},
        "picture": "evaluation/nearest.png",
    },
    "colours": {
        "verdict": "Samples are darker than the data.",
        "channels": [
            {
                "name": "grey",
                "mean": 0.2911,
                "std": 0.3402,
                "data_mean": 0.3053,
                "data_std": 0.3768,
                "distance": 0.018,
            }
        ],
    },
}


def write(run: Path, evaluation=EVALUATION, quality=QUALITY, levels=LEVELS) -> None:
    """Writes every file that a run's folder may hold besides those of training."""
    tables = {
        "quality.csv": ("step,images,seconds,kid,low,high,copied,nearer,extractor", quality),
        "noise_levels.csv": ("step,log_snr,loss", levels),
    }
    for name, (titles, lines) in tables.items():
        with (run / name).open("w", newline="") as file:
            csv.writer(file).writerows([titles.split(","), *lines])
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    (run / "evaluation").mkdir(exist_ok=True)
    for name in ("samples", "nearest"):
        Image.new("L", (40, 20), 128).save(run / "evaluation" / f"{name}.png")


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


# --- settings and their differences ---------------------------------------------------------------------------


def config(*changes: str, **wishes: object) -> RunConfig:
    return plan(digits(), Wishes(changes=changes or None, **wishes))


def test_the_command_of_a_report_makes_the_same_config(capsys):
    wishes = {
        "preset": "keras-ddim",
        "size": (16, 16),
        "batch_size": 7,
        "seed": 4,
        "precision": "bfloat16",
        "fit": "pad",
        "background": (1, 2, 255),
        "flip": True,
        "held_out": 11,
        "budget": Budget(unit="images", amount=123456789.0),
    }
    changes = [
        "objective.loss=l2",
        "network.widths=[8, 16, 16, 16]",
        'schedule={"kind": "Cosine"}',
        "offset_noise=0.125",
    ]
    from unnoise.data import load

    images = load("digits", size=(16, 16), fit="pad", background=(1, 2, 255))
    wanted = plan(images, Wishes(changes=tuple(changes), **wishes))
    assert {change.partition("=")[0] for change in changed_settings(wanted)} == {
        *("objective.loss", "network.widths", "schedule", "offset_noise")
    }
    words = shlex.split(train_command(wanted).replace("\\\n", " "))
    assert words[:3] == ["unnoise", "train", "digits"]
    capsys.readouterr()
    ok(*words[1:], "--dry-run")
    assert json.loads(capsys.readouterr().out) == json.loads(wanted.to_json())
    assert max(map(len, train_command(config()).splitlines())) < 50
    assert changed_settings(config()) == []
    unknown = replace(wanted, preset="of tomorrow")
    assert "--set" not in train_command(unknown)


def test_differences_hold_only_the_settings_that_differ():
    first, second = config(), config("objective.loss=huber", 'noise_levels={"kind": "UniformTimes"}', seed=3)
    unlike = differences([first, second, first])
    assert unlike["recipe.objective.loss"] == ["l2", "huber", "l2"]
    assert unlike["seed"] == ["0", "3", "0"]
    assert unlike["recipe.noise_levels.kind"] == ["LogNormal", "UniformTimes", "LogNormal"]
    assert unlike["recipe.noise_levels.std"][1] is None
    assert all(
        path.startswith(("recipe.noise_levels", "recipe.objective.loss", "seed", "normalizer"))
        for path in unlike
    )
    assert differences([first, first]) == {}
    assert shortened(["[0.30971280802279927, 300.0]", None, "ab" * 16]) == ["[0.309713, 300]", None, "abababab"]
    assert shortened(["0.12345678", "0.12345679"]) == ["0.12345678", "0.12345679"]
    assert shortened(["0.1.2", "v1"]) == ["0.1.2", "v1"]


def folder(name: str, facts: dict, config: RunConfig) -> reports.RunFolder:
    evaluation = json.loads(json.dumps(EVALUATION))
    evaluation["quality"]["facts"] |= facts
    path = Path(name)
    Run.create(path, config)
    write(path, evaluation)
    return reports.RunFolder.read(path)


def test_scores_are_compared_only_where_all_else_was_the_same():
    first = folder("a", {}, config())
    assert why_not_compare_scores([first, folder("b", {"steps": 10}, config())]) == ""
    cases = {
        "c": ({"extractor": "learned"}, "extractor (lite0, learned)"),
        "d": ({"split": "all"}, "split (held-out, all)"),
        "e": ({"samples": 50}, "number of samples (1,024, 50)"),
        "f": ({"resize": "to 299 x 299"}, "resize (to 64 x 64, to 299 x 299)"),
        "g": ({"fingerprint": "other"}, "real pictures"),
    }
    for name, (facts, reason) in cases.items():
        sentence = why_not_compare_scores([first, folder(name, facts, config())])
        assert sentence == f"The scores can't be compared: they differ in {reason}."
    other = replace(config(), data=replace(config().data, fingerprint="0"))
    assert "real pictures" in why_not_compare_scores([first, folder("h", {}, other)])
    both = folder("i", {"split": "all", "samples": 50}, config())
    cells = {row.name: [cell.best for cell in row.cells] for row in reports.comparison_rows([first, both])}
    assert cells["KID-lite0"] == [False, False]
    worse = [{"name": "KID-lite0", "value": 0.5}, {"name": "recall", "value": 0.9, "better": "higher"}]
    write(Path("b"), {**EVALUATION, "quality": {**EVALUATION["quality"], "scores": worse}})
    cells = {
        row.name: [cell.best for cell in row.cells]
        for row in reports.comparison_rows([first, reports.RunFolder.read(Path("b"))])
    }
    assert (cells["KID-lite0"], cells["recall"]) == ([True, False], [False, True])
    near = [{"name": "KID-lite0", "value": 0.02, "low": 0.0162, "high": 0.03}]
    write(Path("b"), {**EVALUATION, "quality": {**EVALUATION["quality"], "scores": near}})
    (kid,) = [
        row
        for row in reports.comparison_rows([first, reports.RunFolder.read(Path("b"))])
        if row.name == "KID-lite0"
    ]
    assert not any(cell.best for cell in kid.cells)  # 0.0071 to 0.0163 meets 0.0162 to 0.03


def test_losses_are_compared_only_under_the_same_loss():
    first = folder("a", {}, config())
    assert why_not_compare_losses([first, folder("b", {}, config("network.widths=[8, 16]"))]) == ""
    assert "recipe.objective.loss" in why_not_compare_losses(
        [first, folder("c", {}, config("objective.loss=l1"))]
    )
    assert "other pictures" in why_not_compare_losses([first, folder("d", {}, replace(config(), seed=3))])


# --- the command line ----------------------------------------------------------------------------------------


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


def test_unnoise_compare_prints_the_numbers_of_its_page(run, capsys):
    colour = np.random.default_rng(0).integers(0, 256, (50, 12, 20, 3), dtype=np.uint8)
    np.save("colour.npy", colour)
    from unnoise.data import load

    images = load("colour.npy")
    changes = ("network.widths=[8, 8, 8]", "network.block_depth=1", "sampling.num_steps=3", "ema.profiles=[]")
    wishes = Wishes(batch_size=4, changes=changes, budget=Budget(unit="steps", amount=2.0))
    made = Run.create(Path("colourful"), plan(images, wishes))
    last(train(made, images))
    write(run)
    capsys.readouterr()
    ok("compare", run, "colourful", "--seeds", 3, "--num-steps", 2, "--device", "cpu")
    printed = capsys.readouterr()
    assert "comparison: compare.html" in printed.out
    assert "held-out losses can't be compared" in " ".join(printed.err.split())
    html = Path("compare.html").read_text()
    found, seen = rows(html), Seen(html)
    assert ["images seen", "48", "8"] in found
    assert "images seen 48 8" in " ".join(printed.out.split())
    parameters = [f"{reports.RunFolder.read(Path(path)).parameters:,}" for path in (run, "colourful")]
    assert ["parameters", *parameters] in found
    assert ["KID-lite0", "0.01172 0.0071 to 0.0163", "–"] in found
    assert ["data.channels", "1", "3"] in found
    assert ["", "seed 0", "seed 1", "seed 2"] in found
    tiles = [(int(tile["width"]), int(tile["height"])) for tile in seen.all("img")]
    assert len(tiles) == 6
    assert {round(width / height, 4) for width, height in tiles[:3]} == {1.0}
    assert {round(width / height, 4) for width, height in tiles[3:]} == {round(20 / 12, 4)}
    assert "colourful has no scores yet: unnoise evaluate colourful" in seen.text


def test_the_pictures_of_a_comparison_are_those_of_generate(run):
    ok("generate", run, "--num-images", 2, "--num-steps", 2, "--out", "two.npz")
    with np.load("two.npz") as archive:
        wanted = archive["images"]
    drawn = reports.sample_seeds(reports.RunFolder.read(run), 2, 2, "cpu")
    assert ((drawn.permute(0, 2, 3, 1).numpy() * 255).round() == wanted).all()
    with pytest.raises(UnnoiseError, match="at least 1 seed"):
        reports.sample_seeds(reports.RunFolder.read(run), 0, None, "cpu")


def test_unnoise_compare_refuses_bad_arguments_in_one_sentence(run, capsys):
    assert "at least 2 runs, but got 1" in refused(capsys, "compare", run)
    assert "There is no run at nowhere" in refused(capsys, "compare", run, "nowhere")
    assert "at least 1 seed" in refused(capsys, "compare", run, run, "--seeds", 0)
    assert "an .html file" in refused(capsys, "compare", run, run, "--out", "x.png")
    (run / "model.safetensors").unlink()
    assert "does not exist" in refused(capsys, "compare", run, run)
    assert not Path("compare.html").exists()


def test_runs_of_one_name_are_told_apart(run):
    for parent in ("a", "b"):
        shutil.copytree(run, Path(parent) / "run")
    read = [reports.RunFolder.read(Path(path)) for path in ("a/run", "b/run", "mine")]
    assert reports.names_of(read[1:]) == ["run", "mine"]
    assert reports.names_of(read[:2]) == ["a/run", "b/run"]
    assert reports.names_of([read[0], read[0]]) == ["run (1)", "run (2)"]
    page = reports.compare(read[:2], [torch.rand(1, 1, 8, 8)] * 2)
    assert page.title == "a/run · b/run"
    assert [part.text for part in page.sections if isinstance(part, Text)][-1].startswith("None: ")
    assert not any(isinstance(part, Code) for part in page.sections)


def test_samples_that_are_copies_are_never_ringed_as_the_best(run):
    def ringed(shares: tuple[float, ...]) -> tuple[float, float]:
        quality = [(n, 64 * n, n, 3.0 - n, 0, 3, share, 0.5, "lite0") for n, share in enumerate(shares)]
        write(run, quality=quality)
        (line,) = quality_chart(reports.RunFolder.read(run)).plots[0].lines
        return line.ringed

    assert ringed((0.0, 0.0, 0.0)) == (128, 1.0)
    assert ringed((0.0, 0.0, 0.5)) == (64, 2.0)
    assert ringed((0.5, 0.5, 0.5)) == (128, 1.0)
