"""Build of the documentation site: `make docs`, or `python docs/build.py` with an option.

    python docs/build.py                in English and Korean, with all checks
    python docs/build.py --update       writes what is to be translated into locale/ (gettext)
    python docs/build.py --links        tries the links to other sites, which needs a network

English comes first and executes the code of all pages; Korean takes the results from the cache.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from babel.messages.pofile import read_po

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS / "extensions")]
import live_digits  # noqa: E402
from site_check import faults  # noqa: E402

BUILD = DOCS.parent / "build" / "docs"
SITE = BUILD / "html"
TRANSLATED = ("index", "guide/", "howto/")
"""Pages that are wholly in Korean, as names or folders; the others show what they have."""

START = """<!doctype html><html lang="en"><meta charset="utf-8"><title>unnoise</title>
<script>
const korean = (navigator.language || "").startsWith("ko")
location.replace(korean ? "ko/index.html" : "en/index.html")
</script>
<p><a href="en/index.html">English</a> <a lang="ko" href="ko/index.html">한국어</a></p></html>
"""

_TOLD = re.compile("WARNING|ERROR|Error|Executed notebook|tests? in|broken|[a-z]+ output... .*%")
"""What is shown of Sphinx's output: its warnings, and its progress."""


def sphinx(builder: str, target: Path, *options: str) -> None:
    """Runs Sphinx and shows how far it is; any warning ends the build."""
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--no-color", "--jobs", "2"]
    command += ["-b", builder, *options, str(DOCS), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if _TOLD.search(line) and "IPKernelApp" not in line:
                print(line.rstrip(), flush=True)
    if process.returncode:
        sys.exit(f"Sphinx could not write {target}: see the warnings above.")


def extract() -> Path:
    """Writes the paragraphs of all pages as templates of translations; executes nothing."""
    templates = BUILD / "pot"
    shutil.rmtree(templates, ignore_errors=True)
    sphinx("gettext", templates, "-D", "nb_execution_mode=off", "-D", "suppress_warnings=myst-nb.lexer")
    return templates


def belongs(page: str) -> bool:
    """Whether a page is one of those that are wholly in Korean."""
    return any(page.startswith(name) if name.endswith("/") else page == name for name in TRANSLATED)


def paragraphs(file: Path) -> dict[str, bool]:
    """Each paragraph of a page, and whether it has a translation."""
    with file.open("rb") as opened:
        return {str(e.id): bool(e.string) and not e.fuzzy for e in read_po(opened) if e.id}


def share(templates: Path) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Translated and all paragraphs of each page; and what pages wholly in Korean still lack."""
    counts, missing = {}, []
    for template in sorted(templates.rglob("*.pot")):
        page = str(template.relative_to(templates).with_suffix(""))
        wanted = list(paragraphs(template))
        file = DOCS / "locale" / "ko" / "LC_MESSAGES" / f"{page}.po"
        done = paragraphs(file) if file.exists() else {}
        counts[page] = (sum(done.get(one, False) for one in wanted), len(wanted))
        if belongs(page):
            missing += [f"{page}: {one[:80]!r}" for one in wanted if not done.get(one)]
    return counts, missing


def told(counts: dict[str, tuple[int, int]]) -> str:
    """The share translated, of the pages that are wholly in Korean, and of all."""
    mine = [count for page, count in counts.items() if belongs(page)]
    parts = []
    for name, rows in ((", ".join(TRANSLATED), mine), ("all pages", list(counts.values()))):
        done, wanted = (sum(column) for column in zip(*rows, strict=True))
        parts.append(f"{100 * done // wanted} % of {name} ({done} of {wanted} paragraphs)")
    return "; ".join(parts)


def update() -> None:
    """Brings locale/ up to date with the pages that are wholly in Korean (sphinx-intl)."""
    templates = extract()
    for template in templates.rglob("*.pot"):
        if not belongs(str(template.relative_to(templates).with_suffix(""))):
            template.unlink()
    locale = ["-p", str(templates), "-d", str(DOCS / "locale"), "-l", "ko", "-w", "110"]
    subprocess.run([sys.executable, "-m", "sphinx_intl", "update", *locale], check=True)


def build() -> None:
    """Checks the translation, executes all pages, writes both languages and runs the doctests."""
    begun = time.monotonic()
    counts, missing = share(extract())
    print("Translated into Korean:", told(counts))
    if missing:
        sys.exit(
            "To be translated, after `python docs/build.py --update`, in docs/locale:\n" + "\n".join(missing)
        )
    for old in (SITE, BUILD / "cache", BUILD / "en", BUILD / "ko"):
        shutil.rmtree(old, ignore_errors=True)
    for language in ("en", "ko"):
        sphinx("html", SITE / language, "-D", f"language={language}", "-d", str(BUILD / language))
        print(f"{SITE / language / 'index.html'}: written after {time.monotonic() - begun:.0f} s")
    (SITE / "index.html").write_text(START, encoding="utf-8")
    live_digits.write(SITE / "live.html", BUILD)
    if found := faults(SITE):
        sys.exit("\n".join(found))
    sphinx("doctest", BUILD / "doctest", "-d", str(BUILD / "en"))
    executed = sum("file_format: mystnb" in page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    print(f"{executed} pages were executed, without a warning, in {time.monotonic() - begun:.0f} s.")


def main() -> None:
    """Parses the one option."""
    parser = argparse.ArgumentParser(description="Builds the site of the documentation.")
    parser.add_argument("--update", action="store_true", help="write what is to be translated into docs/locale")
    parser.add_argument("--links", action="store_true", help="try the links to other sites")
    given = parser.parse_args()
    if given.update:
        update()
    elif given.links:
        sphinx("linkcheck", BUILD / "links")
    else:
        build()


if __name__ == "__main__":
    main()
