"""Commands that edit pictures (invert, vary, inpaint, outpaint, restore, generate --from)."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.command_line import ok, refused
from helpers.data_files import random_photos
from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.data import DecodeSettings, read_mask, read_pictures
from unnoise.data.batches import split
from unnoise.runs.checkpoint import Run
from unnoise.trainer.loop import train
from unnoise.utils.errors import UnnoiseError

DISCRETE = ('schedule={"kind": "LinearBeta", "num_timesteps": 40}', "condition=log_snr")
EDITS = ("invert", "vary", "inpaint", "outpaint", "restore")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 12, recipe_changes=("optimizer.learning_rate=0.01",))
    last(train(made, digits()))
    return made.path


@pytest.fixture(scope="module")
def discrete(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "discrete", 2, recipe_changes=DISCRETE)
    last(train(made, digits()))
    return made.path


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """A run on colour pictures of 8 x 8."""
    folder = tmp_path_factory.mktemp("colour")
    random_photos(folder / "photos", 20)
    common = (
        "--size",
        8,
        "--batch-size",
        4,
        "--held-out",
        4,
        "--set",
        "network.widths=[8,16]",
        "sampling.num_steps=3",
    )
    ok("train", folder / "photos", "--out", folder / "run", "--steps", 2, *common)
    return folder / "run"


def digit(path: str = "digit.png", number: int = 0, size: int = 8) -> Path:
    picture = Image.fromarray(digits().pixels[number, ..., 0])
    picture.resize((size, size), Image.Resampling.NEAREST).save(path)
    return Path(path)


def saved(path: str) -> np.ndarray:
    with np.load(path) as archive:
        return archive["images"].astype(int)


# --- what they do --------------------------------------------------------------------------------------------


def test_invert_reports_the_error_and_saves_noises_that_lead_back(trained, capsys):
    ok(
        "invert",
        trained,
        digit(),
        digit("other.png", 7, 16),
        "--num-steps",
        10,
        "--save",
        "r.npz",
        "--out",
        "s.png",
    )
    shown = capsys.readouterr()
    assert "inverted: s.png" in shown.out
    told = float(re.search(r"given ones by (\d+\.\d+) of 255", shown.err)[1])
    before = read_pictures([Path("digit.png"), Path("other.png")], DecodeSettings((8, 8), 1)).permute(
        0, 2, 3, 1
    )
    before = before.numpy().astype(int)
    error = abs(saved("r.npz") - before).mean()
    assert error == pytest.approx(told, abs=0.5)  # bytes are rounded
    assert error < 2
    calls = int(re.search(r"(\d+) calls of the network to the noises, 10 back", shown.err)[1])
    assert 10 < calls <= 60
    # the noises lead back by generate's own way
    with np.load("r.npz") as archive:
        noises = torch.from_numpy(archive["noises"])
    denoiser = Run.open(trained).load()
    again = (255 * denoiser.generate(initial_noises=noises, num_steps=10)).round().permute(0, 2, 3, 1)
    assert abs(again.numpy() - saved("r.npz")).max() <= 1


def test_inversion_with_50_steps_is_exact_to_two_grey_levels(trained, capsys):
    """On pictures that the run was not trained on, mean absolute error."""
    ok("invert", trained, "--held-out", 8, "--num-steps", 50)
    assert float(re.search(r"given ones by (\d+\.\d+) of 255", capsys.readouterr().err)[1]) < 2


def test_held_out_takes_pictures_that_the_run_was_not_trained_on(trained):
    ok("invert", trained, "--held-out", 3, "--num-steps", 2, "--save", "folder")
    config = Run.open(trained).config
    unseen = split(len(digits()), config.data.held_out, config.seed).held_out
    numbers = [int(path.stem.removeprefix("held-out-")) for path in Path("folder").iterdir()]
    assert len(numbers) == 3
    assert set(numbers) <= set(unseen.tolist())
    assert (trained / "inverted.png").is_file()


@pytest.mark.parametrize("size", [8, 24])
def test_inpaint_keeps_every_byte_that_the_mask_shows(trained, size):
    mask = np.full((size, size), 255, np.uint8)
    mask[: size // 2] = 0
    Image.fromarray(mask).save("mask.png")
    picture = digit(size=size)
    ok("inpaint", trained, picture, "--mask", "mask.png", "--save", "r.npz", "--seed", 3)
    before, after = digits().pixels[0].astype(int), saved("r.npz")[0]
    own = np.asarray(read_pictures([picture], DecodeSettings((8, 8), 1)))[0].transpose(1, 2, 0).astype(int)
    kept = 4 if size == 8 else 5  # at another size the row on the border belongs to what is drawn
    assert (after[kept:] == own[kept:]).all()
    assert (after[:4] != own[:4]).any()
    if size == 8:
        assert (own == before).all()
    ok("inpaint", trained, picture, "--mask", "mask.png", "--save", "again.npz", "--seed", 3)
    assert (saved("again.npz") == saved("r.npz")).all()


def test_a_mask_that_keeps_or_redraws_everything_is_told(trained, capsys):
    picture = digit()
    Image.new("L", (8, 8), 255).save("white.png")
    Image.new("L", (8, 8), 0).save("black.png")
    common = ("inpaint", trained, picture, "--repeats", 1, "--num-steps", 1)
    ok(*common, "--mask", "white.png")
    assert "white.png is white everywhere: nothing is drawn anew." in capsys.readouterr().err
    ok(*common, "--mask", "black.png")
    assert "black.png is white nowhere: everything is drawn anew." in capsys.readouterr().err


def test_a_deep_picture_is_edited_by_the_range_of_the_run(tmp_path):
    random = np.random.default_rng(0)
    Path("deep").mkdir()
    for number in range(20):
        pixels = random.integers(0, 4096, (8, 8), dtype=np.uint16)
        Image.fromarray(pixels).save(f"deep/{number}.png")
    small = ("--batch-size", 4, "--set", "network.widths=[8,16]", "sampling.num_steps=2")
    ok("train", "deep", "--out", "run", "--steps", 1, *small)
    ok("train", "deep", "--out", "run", "--steps", 2, "--resume", *small)
    assert [one.high for one in Run.open(Path("run")).config.data.ranges] == [4095]
    Image.fromarray(np.full((8, 8), 819, np.uint16)).save("dark.png")
    ok("inpaint", "run", "dark.png", "--repeats", 1, "--save", "r.npz")
    with np.load("r.npz") as saved:
        assert saved["images"][0, 0, 0, 0] == 51


def test_inpaint_without_a_mask_draws_the_middle(trained):
    ok("inpaint", trained, "--held-out", 2, "--save", "r.npz")
    ok("inpaint", trained, "--held-out", 2, "--save", "other.npz", "--seed", 0, "--repeats", 1)
    changed = (saved("r.npz") != saved("other.npz")).any(axis=(0, 3))
    assert changed[2:6, 2:6].any()
    changed[2:6, 2:6] = False
    assert not changed.any()


def test_outpaint_keeps_the_middle(trained):
    ok("outpaint", trained, digit(), "--size", "10x14", "--save", "r.npz", "--repeats", 1)
    after = saved("r.npz")
    assert after.shape == (1, 10, 14, 1)
    assert (after[0, 1:9, 3:11] == digits().pixels[0]).all()


@pytest.mark.parametrize(("task", "size"), [("upscale", (4, 4)), ("deblur", (8, 8))])
def test_restored_pictures_agree_with_the_given_ones(trained, capsys, task, size):
    how = ("--task", task, *(("--factor", 2) if task == "upscale" else ()))
    ok("restore", trained, "--held-out", 2, *how, "--num-steps", 5, "--save", "r.npz")
    shown = capsys.readouterr().err
    missed = float(re.search(r"Made \w+ again, .* given ones by (\d+\.\d+) of 255", shown)[1])
    assert missed < 25  # chance is about 80, and a run that is trained for longer comes below 1
    Image.fromarray(digits().pixels[0, ::2, ::2, 0]).save("small.png")
    ok("restore", trained, "small.png", *how, "--save", "own.npz")
    assert saved("own.npz").shape == (1, 8, 8, 1)


def test_restore_says_which_pictures_it_makes_small_before_it_enlarges_them(trained, capsys):
    """Those of the run's own size are the likeliest mistake. What is spoiled is made small on purpose."""
    enlarge = ("restore", trained, "--task", "upscale", "--factor", 2, "--num-steps", 2, "--num-solves", 1)
    Image.fromarray(digits().pixels[0, :4, :4, 0]).save("small.png")
    Image.fromarray(digits().pixels[0, :4, :, 0]).save("wide.png")  # cropped, but not shrunk
    Image.fromarray(np.repeat(digits().pixels[0, :, :, 0], 2, axis=0)).save("large.png")
    np.save("two.npy", digits().pixels[:2])
    for pictures, sentence in (
        ((digit(),), "digit.png (8 x 8) was first made 4 x 4, since --factor 2 enlarges that to the 8 x 8 of "),
        (("small.png", "large.png"), "large.png (16 x 8) was first made 4 x 4"),
        (("two.npy", "small.png"), "2 pictures (up to 8 x 8) were first made 4 x 4"),
        (("small.png", "wide.png"), None),
        ((digit(), "--spoil"), None),
    ):
        ok(*enlarge, *pictures)
        told = " ".join(capsys.readouterr().err.split())
        assert ("first made" in told) == (sentence is not None)
        assert sentence is None or sentence in told


