"""Data doctor: class balance, speed, forecast, disk use, and the findings of a checkup."""

from collections import Counter
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from PIL import Image, ImageColor

from helpers.odd_pictures import as_image, unlike
from helpers.runs import cache, digits, start
from helpers.sampling import last
from unnoise.data import DecodeSettings, ImageSet, Skipped, load, summarize
from unnoise.data.decoding.decode import Header
from unnoise.reports import doctor
from unnoise.reports.doctor import (
    Balance,
    Speed,
    brief_findings,
    checkup,
    disk_use,
    examine,
    forecast_run,
    measure_speed,
    time_steps,
)
from unnoise.reports.doctor.file_findings import header_findings, skipped_findings
from unnoise.reports.doctor.findings import (
    blank_findings,
    class_findings,
    copy_findings,
    count_findings,
    machine_findings,
)
from unnoise.reports.doctor.forecast import DETAILED, SIMPLE, Forecast, usable_images
from unnoise.runs.checkpoint import write_tensors
from unnoise.runs.config import Budget
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.sizing import choose_preset
from unnoise.trainer.loop import train
from unnoise.utils.errors import UnnoiseError

__all__ = ["cache"]


def kinds(findings):
    return [finding.kind for finding in findings]


def pictures(pixels, **known):
    return ImageSet(np.asarray(pixels), "test", "f", **known)


# --- classes -------------------------------------------------------------------------------------------------


def test_effective_classes_in_closed_form():
    even = Balance(dict.fromkeys("abcd", 70))
    assert (even.ratio, even.effective) == (1, pytest.approx(4))
    one = Balance({"a": 300, "b": 0})
    assert (one.ratio, one.effective, one.smallest, one.largest) == (np.inf, 1, "b", "a")
    # p = 1/2, 1/4, 1/4: the entropy is 3/2 ln 2
    skewed = Balance({"x": 20, "y": 10, "z": 10})
    assert (skewed.ratio, skewed.effective) == (2, pytest.approx(2**1.5))
    assert skewed.below(11) == ("y", "z")
    with pytest.raises(UnnoiseError, match="There are no pictures in any class"):
        Balance({})


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        ({"a": 50, "b": 500}, []),
        ({"a": 49, "b": 490}, ["rare classes"]),
        ({"a": 50, "b": 501}, ["uneven classes"]),
        ({"a": 1, "b": 11, "c": 900}, ["rare classes", "uneven classes"]),
    ],
)
def test_findings_on_rare_and_uneven_classes(counts, wanted):
    found = class_findings(Balance(counts))
    assert kinds(found) == wanted
    if "rare classes" in wanted:
        assert found[0].names == tuple(f"{name} ({number})" for name, number in counts.items() if number < 50)


# --- speed, disk, forecast -----------------------------------------------------------------------------------


def clock_of(seconds):
    """Each look at the clock, so many seconds have passed."""
    return map(float, (seconds * number for number in count())).__next__


@pytest.mark.parametrize(
    ("each", "warm_up", "steps"), [(0.125, 3, 8), (0.3, 3, 4), (0.5, 2, 2), (1.5, 1, 2), (40.0, 1, 2)]
)
def test_steps_are_timed_for_a_second_after_a_warm_up(each, warm_up, steps):
    done = []
    assert time_steps(done.append, 1.0, lambda: each * len(done)) == (steps, pytest.approx(each * steps))
    assert done == list(range(warm_up + steps))


def test_speed_is_measured_in_images_per_second(cache):
    config = plan(digits(), TrainOptions(batch_size=16))
    measured = measure_speed(config, digits(), "cpu", seconds=0.5, clock=clock_of(0.25))
    assert (measured.batch_size, measured.device, measured.steps) == (16, "cpu", 3)
    assert measured.images_per_second == pytest.approx(16 * 3 / 0.75)
    assert measured.memory > 50e6  # of this process, PyTorch included


def test_speed_of_a_network_with_classes_is_measured(cache):
    images = load("digits", labels=True)
    config = plan(images, TrainOptions(batch_size=8, labels="auto"))
    assert measure_speed(config, images, "cpu", seconds=0).steps == 2


