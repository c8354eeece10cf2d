"""Screenshots of the app for the documentation, in English and Korean.

    python docs/screenshots.py WORKSPACE [PAGE ...]

The workspace holds trained runs; the newest one is shown. Chromium of the system and Playwright are needed.
"""

import io
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

PORT = 8797
ADDRESS = f"http://127.0.0.1:{PORT}"
IMAGES = Path(__file__).parent / "images" / "app"
PAGES = ("runs", "pictures", "train", "run", "draw", "play", "understand")
VIEWS = {"": (1180, "light"), "-phone": (390, "dark")}
"""Suffix of the name, width in pixels, colours."""
CHROMIUM = "/usr/bin/chromium"
_QUALITY = 40
_OTHER_PATH = """for (const one of document.querySelectorAll(".help"))
  one.textContent = one.textContent.replace(/\\/\\S*\\/[^\\s.]*/, "/home/me/unnoise")"""
"""A script that shows the path of some workspace instead of this one's."""


@contextmanager
def served(workspace: Path) -> Iterator[str]:
    """The app; gives the id of the newest run."""
    words = [sys.executable, "-m", "unnoise", "app", "--no-browser", "--port", str(PORT)]
    with subprocess.Popen([*words, "--workspace", str(workspace)]) as process:
        try:
            for _ in range(100):
                try:
                    with urllib.request.urlopen(f"{ADDRESS}/api/runs") as answer:  # noqa: S310 (our own)
                        found = answer.read().decode()
                    break
                except OSError:
                    time.sleep(0.1)
            yield found.partition('"id":"')[2][:12]
        finally:
            process.terminate()


def address(page: str, run: str) -> str:
    """The address of a page."""
    return ADDRESS + {
        "runs": "/",
        "pictures": "/pictures",
        "train": "/train?set=known:digits",
        "run": f"/run/{run}",
    }.get(page, f"/run/{run}/{page}")


def prepare(tab: Page, page: str) -> None:
    """Does what makes a page show something."""
    if page == "pictures":
        tab.locator("#sets button").first.click()
        tab.wait_for_selector("#checkup-result img")
        tab.evaluate(_OTHER_PATH)
    elif page == "train":
        tab.wait_for_selector("#forecast dl")
    elif page == "draw":
        if not tab.locator("#sheet .tile img").count():
            tab.locator("#draw").click()
        tab.wait_for_selector("#sheet .tile img")
    elif page == "play":
        tab.wait_for_selector("#morph-sheet .tile img")
        tab.locator("#morph-go").click()
        tab.wait_for_selector("#morph-frame:not([hidden])")
    elif page == "understand":
        tab.wait_for_selector("#noisy:not([hidden])")
    tab.wait_for_timeout(800)


def shoot(browser: Browser, page: str, run: str, language: str, view: str) -> None:
    """Writes one screenshot as a small WebP."""
    width, colours = VIEWS[view]
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=colours,
        locale=language,
    )
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.goto(address(page, run))
    prepare(tab, page)
    tab.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    picture = Image.open(io.BytesIO(tab.screenshot(full_page=True)))
    picture = picture.crop((0, 0, picture.width, min(picture.height, 1400)))
    suffix = "" if language == "en" else f".{language}"
    picture.save(IMAGES / f"{page}{view}{suffix}.webp", quality=_QUALITY, method=6)
    context.close()


def main() -> None:
    """Takes all screenshots."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with served(Path(sys.argv[1])) as run, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for page in sys.argv[2:] or PAGES:
            for language in ("en", "ko"):
                for view in VIEWS:
                    shoot(browser, page, run, language, view)
        browser.close()


if __name__ == "__main__":
    main()
