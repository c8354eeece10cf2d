"""Settings of the documentation site: Sphinx, the theme Furo, and pages that MyST-NB executes.

`make docs` builds it twice, in English and in Korean. The Korean texts are in locale/, one file for each page
(gettext), and the results of code are made once for both. Nothing on a page comes from another host.
"""

import doctest
import os
import sys
from pathlib import Path

from unnoise import __version__

HERE = Path(__file__).parent
EXTENSIONS = str(HERE / "extensions")
sys.path.insert(0, EXTENSIONS)
# The kernels that execute pages find `figures`, use the processors sparingly and draw without a screen.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [EXTENSIONS, os.environ.get("PYTHONPATH")]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "unnoise"
author = "The unnoise founders"
project_copyright = author
version = release = __version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.doctest",
    "sphinx_design",
    "mathml",
    "docstrings",
    "source_code",
    "command_help",
    "outside_links",
    "language_switch",
]
exclude_patterns = ["extensions", "locale", "_templates", "images"]
smartquotes = False  # --option stays --option
nitpicky = False  # docstrings name types of other projects, whose sites need a network

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4

nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE.parent / "build" / "docs" / "cache")
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

doctest_default_flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False

locale_dirs = ["locale"]
gettext_compact = False
gettext_location = False
gettext_uuid = False

html_theme = "furo"
html_title = "unnoise"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}


def setup(app: object) -> None:
    """Names the button over folded code in the language of the edition."""

    def name_button(_app: object, config: object) -> None:
        korean = config.language == "ko"  # type: ignore[attr-defined]
        config.nb_code_prompt_show = "코드 보기" if korean else "Show the code"  # type: ignore[attr-defined]
        config.nb_code_prompt_hide = "코드 접기" if korean else "Hide the code"  # type: ignore[attr-defined]

    app.connect("config-inited", name_button, priority=100)  # type: ignore[attr-defined]
