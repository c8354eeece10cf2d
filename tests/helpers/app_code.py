"""Texts of the app's pages, and sentences of its server, read off the code with a value filled in."""

import ast
import itertools
import re
from pathlib import Path

from unnoise.api.reporting import amount
from unnoise.runs.preset_notes import PRESET_NOTES

CODE = Path(__file__).parents[2] / "src" / "unnoise"
APP = CODE / "app"
_TEXT = r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""


def page_texts():
    """Texts of pages, `_("...")` in templates and `t("...")` in scripts, with the file of each."""
    found = {}
    for suffix, call in (("html", r"(?<!\w)_"), ("js", r"(?<![\w.])t")):
        for path in sorted(APP.rglob(f"*.{suffix}")):
            for text in re.findall(rf"{call}\(\s*{_TEXT}", path.read_text("utf-8")):
                found[ast.literal_eval(text)] = path.name
    return found


_SOURCES = (
    *sorted(path for path in APP.rglob("*.py") if path.name not in {"serving.py", "languages.py"}),
    CODE / "reports/doctor/checkup.py",
    *sorted((CODE / "trainer/guards").glob("*.py")),
    CODE / "trainer/recorder.py",
    CODE / "data/limits.py",
    CODE / "data/batches.py",
    CODE / "data/decoding/decode.py",
    CODE / "data/sources/picture_files.py",
    *sorted((CODE / "data").rglob("labels.py")),
    *sorted((CODE / "data").rglob("grouping.py")),
    CODE / "runs/plan.py",
)
VALUE = "7"
"""Stands for what the code fills in."""


def spoken():
    """Every text in the code that could be a sentence, with a value filled in where the code fills in any."""
    made = [text for path in _SOURCES for node in ast.walk(_tree(path)) for text in _texts(node)]
    purposes = [note.purpose for note in PRESET_NOTES.values()]
    return [*made, *purposes, *(amount(number, "minutes") for number in (1, 2.5))]


def refusals():
    """The sentences of the errors of the app, as `spoken`, each with the file that says it."""
    for path in _SOURCES:
        if path.is_relative_to(APP):
            tree = _tree(path)
            named = {
                target.id: node.value
                for node in tree.body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for call in filter(_refuses, ast.walk(tree)):
                last = call.args[-1]
                for text in _texts(named.get(last.id, last) if isinstance(last, ast.Name) else last):
                    yield path.name, text


def _refuses(node):
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
        return False
    name = node.func.id
    return name == "require" or (name.endswith("Error") and name != "AssertionError")


def _tree(path):
    return ast.parse(path.read_text("utf-8"))


def _texts(node):
    """The texts that a literal can become; both of where one is chosen."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if not isinstance(node, ast.JoinedStr):
        return []
    parts = [_filled(part) if isinstance(part, ast.FormattedValue) else _texts(part) for part in node.values]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def _filled(part):
    value = part.value
    if isinstance(value, ast.IfExp) and (chosen := [*_texts(value.body), *_texts(value.orelse)]):
        return chosen
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult) and (repeated := _texts(value.left)):
        return ["", *repeated]
    return [f"'{VALUE}'" if part.conversion > 0 else VALUE]