def test_restore_colours_grey_pictures_for_a_run_in_colour(colour, capsys):
    ok(
        "restore",
        colour,
        digit(),
        "--task",
        "colourise",
        "--num-steps",
        10,
        "--save",
        "r.npz",
        "--out",
        "s.png",
    )
    assert saved("r.npz").shape == (1, 8, 8, 3)
    with Image.open("s.png") as sheet:
        assert sheet.mode == "RGB"
    ok("restore", colour, "--held-out", 2, "--task", "colourise")
    assert "The restored pictures differ from the originals by" in capsys.readouterr().err


def test_the_amount_of_variation_goes_from_the_same_picture_to_a_new_one(trained):
    common = ("vary", trained, digit(), "--num-variations", 3, "--num-steps", 5, "--seed", 5)
    for amount in (0, 0.3, 1):
        ok(*common, "--amount", amount, "--save", f"{amount}.npz")
    before = digits().pixels[0].astype(int)
    errors = [abs(saved(f"{amount}.npz") - before).mean() for amount in (0, 0.3, 1)]
    assert errors[0] < 2
    assert errors[0] < errors[1] < errors[2]
    ok("generate", trained, "--num-images", 3, "--seed", 5, "--num-steps", 5, "--eta", 0, "--out", "new.npz")
    assert abs(saved("new.npz") - saved("1.npz")).max() <= 1


