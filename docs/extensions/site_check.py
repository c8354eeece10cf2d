"""Checks of a finished site: each link leads somewhere, and nothing is loaded from another host."""

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "video": "src"}
_NOT_LOADED = {"canonical", "next", "prev", "search", "index", "author", "alternate"}
"""Links in a page's head that browsers do not follow."""


class _Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the links, loads and anchors of one element."""
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(filter(None, (given.get("id"), given.get("name"))))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        address = given.get(_LOADED.get(tag, ""), "")
        if address and not (tag == "link" and given.get("rel") in _NOT_LOADED):
            self.loads.append(address)


@cache
def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def faults(site: Path) -> list[str]:
    """What is wrong, one sentence each."""
    found = []
    for path in sorted(site.rglob("*.html")):
        page, name = _read(path), path.relative_to(site)
        foreign = [one for one in page.loads if one.startswith(("http:", "https:", "//"))]
        found += [f"{name} loads {address}, which is not part of the site." for address in foreign]
        for address in page.links + page.loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                found.append(f"{name} links to {address}, which does not exist.")
            elif target.suffix == ".html" and unquote(parts.fragment) not in {"", *_read(target).anchors}:
                found.append(f"{name} links to {address}, but that page has no such place.")
    return found
