"""Links from a page to files outside docs/, which on the site lead to the repository."""

import re
from pathlib import Path

from sphinx.application import Sphinx

REPOSITORY = "https://github.com/unnoise/unnoise"
_LINK = re.compile(r"\]\((\.\.?/[^)#\s]*)(#[^)\s]*)?\)")


def rewrite(app: Sphinx, page: str, source: list[str]) -> None:
    """Replaces relative links to files and folders that are no part of the site."""
    docs = Path(app.srcdir)
    folder = (docs / page).parent

    def replaced(match: re.Match[str]) -> str:
        path, anchor = match.group(1), match.group(2) or ""
        target = (folder / path).resolve()
        if target.is_relative_to(docs) and target.is_file():
            return match.group()
        kind = "tree" if target.is_dir() else "blob"
        return f"]({REPOSITORY}/{kind}/main/{target.relative_to(docs.parent)}{anchor})"

    source[0] = _LINK.sub(replaced, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Listens to pages that are read."""
    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