def test_the_strength_of_redrawing_goes_from_the_same_picture_to_a_new_one(trained):
    common = ("--seed", 2, "--num-steps", 8)
    for strength in (0, 0.5, 1):
        more = ("--num-images", 2, "--strength", strength, "--out", f"{strength}.npz")
        ok("generate", trained, "--from", digit(), *more, *common)
    ok("generate", trained, "--num-images", 2, "--out", "new.npz", *common)
    before = digits().pixels[0].astype(int)
    assert (saved("0.npz") == before).all()
    assert abs(saved("1.npz") - saved("new.npz")).max() <= 1
    assert (saved("0.5.npz")[0] != saved("0.5.npz")[1]).any()
    assert (saved("0.5.npz") != before).any()
    ok("generate", trained, "--from-held-out", 2, "--out", "sheet.png")
    with Image.open("sheet.png") as sheet:
        assert sheet.width > sheet.height / 2
    ok("generate", trained, "--from", digit(), "--out", "folder")
    assert sorted(path.name for path in Path("folder").iterdir()) == [f"digit-{n}.png" for n in range(1, 6)]


def test_morph_of_pictures_passes_each_of_them(trained):
    ok(
        "morph",
        trained,
        "--images",
        digit(),
        digit("b.png", 3),
        "--frames",
        8,
        "--num-steps",
        5,
        "--out",
        "m.gif",
    )
    gap = 4
    with Image.open("m.gif") as animation:
        assert animation.n_frames == 8
        for frame, number in ((0, 0), (4, 3)):
            animation.seek(frame)
            drawn = np.asarray(animation.convert("L"), dtype=int)[gap:-gap, gap:-gap]
            scale = drawn.shape[0] // 8
            inner = drawn[scale // 2 :: scale, scale // 2 :: scale]
            assert abs(inner - digits().pixels[number, ..., 0]).mean() < 2
    assert Path("m.png").is_file()


def test_every_edit_works_with_a_discrete_schedule(discrete):
    for command in EDITS:
        more = {"restore": ("--factor", 2), "invert": (), "vary": ()}.get(command, ("--repeats", 1))
        ok(command, discrete, "--held-out", 1, "--num-steps", 4, *more)
    ok("generate", discrete, "--from-held-out", 1, "--num-steps", 4, "--sampler", "ancestral")
    ok("invert", discrete, "--held-out", 1)  # not 50 steps, as the chain has fewer


def test_grey_pictures_and_arrays_are_edited_by_a_run_in_colour(colour):
    ok("invert", colour, digit(), "--num-steps", 2, "--save", "r.npz")
    assert saved("r.npz").shape == (1, 8, 8, 3)
    np.save("two.npy", np.zeros((2, 8, 8, 3), np.uint8))
    ok("vary", colour, "two.npy", "--num-variations", 1, "--num-steps", 2, "--save", "folder")
    assert sorted(path.name for path in Path("folder").iterdir()) == ["two-000-1.png", "two-001-1.png"]


# --- what they refuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", EDITS)
def test_every_edit_refuses_missing_pictures_no_steps_and_other_suffixes(trained, capsys, command):
    assert "got neither" in refused(capsys, command, trained)
    assert "There is no picture at nowhere.png" in refused(capsys, command, trained, "nowhere.png")
    assert "at least 1 step, but got 0" in refused(capsys, command, trained, digit(), "--num-steps", 0)
    assert "ends in .png" in refused(capsys, command, trained, digit(), "--out", "sheet.jpg")


def test_pictures_runs_and_options_that_no_edit_accepts(trained, discrete, capsys):
    command = "inpaint"
    assert "got both" in refused(capsys, command, trained, digit(), "--held-out", 1)
    Path("corrupt.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    assert "Cannot read the picture corrupt.png" in refused(capsys, command, trained, "corrupt.png")
    assert "1 to 40 steps, but got 41" in refused(capsys, command, discrete, digit(), "--num-steps", 41)
    assert "--save is r.gif" in refused(capsys, command, trained, digit(), "--save", "r.gif")
    assert "There is no run at" in refused(capsys, command, "nothing", digit())
    assert "knows no classes" in refused(capsys, command, trained, digit(), "--label", "cat")
    assert "but 5000 were asked for" in refused(capsys, command, trained, "--held-out", 5000)


def test_an_array_with_other_channels_or_too_many_pictures_is_refused(trained, colour, capsys):
    np.save("colour.npy", np.zeros((2, 8, 8, 3), np.uint8))
    np.save("grey.npy", np.zeros((2, 8, 8), np.uint8))
    assert "colour.npy has 3 channels, but 1 are needed" in refused(capsys, "invert", trained, "colour.npy")
    assert "grey.npy has 1 channel, but 3 are needed" in refused(capsys, "invert", colour, "grey.npy")
    np.save("many.npy", np.zeros((65, 8, 8), np.uint8))
    assert "At most 64 pictures" in refused(capsys, "invert", trained, "many.npy")


def test_wrong_options_of_single_edits_are_refused(trained, capsys):
    picture = digit()
    Image.new("L", (9, 8)).save("mask.png")
    sentence = refused(capsys, "inpaint", trained, picture, "--mask", "mask.png")
    assert "The mask mask.png is 8x9 (height x width), but its picture is 8x8" in sentence
    assert "no picture at no.png" in refused(capsys, "inpaint", trained, picture, "--mask", "no.png")
    assert "repeats is at least 1" in refused(capsys, "inpaint", trained, picture, "--repeats", 0)
    for strength in (-0.1, 1.1):
        sentence = refused(capsys, "generate", trained, "--from", picture, "--strength", strength)
        assert f"strength goes from 0 (the same picture) to 1 (a new one), but got {strength}" in sentence
    sentence = refused(capsys, "generate", trained, "--from", picture, "--out", "r.gif")
    assert "a .png, an .npz or a folder" in sentence
    assert "At least 1 image" in refused(capsys, "generate", trained, "--from", picture, "--num-images", 0)
    assert "3 does not divide 8x8: take 2" in refused(capsys, "restore", trained, picture, "--factor", 3)
    assert "above 0 pixels" in refused(capsys, "restore", trained, picture, "--task", "deblur", "--sigma", 0)
    assert "needs a run on colour pictures" in refused(
        capsys, "restore", trained, picture, "--task", "colourise"
    )
    assert "at least as large" in refused(capsys, "outpaint", trained, picture, "--size", "8x7")
    assert "at most 4096" in refused(capsys, "outpaint", trained, picture, "--size", "8x5000")
    assert "overlap" in refused(capsys, "outpaint", trained, picture, "--overlap", 1)
    assert "amount of variation" in refused(capsys, "vary", trained, picture, "--amount", 2)
    assert "At least 1 variation" in refused(capsys, "vary", trained, picture, "--num-variations", 0)
    assert "at least 2 seeds" in refused(capsys, "morph", trained, "--images", picture)


# --- reading -------------------------------------------------------------------------------------------------


def test_single_pictures_are_decoded_like_those_of_a_data_set(tmp_path):
    random_photos(tmp_path / "photos", 3)
    from unnoise.data import load

    images = load(tmp_path / "photos", size=(8, 6), channels=3)
    files = sorted((tmp_path / "photos").iterdir())
    assert torch.equal(read_pictures(files, DecodeSettings((8, 6), 3)), images.take([0, 1, 2]))


def test_a_pixel_of_a_mask_is_kept_only_if_all_of_it_is_white(tmp_path):
    mask = np.full((4, 8), 255, np.uint8)
    mask[:, :3] = 0
    Image.fromarray(mask).save("mask.png")
    known = read_mask(Path("mask.png"), DecodeSettings((2, 2), 1), [(4, 8)])
    assert known.tolist() == [[False, True], [False, True]]  # cropped to its middle: columns 2 to 5
    with pytest.raises(UnnoiseError, match="2x2"):
        read_mask(Path("mask.png"), DecodeSettings((2, 2), 1), [(2, 2)])