def test_the_forecast_is_proportional_to_the_speed():
    speed = Speed(100.0, 64, 8, None, "cpu")
    config = plan(digits(), TrainOptions(budget=Budget(unit="minutes", amount=2), held_out=97))
    minutes = forecast_run(config, 1797, speed)
    assert minutes.images == pytest.approx(0.95 * 100 * 120)
    assert minutes.epochs == pytest.approx(minutes.images / 1700)
    assert minutes.usable == tuple(pytest.approx(images / 95) for images in SIMPLE)
    steps = forecast_run(replace(config, budget=Budget(unit="steps", amount=10)), 1797, speed)
    images = forecast_run(replace(config, budget=Budget(unit="images", amount=500)), 1797, speed)
    assert (steps.images, images.images) == (640, 500)
    assert usable_images(config) == SIMPLE
    assert usable_images(replace(config, data=replace(config.data, height=33))) == DETAILED


@pytest.mark.parametrize("name", ["muon", "adamw", "rmsprop"])
def test_disk_use_equals_the_files_of_a_run(tmp_path, name):
    changes = [f"optimizer.name={name}", "ema.profiles=[0.05,0.1]", "ema.snapshots=2"]
    run = start(tmp_path / "run", 6, recipe_changes=changes)
    last(train(run, digits()))
    # Six steps earn no measure of the samples, which would write this:
    write_tensors(run.path / "best.safetensors", run.load().network.state_dict(), {"step": "6"})
    # The one state after six steps is joined by another and a pinned one in any longer run, and by the best
    # weights until each of them.
    (state,) = (run.path / "training").glob("*.safetensors")
    found = disk_use(run.config, digits())
    weights = sum(path.stat().st_size for path in run.path.glob("*.safetensors"))
    averages = sum(path.stat().st_size for path in (run.path / "ema").iterdir())
    assert len(list((run.path / "ema").iterdir())) == 4
    assert found.weights == pytest.approx(weights, rel=0.02)
    of_a_state = state.stat().st_size + run.best_weights.stat().st_size
    assert found.states == pytest.approx(3 * of_a_state, rel=0.02)
    assert found.averages == pytest.approx(averages, rel=0.02)
    assert found.run == found.weights + found.states + found.averages


def test_disk_use_without_stored_averages_or_best_weights(tmp_path):
    run = start(tmp_path / "run")
    judged = disk_use(run.config, digits())
    unjudged = disk_use(replace(run.config, data=replace(run.config.data, held_out=9)), digits())
    assert (judged.averages, judged.weights) == (0, 2 * unjudged.weights)


def test_the_cache_counts_unless_an_array_is_used_as_it_is(tmp_path, cache):
    for number, pixels in enumerate(unlike(5, 8)):
        as_image(pixels).save(tmp_path / f"{number}.png")
    images = load(tmp_path, size=(8, 8))
    config = plan(images, TrainOptions())
    stored = sum(path.stat().st_size for path in cache.rglob("*.npy"))
    assert disk_use(config, images).cache == pytest.approx(stored, abs=300)  # their two headers
    np.save(tmp_path / "array.npy", np.asarray(images.pixels))  # is used as it lies
    array = load(tmp_path / "array.npy")
    assert disk_use(plan(array, TrainOptions()), array).cache == 0


@pytest.mark.parametrize(
    ("usable", "needed", "free", "minutes", "wanted"),
    [
        (599.0, 10, 10, 10.0, []),
        (601.0, 10, 10, 10.0, ["slow"]),
        (601.0, 10, 10, None, []),
        (1.0, 11, 10, 10.0, ["disk"]),
    ],
)
def test_findings_on_short_runs_and_full_disks(usable, needed, free, minutes, wanted):
    found = machine_findings(Forecast(1.0, 1.0, (usable, 9e9)), needed, free, minutes)
    assert kinds(found) == wanted
    if wanted == ["slow"]:
        assert "try --minutes 20 or more" in found[0].text
    assert machine_findings(None, 1, 2, 10.0) == []


