"""The link on each page to the same page in the other language."""

from typing import Any

from sphinx.application import Sphinx

NAMES = {"en": "English", "ko": "한국어"}


def add_other(app: Sphinx, page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Tells the template which languages there are, and where this page is in each."""
    up = "../" * (page.count("/") + 1)
    context["languages"] = [
        (code, name, f"{up}{code}/{page}.html", code == app.config.language) for code, name in NAMES.items()
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Listens to pages that are written."""
    app.connect("html-page-context", add_other)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
