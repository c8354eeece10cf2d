"""Charts of a page: points lie where their numbers are, colours come from the page, ids and names are safe."""

import math
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from unnoise.reports.charts import Line, Plot, svg
from unnoise.reports.number_text import between, duration, number, percent, time_unit
from unnoise.reports.page import Chart, Page, render

CURVE, LABEL = "fill: none; stroke: var(--series-", "fill: var(--series-"


def drawn(*lines: Line, size=(900, 340), **settings) -> ET.Element:
    text = svg(Plot("x", "y", lines, **settings), *size, "a chart", "chart-1")
    return ET.fromstring(text)  # noqa: S314


def points_of(path: ET.Element) -> np.ndarray:
    """The points (x, y) of a path, in the units of the viewBox."""
    return np.array([pair.split() for pair in re.findall("[ML]([^MLCz]+)", path.get("d"))], dtype=float)


def paths(chart: ET.Element, style: str) -> list[np.ndarray]:
    return [points_of(path) for path in chart.iter("path") if style in path.get("style", "")]


def dots(chart: ET.Element, style: str = "stroke: var(--paper)") -> np.ndarray:
    found = [use for use in chart.iter("use") if style in use.get("style", "")]
    return np.array([[use.get("x"), use.get("y")] for use in found], dtype=float)


def texts(chart: ET.Element, style: str = "") -> list[str]:
    return [text.text for text in chart.iter("text") if style in text.get("style", "")]


def through(values, numbers, places, logarithmic):
    """The places of values on the axis through these ticks: a scale worked out from the ticks alone."""
    f = np.log if logarithmic else np.asarray
    slope = (places[-1] - places[0]) / (f(numbers)[-1] - f(numbers)[0])
    return places[0] + slope * (f(values) - f(numbers)[0])


@pytest.mark.parametrize("size", [(900, 340), (340, 280)])
@pytest.mark.parametrize("high", [0.9, 30.0])
def test_points_and_intervals_lie_where_the_ticks_put_them(size, high):
    random = np.random.default_rng(0)
    xs, ys = np.sort(random.uniform(0, 5000, 40)), random.uniform(0.3, high, 40)
    band = tuple((float(y) * 0.8, float(y) * 1.3) for y in ys)
    points = tuple(zip(xs.tolist(), ys.tolist(), strict=True))
    chart = drawn(Line("one", points, dots=True, band=band), size=size, x_text="{:.6g}".format)
    x_ticks = dots(chart, "fill: var(--muted)")[:, 0]
    y_ticks = np.array([path[0, 1] for path in paths(chart, "var(--grid)")])
    x_numbers = [float(text) for text in texts(chart, "text-anchor: middle")]
    y_numbers = [float(text) for text in texts(chart, "text-anchor: end")[1:]]  # after the axis' title
    assert min(len(x_ticks), len(y_ticks)) >= 2
    logarithmic = high > 10
    x_wanted = through(xs, x_numbers, x_ticks, False)

    def heights(values):
        return through(values, y_numbers, y_ticks, logarithmic)

    (curve,) = paths(chart, CURVE)
    wanted = np.stack([x_wanted, heights(ys)], 1)
    np.testing.assert_allclose(curve, wanted, atol=1e-3)
    np.testing.assert_allclose(dots(chart), wanted, atol=1e-3)
    (use,) = [use for use in chart.iter("use") if "fill-opacity" in use.get("style", "")]
    (outline,) = [path for path in chart.iter("path") if f"#{path.get('id')}" == use.get("href")]
    around = points_of(outline) + np.array([use.get("x"), use.get("y")], dtype=float)
    for ends in (0.8 * ys, 1.3 * ys):
        for x, y in zip(x_wanted, heights(ends), strict=True):
            assert np.abs(around - (x, y)).max(axis=1).min() < 1e-3
    assert texts(chart, LABEL) == ["one", number(points[-1][1])]


@pytest.mark.parametrize(
    ("ys", "logarithmic"),
    [((0.01, 0.05, 1.0), True), ((0.2, 0.5, 1.0), False), ((-0.01, 0.5, 1.0), False)],
)
def test_the_vertical_axis_is_logarithmic_above_a_factor_of_ten(ys, logarithmic):
    chart = drawn(Line("", tuple(enumerate(ys))))
    heights = [path[0, 1] for path in paths(chart, "var(--grid)")]
    steps = [later / earlier for earlier, later in pairwise(np.diff(heights))]
    numbers = [float(text) for text in texts(chart, "text-anchor: end")[1:]]
    even = np.allclose(steps, 1.0, atol=1e-3)
    assert even != logarithmic
    assert all(number > 0 for number in numbers) or not logarithmic


