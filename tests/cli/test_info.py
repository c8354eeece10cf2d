"""`unnoise info` names every odd picture and what training would take; `unnoise train` the main points."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.odd_pictures import as_image, unlike, write_odd_folder
from unnoise.api.doctor_report import bytes_text, duration_range, rounded, times_text
from unnoise.cli import run
from unnoise.trainer import loop as training

DRY = ("--precision", "float32", "--dry-run")
"""Prints a config. Without a precision each command would time both, and two may choose differently."""


@pytest.fixture(autouse=True)
def _window_of_100_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def command(capsys, *arguments):
    """The exit code, and what was printed, each line without the spaces around it."""
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, *("\n".join(line.strip() for line in text.splitlines()) for text in printed)


def words(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    return write_odd_folder(tmp_path_factory.mktemp("pictures") / "odd")


def test_every_odd_picture_is_named_with_a_remedy(odd, capsys):
    code, shown, _ = command(capsys, "info", odd, "--no-measure", "--out", "sheet.png")
    told = words(shown)
    assert code == 0
    for sentence in (
        "pictures 63 in",
        "1 .txt",
        "5 x 5, median 48 x 48, up to 1600 x 1600 (height x width)",
        "! 1 file cannot be read and will be left out: save it again as PNG or JPEG to use it. broken.jpg (",
        "! 1 picture loses over 40% to cropping, up to 75%: use --fit pad to keep it whole, or another "
        "--size HxW. wide.png",
        "! 1 picture has the colour of the background and nothing else: delete it, or show transparent "
        "drawings of this colour by another --background, such as black or white. void.png",
        "! 1 picture is an exact copy of another and counts twice: delete it. twin again.PNG = twin.png",
        "twin again.PNG = twin large.png = twin.JPG",
        "! 63 pictures will soon be memorised",
        "- 1 picture is animated or has several pages, of which the first is used",
        "moving.gif",
        "- 1 picture has transparency, shown as one colour: --background sets it, --channels 4 keeps it. "
        "clear.png",
        "- 1 picture is made for print (CMYK)",
        "print.jpg",
        "- 1 picture has more than 8 bits a value",
        "- 1 picture is turned or mirrored as the metadata (EXIF) says: nothing to do. side.jpg",
        "are smaller than 64 x 64, and enlarging blurs them: try --size 48.",
        "- 1 picture of 63 is grey",
        "size 64 x 64: the pictures differ in size",
        "channels 3, colour: some pictures have colours",
        "held out 3 pictures, kept for tests",
        "MB for a run (",
        "of cached pictures, shared by all runs",
    ):
        assert sentence in told, sentence
    assert "! 2 pictures are near copies of others" in told
    assert "speed" not in told
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 800
        assert sheet.height > sheet.width  # the copies stand below


def test_the_suggested_command_trains_with_the_same_config(odd, capsys, monkeypatch):
    options = ["--size", "16", "--channels", "1", "--fit", "pad", "--background", "#102030", "--flip"]
    options += ["--batch-size", "4", "--minutes", "3", "--preset", "large"]
    _, shown, _ = command(capsys, "info", odd, *options, "--no-measure")
    said = shlex.split(shown.strip().splitlines()[-1])
    assert said[:3] == ["unnoise", "train", str(odd)]
    _, wanted, _ = command(capsys, "train", odd, *options, *DRY)
    _, found, _ = command(capsys, *said[1:], *DRY)
    assert found == wanted
    assert "as asked" in shown


@pytest.mark.parametrize("measure", [[], ["--no-measure"]])
def test_the_suggested_command_starts_a_process_for_each_device(capsys, measure):
    common = ("info", "digits", "--device", "cpu", "--preset", "nano", "--batch-size", 8, *measure)
    suggested = [
        shlex.split(command(capsys, *common, "--devices", number)[1].strip().splitlines()[-1])
        for number in (1, 8)
    ]
    assert suggested[0][:3] == ["unnoise", "train", "digits"]
    assert suggested[1] == ["torchrun", "--nproc_per_node", "8", "-m", *suggested[0]]


@pytest.mark.parametrize("options", [[], ["--range", "-5", "4000"], ["--range", "percentiles"]])
def test_the_suggested_command_keeps_the_range_and_the_layout(tmp_path, capsys, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    np.save("x.npy", np.random.default_rng(0).integers(0, 3000, (8, 9, 3, 30), dtype=np.uint16))
    options = [*options, "--layout", "HWCN"]
    code, shown, said = command(capsys, "info", "x.npy", *options, "--no-measure")
    assert code == 0
    assert "is read as 30 pictures of 8 x 9 with 3 channels (layout HWCN)." in said
    assert "Values are read from black to white:" in said
    suggested = shlex.split(shown.strip().splitlines()[-1])
    _, wanted, _ = command(capsys, "train", "x.npy", *options, "--minutes", "10", *DRY)
    _, found, _ = command(capsys, *suggested[1:], *DRY)
    assert found == wanted
    (one,) = json.loads(wanted)["data"]["ranges"]
    assert one["kind"] == "uint16"


def test_unclear_axes_and_a_range_without_effect_are_told(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    np.save("x.npy", np.full((64, 64, 3), 200, np.uint8))
    assert "--layout" in command(capsys, "info", "x.npy", "--no-measure")[2]
    np.save("y.npy", np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8))
    code, _, said = command(capsys, "train", "y.npy", "--range", "0", "9", "--dry-run")
    assert code == 2
    assert "--range has no effect here: all of these pictures have 8 bits" in said
    assert "two numbers" in command(capsys, "train", "y.npy", "--range", "low", "--dry-run")[2]


def test_a_second_of_training_gives_speed_memory_and_time(capsys):
    code, shown, _ = command(capsys, "info", "digits", "--minutes", "5", "--batch-size", "8", "--device", "cpu")
    assert code == 0
    assert re.search(r"speed\s+[\d,.]+ images/s on cpu, over [\d,]+ steps", shown)
    assert re.search(r"in 5 minutes\s+[\d,]+ images, so each picture [\d,.]+ times", shown)
    assert re.search(r"usable samples\s+after [\d,]+ to [\d,]+ (seconds|minutes|hours)", shown)
    assert re.search(r"memory\s+[\d.,]+ [MG]B", shown)
    assert "the largest class has 1.05 times as many" in words(shown)
    assert "of cached pictures, shared by all runs" in words(shown)


def test_pictures_without_problems_have_no_findings(capsys, tmp_path, monkeypatch):
    np.save("many.npy", np.random.default_rng(0).integers(0, 256, (5000, 8, 8, 1)).astype(np.uint8))
    _, shown, _ = command(capsys, "info", "many.npy", "--no-measure")
    assert "Findings\nno problems" in shown
    assert "cached pictures" not in shown  # an array is used as it lies


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_but_the_command_is_wider_than_the_window(odd, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code = run(["info", str(odd), "--no-measure"])
    *lines, last = capsys.readouterr().out.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= columns
    assert last.startswith("  unnoise train ")  # to be copied, and so never broken


def test_brackets_in_names_are_shown_as_they_are(tmp_path, capsys):
    folder = tmp_path / "a [bold] folder"
    folder.mkdir()
    for number, pixels in enumerate(unlike(3, 8)):
        as_image(pixels).save(folder / f"[red]{number}.png")
    shutil.copy(folder / "[red]0.png", folder / "[red]9.png")
    _, shown, _ = command(capsys, "info", folder, "--no-measure")
    assert "[red]0.png = [red]9.png" in shown
    assert "in " + str(folder) in words(shown)
    assert shlex.quote(str(folder)) in shown


def test_wrong_options_are_refused(odd, capsys):
    for arguments, sentence in (
        (("--device", "cuda:77"), "cannot be used here"),
        (("--preset", "nice"), "There is no preset 'nice'"),
        (("--size", "x"), "A size is written H or HxW"),
        (("--out", "sheet.jpg", "--no-measure"), "ends in .png"),
        (("--out", "odd.png/sheet.png"), "odd.png/sheet.png"),
        (("--labels", "auto", "--no-measure"), "lies in no folder of a class"),
    ):
        Path("odd.png").write_text("a file, and no folder")
        code, _, said = command(capsys, "info", odd, *arguments)
        assert (code, sentence in said) == (2, True), arguments


def test_train_prints_the_main_findings_unless_it_resumes(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, pixels in enumerate(unlike(6, 16)):
        as_image(pixels).save(folder / f"{number}.png")
    shutil.copy(folder / "0.png", folder / "again.png")
    common = ("train", folder, "--out", "r", "--batch-size", 2)
    code, _, said = command(capsys, *common, "--steps", 1)
    assert code == 0
    assert "1 picture is an exact copy of another and counts twice: delete it." in said
    assert "7 pictures will soon be memorised" in said
    monkeypatch.setattr(training, "train", lambda *_: iter(()))
    code, _, said = command(capsys, *common, "--steps", 2, "--resume")
    assert code == 0
    assert "memorised" not in said


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (bytes_text(999), "999 bytes"),
        (bytes_text(332_400_000), "332 MB"),
        (bytes_text(1_640_000_000), "1.64 GB"),
        (rounded(12345), "12,000"),
        (rounded(7.4), "7"),
        (times_text(3.21), "3.2 times"),
        (times_text(1234), "1,200 times"),
        (duration_range(50, 200), "50 to 200 seconds"),
        (duration_range(90, 660), "2 to 11 minutes"),
        (duration_range(4 * 3600, 23 * 3600), "4 to 23 hours"),
        (duration_range(2 * 86400, 9.4 * 86400), "2 to 9 days"),
    ],
)
def test_estimates_are_rounded_to_short_text(shown, wanted):
    assert shown == wanted