# --- files ---------------------------------------------------------------------------------------------------

SOUND = Header("PNG", "RGB", (64, 64))


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (SOUND, None),
        (SOUND._replace(size=(640, 400)), None),
        (SOUND._replace(animated=True), "animated"),
        (SOUND._replace(alpha=True), "alpha"),
        (SOUND._replace(mode="CMYK"), "cmyk"),
        (SOUND._replace(turned=True), "turned"),
        (SOUND._replace(mode="L"), "some grey"),
        (SOUND._replace(size=(64, 63)), "small"),
        (SOUND._replace(size=(64, 106)), None),  # loses 39.6 %
        (SOUND._replace(size=(64, 107)), "cropped"),  # loses 40.2 %
        (SOUND._replace(size=(107, 64)), "cropped"),
    ],
)
def test_findings_on_headers(header, wanted):
    headers = {"a.png": SOUND, "odd.png": header, "c.png": SOUND}
    found = header_findings(headers, DecodeSettings((64, 64), 3))
    assert kinds(found) == ([wanted] if wanted else [])
    assert all(one.names == ("odd.png",) and one.text.startswith("1 picture ") for one in found)


@pytest.mark.parametrize("mode", ["I", "F", "I;16", "I;16B"])
def test_pictures_of_more_than_8_bits_are_reported(mode):
    deep = SOUND._replace(mode=mode)
    assert kinds(header_findings({"a": deep, "b": deep}, DecodeSettings((64, 64), 1))) == ["bit depth"]


def test_settings_that_keep_alpha_or_shape_are_not_reported():
    wide, clear = SOUND._replace(size=(64, 200)), SOUND._replace(alpha=True)
    headers = {"a": SOUND, "wide": wide, "clear": clear, "grey": SOUND._replace(mode="L")}
    assert kinds(header_findings(headers, DecodeSettings((64, 64), 3))) == ["alpha", "cropped", "some grey"]
    assert kinds(header_findings(headers, DecodeSettings((64, 64), 4, "pad"))) == ["some grey"]
    assert kinds(header_findings(headers, DecodeSettings((64, 200), 2, "pad"))) == []
    assert "--channels 2" in header_findings(headers, DecodeSettings((64, 200), 1))[0].text


def test_a_smaller_size_is_proposed_where_most_are_small():
    small, sound = SOUND._replace(size=(45, 60)), SOUND
    settings = DecodeSettings((64, 64), 3)
    most = header_findings({"a": small, "b": small, "c": sound}, settings)
    assert "2 pictures are smaller than 64 x 64" in most[0].text
    assert "--size 40" in most[0].text
    assert "--size" not in header_findings({"a": small, "b": sound, "c": sound}, settings)[0].text


def test_headers_know_alpha_further_pages_and_orientation(tmp_path, cache):
    first, second = (as_image(pixels) for pixels in unlike(2, 12))
    exif = first.getexif()
    exif[0x0112] = 6
    crop = first.crop((0, 0, 12, 8))
    crop.save(tmp_path / "side.jpg", exif=exif)
    crop.save(tmp_path / "plain.jpg")
    first.save(tmp_path / "still.gif")
    for name in ("two.gif", "two.png", "two.webp", "two.tif"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
    first.convert("P").save(tmp_path / "key.png", transparency=3)
    clear = first.copy()
    clear.putalpha(128)
    clear.save(tmp_path / "clear.webp")
    headers = summarize(tmp_path).headers
    told = {field: {name for name in headers if getattr(headers[name], field)} for field in Header._fields[3:]}
    assert told["animated"] == {"two.gif", "two.png", "two.webp", "two.tif"}
    assert told["alpha"] == {"key.png", "clear.webp"}
    assert told["turned"] == {"side.jpg"}
    assert (headers["side.jpg"].size, headers["plain.jpg"].size) == ((12, 8), (8, 12))


def test_unreadable_files_are_named_with_reasons():
    assert skipped_findings(()) == []
    (found,) = skipped_findings((Skipped("a.png", "the file is empty"), Skipped("b", "odd")))
    assert (found.names, found.text[:7]) == (("a.png (the file is empty)", "b (odd)"), "2 files")
    assert "save them again as PNG or JPEG" in found.text
    (refused,) = skipped_findings((Skipped("a.png", "permission denied: change its permissions to use it"),))
    assert refused.text == "1 file cannot be read and will be left out: do what the reason says to use it."


# --- pictures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (1, "memorised"),
        (99, "memorised"),
        (100, "few"),
        (999, "few"),
        (1000, "copying"),
        (4999, "copying"),
        (5000, None),
    ],
)
def test_findings_on_few_pictures(number, wanted):
    found = count_findings(number, flip=False)
    assert kinds(found) == ([wanted] if wanted else [])
    assert all("--flip" in one.text for one in found)
    assert all("--flip" not in one.text for one in count_findings(number, flip=True))