def test_a_chart_begins_at_zero_only_where_asked():
    line = Line("", ((100.0, 1.0), (200.0, 2.0)))
    assert "0" in texts(drawn(line, from_zero=True), "text-anchor: middle")
    assert "0" not in texts(drawn(line), "text-anchor: middle")


def test_points_that_are_not_finite_are_left_out():
    line = Line("loss", ((0, 1.0), (1, math.nan), (2, 3.0), (3, math.inf)), band=((0.5, 4.0),) * 4)
    chart = drawn(line, Line("none", ((0, math.nan),)))
    (curve,) = paths(chart, CURVE)
    assert len(curve) == 2
    assert texts(chart, LABEL) == ["loss", "3"]


def test_a_chart_without_a_finite_point_says_so():
    chart = drawn(Line("loss", ((0, math.nan), (1, math.inf))))
    assert "no finite values" in texts(chart)
    assert not paths(chart, CURVE)


def test_a_single_point_is_a_dot_and_a_ring_is_drawn_over_it():
    (dot,) = dots(drawn(Line("a", ((5.0, 1.0),))))
    assert np.isfinite(dot).all()
    chart = drawn(Line("a", ((0, 1), (1, 2), (2, 3)), dots=True, ringed=(1, 2)))
    (ring,) = dots(chart, "fill: var(--paper)")
    assert ring == pytest.approx(dots(chart)[1])


@pytest.mark.parametrize("runs", [2, 5, 12])
def test_names_at_the_curves_ends_do_not_overlap(runs):
    lines = [Line(f"run {n}", ((0, 1.0), (1, 0.5 + 0.001 * n))) for n in range(runs)]
    chart = drawn(*lines, size=(340, 280))
    labels = sorted(
        float(text.get("transform").split()[1].rstrip(")"))
        for text in chart.iter("text")
        if LABEL in text.get("style", "")
    )
    assert len(labels) == 2 * runs
    assert min(np.diff(labels)) > 8.5  # the size of their letters
    assert labels[-1] <= float(chart.get("viewBox").split()[3])


def test_a_long_name_is_shortened_so_that_the_curve_keeps_its_room():
    chart = drawn(Line("a" * 80, ((0, 1), (1, 2))), size=(340, 280))
    assert "a" * 10 + "…" in texts(chart)
    (curve,) = paths(chart, CURVE)
    assert np.ptp(curve[:, 0]) > 0.4 * float(chart.get("viewBox").split()[2])


@pytest.mark.parametrize("name", ["<b>&", "$x^2$", "a\\$b", "\x1b[31m", "实验 🙂", "#0072b2"])
def test_a_name_is_shown_letter_by_letter(name):
    chart = drawn(Line(name, ((0, 1), (1, 2))))
    assert texts(chart, LABEL)[0] == name.replace("\x1b", "\\x1b")
    assert "<b>" not in ET.tostring(chart, encoding="unicode")


def test_every_colour_is_a_variable_of_the_page():
    lines = [Line(f"{n}", ((0, 1.0), (1, 0.5 + n)), n, "pale" if n else "strong") for n in range(9)]
    text = svg(Plot("x", "y", tuple(lines)), 900, 340, "a chart", "one")
    css = render(Page("t", "l", ()))
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert {"--ink", "--grid", "--muted", "--series-1", "--series-8"} <= used
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b", text)
    light, dark = css.split("prefers-color-scheme: dark")
    assert all(f"{name}:" in part for name in used for part in (light, dark))


def test_the_same_plot_gives_the_same_text_and_no_two_charts_share_an_id():
    plot = Plot("images seen", "loss", (Line("a", ((0, 1.0), (1, 2.0)), dots=True),))
    assert svg(plot, 340, 280, "t", "a") == svg(plot, 340, 280, "t", "a")
    single, pair = Chart("Loss", (plot,), "Loss of a."), Chart("Both", (plot, plot), "Both of a.")
    html = render(Page("t", "l", (single, pair)))
    assert html.count("<svg") == 6
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(set(ids)) == len(ids) >= 12
    assert set(re.findall(r'href="#([^"]+)"', html)) | set(re.findall('labelledby="([^"]+)"', html)) <= set(ids)
    assert [name for name, _ in single.drawings("a")] == ["wide", "narrow"]
    assert [name for name, _ in pair.drawings("a")] == ["wide", "narrow"] * 2


def test_numbers_are_written_to_four_digits_and_intervals_to_two_of_their_half_width():
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


def test_times_are_written_in_the_unit_that_suits_their_length():
    assert [duration(seconds) for seconds in (59.7, 600, 9000)] == ["60 s", "10.0 min", "2.5 h"]
    assert [time_unit(seconds)[0] for seconds in (60, 600, 20_000)] == ["seconds", "minutes", "hours"]
