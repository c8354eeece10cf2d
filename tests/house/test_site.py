"""The site of the documentation: sliders that move in a browser, and links that are checked."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.browser import chromium, tab  # noqa: F401 (fixtures)
from unnoise.cli import COMMANDS

EXTENSIONS = Path(__file__).parents[2] / "docs" / "extensions"

SLIDER = """
import sys
from PIL import Image
from figures import slider
frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]
sys.stdout.write(slider(frames, ["σ = 0 'a'", "σ = 1", "σ = 2"], "noise", start=1).data)
"""


def test_every_command_has_its_place_among_all_commands():
    page = (EXTENSIONS.parent / "reference" / "commands.md").read_text(encoding="utf-8")
    titles = [line.removeprefix("## unnoise ") for line in page.splitlines() if line.startswith("## ")]
    assert sorted(titles) == sorted(COMMANDS)
    assert page.count(":::{command} ") == len(COMMANDS)


def run(code: str, *words: str) -> str:
    """What a program that can import the extensions prints."""
    environment = {
        "PYTHONPATH": f"{EXTENSIONS}:{EXTENSIONS.parent}",
        "PATH": "/usr/bin",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, check=True, env=environment, text=True
    )
    return done.stdout


def test_a_slider_shows_one_frame_and_its_label_and_moves_by_keyboard(tab, tmp_path):  # noqa: F811
    (tmp_path / "page.html").write_text(f"<meta charset=utf-8>{run(SLIDER)}", encoding="utf-8")
    tab.goto((tmp_path / "page.html").as_uri())
    moved, images = tab.locator("input[type=range]"), tab.locator("img")
    shown = lambda: [place for place in range(3) if images.nth(place).is_visible()]  # noqa: E731
    assert (shown(), tab.locator("output").inner_text()) == ([1], "σ = 1")
    moved.focus()
    tab.keyboard.press("ArrowRight")
    assert (shown(), tab.locator("output").inner_text()) == ([2], "σ = 2")
    tab.keyboard.press("Home")
    assert shown() == [0]
    assert moved.get_attribute("aria-valuetext") == "σ = 0 'a'"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<a href="two.html#here">', ""),
        ('<a href="two.html#gone">', "index.html links to two.html#gone, but that page has no such place."),
        ('<a href="three.html">', "index.html links to three.html, which does not exist."),
        (
            '<script src="https://example.org/x.js">',
            "index.html loads https://example.org/x.js, which is not part",
        ),
        ('<a href="https://example.org/">', ""),
    ],
)
def test_a_wrong_link_or_a_foreign_script_ends_the_build(body, said, tmp_path):
    (tmp_path / "two.html").write_text('<p id="here">', encoding="utf-8")
    (tmp_path / "index.html").write_text(body, encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from site_check import faults; print(*faults(Path(sys.argv[1])))"
    )
    told = run(code, str(tmp_path)).strip()
    assert told.startswith(said) if said else not told


def test_the_first_page_shows_what_the_build_draws_and_without_npm_says_so(tmp_path):
    code = (
        "import shutil, sys; from pathlib import Path; import live_digits; "
        "shutil.which = lambda name: None; "
        "live_digits.write(Path(sys.argv[1]) / 'site' / 'live.html', Path('none'))"
    )
    run(code, str(tmp_path))
    assert "which was not there" in (tmp_path / "site" / "live.html").read_text("utf-8")
    assert 'src="../live.html"' in (EXTENSIONS.parent / "index.md").read_text("utf-8")
    assert 'SITE / "live.html"' in (EXTENSIONS.parent / "build.py").read_text("utf-8")


@pytest.mark.slow
def test_the_run_of_the_first_page_draws_in_two_calls_and_is_made_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; import live_digits; "
        "live_digits.TRAINED = live_digits.DISTILLED = 0.02; folder = Path(sys.argv[1]); "
        "run = live_digits.distilled(folder); "
        "assert run.config.recipe.sampling.calls(run.config.schedule) == 2; "
        "before = (run.path / 'model.safetensors').stat().st_mtime_ns; "
        "again = live_digits.distilled(folder); "
        "assert (again.path / 'model.safetensors').stat().st_mtime_ns == before"
    )
    run(code, str(tmp_path))
