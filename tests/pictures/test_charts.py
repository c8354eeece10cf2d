"""Loss curves: what is drawn for any history, labels, and no effect on matplotlib's settings."""

import math
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from PIL import ImageColor

from unnoise.pictures import LossPoint, loss_curve
from unnoise.pictures.charts import spread_apart
from unnoise.pictures.loss_curves import HELD_OUT, TRAINING, counted, smoothed


def pixels_of(picture, colour):
    return int((np.asarray(picture) == ImageColor.getrgb(colour)).all(axis=-1).sum())


def test_training_and_held_out_losses_have_their_colours():
    history = [
        LossPoint(64 * step, 1.0 / (1 + step), 1.1 / (1 + step) if step % 10 == 0 else None)
        for step in range(100)
    ]
    picture = loss_curve(history)
    assert pixels_of(picture, TRAINING) > 500
    assert pixels_of(picture, HELD_OUT) > 300


@pytest.mark.parametrize(
    ("history", "colour"),
    [
        ([LossPoint(0, 0.5, None)], TRAINING),
        ([LossPoint(64, None, 0.5)], HELD_OUT),
        ([LossPoint(64, 0.0, -1.0)], HELD_OUT),
        ([LossPoint(0, math.nan, None), LossPoint(1, 0.3, math.inf), LossPoint(2, 0.2, None)], TRAINING),
        ([LossPoint(0, 1e-8, None), LossPoint(10**9, 1e8, None)], TRAINING),
        ([LossPoint(5, 0.5, None), LossPoint(5, 0.5, None)], TRAINING),
        ([LossPoint(1, 1e308, None), LossPoint(2, 0.5, None)], TRAINING),
    ],
    ids=["one", "one held-out", "not above zero", "not finite", "many decades", "same images", "too large"],
)
def test_degenerate_histories_are_drawn(history, colour):
    assert pixels_of(loss_curve(history), colour) > 20


def test_histories_without_a_loss_that_can_be_drawn_have_no_curves():
    for history in (
        [],
        [LossPoint(0, None, None)],
        [LossPoint(0, math.nan, math.inf)],
        [LossPoint(0, 1e308, -1e308)],
    ):
        picture = loss_curve(history)
        assert pixels_of(picture, TRAINING) == 0
        assert len(set(picture.convert("L").tobytes())) > 10


def test_the_trend_keeps_lines_and_smooths_noise():
    line = np.linspace(3.0, 1.0, 200)
    assert smoothed(line) == pytest.approx(line)
    assert np.array_equal(smoothed(line[:5]), line[:5])
    noise = np.random.default_rng(0).normal(size=1000)
    assert smoothed(noise).std() < 0.3 * noise.std()


@pytest.mark.parametrize(
    ("images", "text"),
    [(0.0, "0"), (950.0, "950"), (1500.0, "1.5k"), (2e4, "20k"), (2.5e6, "2.5M"), (3e9, "3G")],
)
def test_counts_are_abbreviated(images, text):
    assert counted(images) == text


def test_labels_keep_their_order_at_a_distance_inside_the_axes():
    assert spread_apart([0.2, 0.5], 0.1) == [0.2, 0.5]
    assert spread_apart([1.0, 1.0, 0.99], 0.1) == pytest.approx([0.9, 1.0, 0.8])
    assert spread_apart([], 0.1) == []


def test_charts_neither_change_nor_use_the_settings_of_matplotlib():
    expected = loss_curve([LossPoint(1, 1.0, 2.0), LossPoint(2, 2.0, 1.0)])
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30.0}):
        assert loss_curve([LossPoint(1, 1.0, 2.0), LossPoint(2, 2.0, 1.0)]) == expected
        assert mpl.rcParams["axes.facecolor"] == "red"


def test_matplotlib_and_imageio_are_imported_lazily_and_pyplot_never():
    program = (
        "import sys, unnoise.pictures as pictures\n"
        "assert not {'matplotlib', 'imageio', 'av'} & set(sys.modules)\n"
        "pictures.loss_curve([])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