def test_blank_pictures_vary_by_less_than_2_grey_levels():
    random = np.random.default_rng(0)
    even = np.zeros((1, 8, 8, 3), np.uint8)
    faint = (
        (100 + 3 * (np.indices((8, 8)).sum(0) % 2)).astype(np.uint8)[None, ..., None].repeat(3, 3)
    )  # std 1.5
    clear = (
        (100 + 5 * (np.indices((8, 8)).sum(0) % 2)).astype(np.uint8)[None, ..., None].repeat(3, 3)
    )  # std 2.5
    shape = even.copy()
    shape[..., 2] = random.integers(0, 256, (8, 8))  # in blue alone
    assert doctor.blank_pictures(pictures(np.concatenate([even, faint, clear, shape]))) == [0, 1]
    assert blank_findings([]) == []
    assert kinds(blank_findings(["a"])) == ["blank"]


@pytest.mark.parametrize(
    ("channels", "background", "told"),
    [(3, "white", True), (1, "white", True), (3, "black", False), (4, "white", False)],
)
def test_drawings_of_the_colour_of_the_background_are_told(tmp_path, channels, background, told):
    """White ones that are transparent around vanish on white, and the remedy shows them."""
    for name, alpha in (("icon", 255 * (np.indices((8, 8)).sum(0) % 2)), ("page", np.full((8, 8), 255))):
        pixels = np.full((8, 8, 4), 255, np.uint8)
        pixels[..., 3] = alpha
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    colour = ImageColor.getrgb(background)
    images = load(tmp_path, channels=channels, background=colour)
    options = TrainOptions(held_out=0, preset="nano", channels=channels, background=colour)
    found = [text for text in brief_findings(images, plan(images, options)) if "background" in text]
    assert len(found) == told
    assert all("2 pictures have the colour" in text and "--background" in text for text in found)


def findings_on_copies(pixels, straddling=0):
    names = [f"n{place}" for place in range(len(pixels))]
    return copy_findings(doctor.find_copies(pixels), straddling, names, channels=pixels.shape[3])


def test_findings_on_copies():
    sound = unlike(30, 32)
    light = (sound[:1] * 0.8 + 30).astype(np.uint8)
    assert findings_on_copies(sound) == []
    (exact,) = findings_on_copies(sound[[*range(30), 4, 4, 4, 9]])
    assert exact.kind == "exact copies"
    assert exact.text.startswith("4 pictures are exact copies of others")
    assert exact.names == ("n4 = n30 = n31 and 1 more", "n9 = n33")
    (near,) = findings_on_copies(np.concatenate([sound, light]))
    assert (near.kind, near.names) == ("near copies", ("n0 = n30",))
    assert near.text.startswith("1 picture is a near copy of another")
    assert findings_on_copies(sound, 1)[0].text.startswith("1 held-out picture has a copy")
    assert findings_on_copies(sound, 2)[0].text.startswith("2 held-out pictures have copies")
    grey = unlike(30, 32, 1)
    assert findings_on_copies(grey) == []
    assert kinds(findings_on_copies(grey.repeat(3, 3))) == ["all grey"]


