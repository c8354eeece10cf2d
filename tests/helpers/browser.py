"""Headless Chromium of the system, a server of a folder, and runtimes of exported pages."""

import functools
import http.server
import os
import shutil
import subprocess
import tarfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "src" / "unnoise" / "export" / "web" / "page"
STAND_IN = Path(__file__).parent / "stand_in_runtime"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def chromium():
    """A browser, closed after its module: Playwright allows one at a time in a process."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium of the system")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium):
    """A new tab; an error in its scripts fails the test, and `asked` are the addresses that it asked for."""
    context = chromium.new_context()
    page = context.new_page()
    errors, page.asked = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    context.close()
    assert not errors


@pytest.fixture(scope="session")
def web_runtime(tmp_path_factory) -> Path:
    """Files of onnxruntime-web: the folder $UNNOISE_ONNXRUNTIME_WEB, or the package in npm's own cache."""
    if given := os.environ.get("UNNOISE_ONNXRUNTIME_WEB"):
        return Path(given)
    place, npm = tmp_path_factory.mktemp("npm"), shutil.which("npm")
    if npm is not None:
        words = [npm, "pack", "onnxruntime-web@1", "--offline", "--silent"]
        subprocess.run(words, cwd=place, capture_output=True, check=False, timeout=60)
    if not (packed := list(place.glob("*.tgz"))):
        pytest.skip("needs onnxruntime-web in $UNNOISE_ONNXRUNTIME_WEB or in the cache of npm")
    with tarfile.open(packed[0]) as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            target = place / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.extractfile(member).read())
    return place


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Nothing."""


@contextmanager
def served(folder: Path):
    """The address of a folder on this computer, as `python -m http.server` serves it."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
