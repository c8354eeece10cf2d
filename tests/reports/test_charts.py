"""A chart's pixels are where its numbers say, and a page holds its charts twice: for desks and for phones."""

import math
import re

import numpy as np
import pytest

from unnoise.reports.charts import Line, Panel, draw, path_through, thinned
from unnoise.reports.figures import between, duration, number, percent, time_unit
from unnoise.reports.page import Chart, Page, render
from unnoise.reports.scales import Scale, fitted
from unnoise.utils.errors import UnnoiseError


def points_of(path: str) -> np.ndarray:
    """The places of M1 2L3 4."""
    return np.array([pair.split() for pair in re.findall(r"[ML]([^MLZ]+)", path)], dtype=float)


def test_a_scale_is_the_line_through_its_ends():
    scale = Scale(2.0, 10.0, 300.0, 100.0)
    assert [scale.place(value) for value in (2, 4, 10)] == [300, 250, 100]
    scale = Scale(0.01, 100.0, 0.0, 400.0, logarithmic=True)
    assert [scale.place(10.0**power) for power in (-2, -1, 0, 2)] == pytest.approx([0, 100, 200, 400])


@pytest.mark.parametrize("low", [-3.2, 0.0, 1e-5, 700.0])
@pytest.mark.parametrize("length", [1e-6, 0.03, 1.0, 47.0, 8e5])
@pytest.mark.parametrize("most", [3, 6])
def test_ticks_are_round_inside_and_not_too_many(low, length, most):
    scale = Scale(low, low + length, 0, 1)
    ticks = scale.ticks(most)
    steps = np.diff(ticks)
    assert 1 <= len(ticks) <= most + 1
    assert low - 1e-9 * length <= min(ticks)
    assert max(ticks) <= low + length * (1 + 1e-9)
    if len(steps):
        mantissa = steps[0] / 10.0 ** math.floor(math.log10(steps[0] * (1 + 1e-6)))
        assert min(abs(mantissa - round_one) for round_one in (1, 2, 5)) < 1e-3
        assert steps == pytest.approx(steps[0], rel=1e-3)


