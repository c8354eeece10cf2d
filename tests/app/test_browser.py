"""What people do in the app, in a browser: train, watch, draw, morph, and lose nothing to a kill."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from helpers.app_process import AppServer

MINUTE = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from sklearn.datasets import load_digits

    workspace = tmp_path_factory.mktemp("app") / "workspace"
    folder = workspace / "photos" / "digits"
    folder.mkdir(parents=True)
    for place, picture in enumerate(load_digits().images[:300]):
        Image.fromarray((picture * 255 / 16).astype(np.uint8)).save(folder / f"{place:04d}.png")
    server = AppServer(workspace)
    server.start()
    yield server
    server.close()


@pytest.fixture
def tab(tab, server):
    """A tab that waits long under load, and asks for nothing from elsewhere."""
    tab.set_default_timeout(MINUTE)
    expect.set_options(timeout=2 * MINUTE)
    yield tab
    elsewhere = [one for one in tab.asked if not one.startswith((server.address, "data:", "blob:"))]
    assert not elsewhere


def state(tab):
    return tab.locator("#state")


@pytest.mark.slow
def test_a_folder_is_named_trained_on_and_nothing_is_lost(server, tab):
    tab.goto(f"{server.address}/")
    tab.get_by_role("link", name="Choose my own pictures").click()
    tab.get_by_label("Path of a folder").fill("photos/digits")
    tab.get_by_role("button", name="Open").click()
    expect(tab.locator("#checkup-result")).to_contain_text("300")  # the doctor has counted them
    tab.get_by_role("link", name="Train with these pictures").click()
    tab.get_by_label("Minutes", exact=True).fill("0.8")
    tab.get_by_label("Name", exact=True).fill("my digits")
    tab.get_by_role("button", name="Start").click()

    expect(tab.locator("#title")).to_have_text("my digits")
    expect(state(tab)).to_have_text("training")
    sheet = tab.locator("#sheet")
    expect(sheet).to_be_visible()
    first = sheet.get_attribute("src")
    expect(sheet).not_to_have_attribute("src", first)  # it sharpens without a reload

    trainer = server.trainer()
    server.kill()
    expect(tab.locator("#lost")).to_be_visible()
    assert trainer.is_running()
    server.start()
    expect(tab.locator("#lost")).to_be_hidden()  # the page is found again by itself
    tab.reload()
    address = tab.url
    tab.get_by_role("button", name="Pause and try").click()
    expect(tab).to_have_url(re.compile("/draw$"))
    tab.goto(address)
    expect(state(tab)).to_have_text("paused")
    assert tab.locator("#draw").is_visible()

    tab.get_by_role("button", name="Resume").click()
    expect(state(tab)).to_have_text("training")
    server.trainer().kill()
    expect(state(tab)).to_have_text("ended unexpectedly")
    expect(tab.locator("#message")).to_contain_text("killed")
    tab.get_by_role("button", name="Resume").click()
    expect(state(tab)).to_have_text("training")
    tab.get_by_role("button", name="Stop").click()
    expect(state(tab)).to_have_text("stopped")

    place = tab.locator("#sheet-place")
    place.focus()
    place.press("Home")  # the slider goes back to the beginning
    expect(tab.locator("#sheet-told")).to_contain_text(re.compile("sheet 1 of"))
    assert "--minutes 0.8" in tab.locator("#command").text_content()

    steps = tab.locator("#steps").text_content()
    tab.get_by_label("Continue longer").fill("0.1")
    tab.get_by_role("button", name="Continue", exact=True).click()
    expect(tab.locator("#steps")).not_to_have_text(steps)
    expect(state(tab)).to_have_text("finished")
    (found,) = tab.request.get(f"{server.address}/api/runs").json()["runs"]
    assert found["minutes"] != 0.8  # what the page says is what the run's folder says


@pytest.mark.slow
def test_pictures_are_drawn_opened_kept_and_saved(server, tab):
    open_run(server, tab, "draw")
    tab.get_by_role("spinbutton", name="Pictures").fill("4")
    tab.get_by_label("Seed of the first").fill("7")
    tab.get_by_role("button", name="Draw", exact=True).click()
    tiles = tab.locator("#sheet .tile img")
    expect(tiles).to_have_count(4)
    shown = tiles.nth(1).get_attribute("src")
    tiles.nth(1).click()
    dialog = tab.locator("#reverse")
    expect(dialog.locator("#image")).to_be_visible()
    slider = dialog.get_by_role("slider")
    slider.focus()
    slider.press("Home")
    noisy = dialog.locator("#image").get_attribute("src")
    slider.press("End")
    expect(dialog.locator("#image")).not_to_have_attribute("src", noisy)
    last = tab.request.get(server.address + dialog.locator("#image").get_attribute("src")).body()
    assert last == tab.request.get(server.address + shown).body()  # the end of its walk is the picture
    dialog.locator("#reverse-heart").click()
    tab.keyboard.press("Escape")
    expect(tab.locator("#kept .tile")).to_have_count(1)
    for kind, start in (("PNG", b"\x89PNG"), ("GIF", b"GIF8"), ("npz", b"PK")):
        with tab.expect_download() as download:
            tab.locator("#downloads").get_by_text(kind, exact=True).click()
        assert download.value.path().read_bytes().startswith(start)
    tab.reload()
    expect(tab.locator("#kept .tile")).to_have_count(1)


@pytest.mark.slow
def test_seeds_morph_on_a_slider(server, tab):
    open_run(server, tab, "play")
    tab.locator("#morph-draw").click()
    tiles = tab.locator("#morph-sheet .tile")
    expect(tiles).to_have_count(12)
    for place in (0, 1):
        if tiles.nth(place).get_attribute("aria-pressed") != "true":
            tiles.nth(place).click()
    tab.locator("#morph-frames").select_option("12")
    tab.locator("#morph-go").click()
    frame = tab.locator("#morph-frame")
    expect(frame).to_be_visible()
    slider = tab.locator(".player").get_by_role("slider")
    slider.focus()
    slider.press("Home")
    start = frame.get_attribute("src")
    slider.press("ArrowRight")
    expect(frame).not_to_have_attribute("src", start)


@pytest.mark.slow
def test_understanding_moves_with_the_time(server, tab):
    open_run(server, tab, "understand")
    noisy = tab.locator("#noisy")
    expect(noisy).to_be_visible()
    before = noisy.get_attribute("src")
    tab.locator("#time").focus()
    tab.locator("#time").press("End")
    expect(noisy).not_to_have_attribute("src", before)
    expect(tab.locator("#time-told")).to_have_text(re.compile("1.00"))


def open_run(server, tab, page):
    """A page of the run that was trained."""
    found = tab.request.get(f"{server.address}/api/runs").json()["runs"]
    if not found:
        pytest.skip("needs the run that the first test trains")
    tab.goto(f"{server.address}/run/{found[0]['id']}/{page}")


SERIOUS = {"serious", "critical"}
PAGES = ("/", "/pictures", "/train", "/trash", "/run/ID", "/run/ID/draw", "/run/ID/play", "/run/ID/understand")


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "ko")])
def test_pages_are_accessible_fit_a_phone_and_stay_in_place(server, chromium, theme, language):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme=theme, locale=language)
    page = context.new_page()
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) "
        "if (!one.hadRecentInput) window.shift += one.value; })"
        ".observe({type: 'layout-shift', buffered: true});"
    )
    found = page.request.get(f"{server.address}/api/runs").json()["runs"]
    number = found[0]["id"] if found else ""
    for path in PAGES:
        if "ID" in path and not number:
            continue
        page.goto(
            server.address + path.replace("ID", number),
            wait_until="networkidle" if "run" not in path else "load",
        )
        assert page.locator("html").get_attribute("lang") == language
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
        results = axe.run(page).response["violations"]
        faults = [(one["id"], one["nodes"][0]["html"][:200]) for one in results if one["impact"] in SERIOUS]
        assert not faults, path
        assert page.evaluate("window.shift") < 0.1, f"{path} shifts"
    context.close()