# --- the checkup --------------------------------------------------------------------------------------------


def test_an_array_is_examined(tmp_path, cache):
    pixels = unlike(300, 16, 1)[[*range(300), 7, 8]]
    np.save(tmp_path / "p.npy", pixels)
    source = str(tmp_path / "p.npy")
    heard = []
    found = examine(
        summarize(source), load(source), TrainOptions(batch_size=8), clock=clock_of(0.5), device="cpu",
        progress=lambda task, part: heard.append((task, part)),
    )  # fmt: skip
    assert kinds(found.findings)[:1] == ["exact copies"]
    assert found.findings[0].names == ("#7 = #300", "#8 = #301")
    assert {"few"} <= set(kinds(found.findings)) <= {"exact copies", "held-out copies", "few", "slow"}
    assert found.speed.images_per_second == pytest.approx(16)  # 8 in half a second
    assert found.config == plan(load(source), TrainOptions(batch_size=8, preset="nano"))
    assert (heard[0][0], heard[-1]) == ("Training for a second", ("Looking for copies", 1.0))
    assert found.reasons == {
        "size": "the size of all pictures",
        "channels": "as in the array", "preset": choose_preset("cpu", 16, 16, 10).why,
    }  # fmt: skip


def test_without_measuring_nothing_is_trained(monkeypatch, cache):
    monkeypatch.setattr(checkup, "measure_speed", None)
    found = examine(summarize("digits"), digits(), TrainOptions(), device="cpu", measure=False)
    assert (found.speed, found.forecast) == (None, None)
    assert found.balance.effective == pytest.approx(10, rel=1e-3)
    assert kinds(found.findings) == ["copying"]
    assert found.disk.run > 1e6


def test_serious_findings_come_first(tmp_path, cache):
    (tmp_path / "in").mkdir()
    for number, pixels in enumerate(unlike(4, 20)):
        as_image(pixels).convert("L" if number else "RGB").save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "in" / "b.png").write_bytes(b"")
    source = str(tmp_path / "in")
    found = examine(summarize(source), load(source), TrainOptions(), device="cpu", measure=False)
    assert kinds(found.findings) == ["unreadable", "memorised", "some grey"]
    assert [one.serious for one in found.findings] == [True, True, False]
    assert found.names == ("0.png", "1.png", "2.png", "3.png")


def test_brief_findings_have_no_names_and_a_bounded_search(monkeypatch):
    pixels = unlike(120, 16)[[*range(120), 3]].copy()
    pixels[5] = 9
    images = pictures(pixels)
    config = plan(images, TrainOptions(held_out=0))
    told = brief_findings(images, config)
    assert [text.split(":")[0] for text in told] == [
        "1 picture is of a single colour",
        "1 picture is an exact copy of another and counts twice",
        "121 pictures are few, and a long run copies them",
    ]
    monkeypatch.setattr(checkup, "MOST_BRIEF_PICTURES", 120)
    assert len(brief_findings(images, config)) == 2
    monkeypatch.setattr(checkup, "MOST_BRIEF_PICTURES", 121)
    monkeypatch.setattr(checkup, "MOST_BRIEF_VALUES", pixels.size - 1)
    assert len(brief_findings(images, config)) == 2


def test_brief_findings_include_classes_with_labels_only():
    labels = np.array([0] * 5100 + [1] * 49)
    images = pictures(np.random.default_rng(0).integers(0, 256, (5149, 6, 6, 1)).astype(np.uint8))
    assert brief_findings(images, plan(images, TrainOptions())) == []
    labelled = replace(images, labels=labels, class_names=("many", "rare classes"))
    told = brief_findings(labelled, plan(labelled, TrainOptions(labels="auto")))
    assert [text[:7] for text in told] == ["1 class", "many ha"]


def test_a_summary_of_an_array_has_no_headers():
    found = summarize("digits")
    assert (found.headers, found.formats) == ({}, Counter({"scikit-learn": 1797}))