def test_logarithmic_ticks():
    assert Scale(0.008, 0.6, 0, 1, logarithmic=True).ticks(7) == pytest.approx(
        [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    )
    decades = Scale(1e-6, 1e6, 0, 1, logarithmic=True).ticks(4)
    assert decades == pytest.approx([10.0**power for power in (-6, -2, 2, 6)], rel=1e-9)


def test_the_axis_is_logarithmic_where_the_numbers_ask_for_it():
    assert fitted([0.01, 1.0], 0, 1, log=True).logarithmic
    assert not fitted([0.2, 1.0], 0, 1, log=True).logarithmic
    assert not fitted([-0.01, 1.0], 0, 1, log=True).logarithmic
    assert not fitted([0.01, 1.0], 0, 1).logarithmic
    alone = fitted([3.0], 0, 100)
    assert alone.place(3.0) == 50
    for low, high in ((1.0, 1.0), (2.0, 1.0), (0.0, math.inf)):
        with pytest.raises(UnnoiseError, match="lower to a higher"):
            Scale(low, high, 0, 1)
    with pytest.raises(UnnoiseError, match="above 0"):
        Scale(0.0, 1.0, 0, 1, logarithmic=True)


@pytest.mark.parametrize("size", [(900.0, 340.0), (340.0, 280.0)])
@pytest.mark.parametrize("high", [0.9, 30.0])
def test_curves_lie_where_their_numbers_are(size, high):
    """The map from data to pixels, worked out again from the ticks alone, gives back every point."""
    random = np.random.default_rng(0)
    xs, ys = np.sort(random.uniform(0, 5000, 40)), random.uniform(0.3, high, 40)
    band = tuple((float(y) * 0.8, float(y) * 1.3) for y in ys)
    points = tuple(zip(xs.tolist(), ys.tolist(), strict=True))
    line = Line("one", points, dots=True, band=band)
    drawn = draw(Panel("x", "y", (line,), x_text="{:.6g}".format, y_text="{:.6g}".format), *size)
    logarithmic = high > 10
    (curve,) = drawn.curves

    def through(ticks, values, log):
        """The line through the first and the last tick: an oracle that knows no scale."""
        f = np.log if log else np.asarray
        numbers, places = f([float(tick.text) for tick in ticks]), [tick.place for tick in ticks]
        slope = (places[-1] - places[0]) / (numbers[-1] - numbers[0])
        return places[0] + slope * (f(values) - numbers[0])

    x_wanted, y_wanted = through(drawn.x_ticks, xs, False), through(drawn.y_ticks, ys, logarithmic)
    np.testing.assert_allclose(points_of(curve.path), np.stack([x_wanted, y_wanted], 1), atol=0.0051)
    np.testing.assert_allclose([dot[:2] for dot in curve.dots], np.stack([x_wanted, y_wanted], 1), atol=1e-6)
    around = points_of(curve.band)
    np.testing.assert_allclose(around[:40, 1], through(drawn.y_ticks, 0.8 * ys, logarithmic), atol=0.0051)
    np.testing.assert_allclose(around[:39:-1, 1], through(drawn.y_ticks, 1.3 * ys, logarithmic), atol=0.0051)
    inside = points_of(curve.path)
    assert inside[:, 0].min() == pytest.approx(drawn.left, abs=0.01)
    assert inside[:, 0].max() == pytest.approx(drawn.right, abs=0.01)
    assert drawn.top < around[:, 1].min()
    assert around[:, 1].max() < drawn.bottom
    (label,) = drawn.labels
    assert (label.text, label.value) == ("one", f"{points[-1][1]:.6g}")


def test_what_is_not_finite_is_left_out():
    line = Line("loss", ((0, 1.0), (1, math.nan), (2, 3.0), (3, math.inf)), band=((0.5, 2),) * 4, ringed=2)
    drawn = draw(Panel("x", "y", (line, Line("none", ((0, math.nan),)))), 900, 340)
    (curve,) = drawn.curves
    assert len(points_of(curve.path)) == 2
    assert len(points_of(curve.band)) == 4
    assert draw(Panel("x", "y", (Line("none", ((0.0, math.nan),)),)), 900, 340) is None
    dotted = draw(Panel("x", "y", (Line("a", ((0, 1), (1, 2), (2, 3)), dots=True, ringed=1),)), 900, 340)
    assert [dot.ringed for dot in dotted.curves[0].dots] == [False, True, False]
    (alone,) = draw(Panel("x", "y", (Line("a", ((5.0, 1.0),)),)), 900, 340).curves
    assert len(alone.dots) == 1


def test_labels_keep_apart():
    lines = tuple(Line(f"run {n}", ((0, 1.0), (1, 0.5 + 0.001 * n)), series=n) for n in range(5))
    labels = draw(Panel("x", "y", (*lines, Line("high", ((0, 1), (1, 2))))), 440, 300).labels
    heights = sorted(label.y for label in labels)
    assert min(np.diff(heights)) > 30
    order = sorted(labels, key=lambda label: -label.y)
    assert [label.text for label in order] == [f"run {n}" for n in range(5)] + ["high"]
    long = draw(Panel("x", "y", (Line("a" * 80, ((0, 1), (1, 2))),)), 340, 280)
    assert long.labels[0].text == "a" * 10 + "…"
    assert long.right - long.left > 150


def test_thinning_keeps_the_ends_and_the_extremes():
    heights = np.random.default_rng(1).normal(size=10_000)
    kept = thinned(heights.tolist(), 400)
    assert len(kept) <= 402
    assert kept == sorted(kept)
    assert {0, 9_999, int(heights.argmin()), int(heights.argmax())} <= set(kept)
    assert thinned([1.0, 2.0, 3.0]) == [0, 1, 2]
    assert path_through([(1, 2), (3.14159, 4)]) == "M1.00 2.00L3.14 4.00"


def test_a_chart_is_there_for_desks_and_for_phones():
    panel = Panel("images seen", "loss", (Line("a", ((0, 1.0), (1, 2.0))),))
    single, pair = Chart("Loss", (panel,), "Loss of a."), Chart("Both", (panel, panel), "Both of a.")
    assert [(size, drawn.width) for size, drawn in single.drawn] == [("wide", 900), ("narrow", 340)]
    assert [size for size, _ in pair.drawn] == ["wide", "narrow"] * 2
    html = render(Page("t", "l", (single, pair)))
    assert html.count("<svg") == 6
    ids = re.findall(r'id="(part-[^"]+)"', html)
    assert len(set(ids)) == len(ids) == 6


def test_numbers_are_written_with_the_digits_that_can_be_believed():
    cases = {
        0.0123449: "0.01234",
        1234567: "1,234,567",
        12345.6: "12,346",
        3.0: "3",
        1e-5: "1e-5",
        -0.5: "-0.5",
    }
    assert {value: number(value) for value in cases} == cases
    assert number(None) == number(math.nan) == percent(None) == "–"
    assert between(0.006996, 0.01626) == "0.0070 to 0.0163"
    assert between(19.83, 22.96) == "19.8 to 23.0"
    assert between(0.0222, 0.0415, percents=True) == "2.22 to 4.15 %"
    assert between(None, 1.0) == between(math.nan, 1.0) == ""
    assert between(0.5, 0.5) == "0.50 to 0.50"
    assert percent(0.0321) == "3.21 %"
    assert [duration(seconds) for seconds in (59.7, 600, 9000)] == ["60 s", "10.0 min", "2.5 h"]
    assert [time_unit(seconds)[0] for seconds in (60, 600, 20_000)] == ["seconds", "minutes", "hours"]
