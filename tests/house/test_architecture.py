"""docs/architecture.md is true, files and functions are short, and a training step is easy to follow."""

import ast
import re
import subprocess
from pathlib import Path

from architecture import PAGE, page
from map import IMAGES, PICTURES
from step_trace import step, traced

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "unnoise"


def test_the_list_of_modules_is_that_of_their_docstrings():
    assert PAGE.read_text(encoding="utf-8") == page(), "Run: make pages"


def test_the_pictures_are_those_of_the_floors():
    for name, draw in PICTURES.items():
        assert (IMAGES / name).read_text(encoding="utf-8") == draw(), "Run: make pages"


def test_every_package_has_a_layer_in_the_page():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    table = PAGE.read_text(encoding="utf-8").partition("| layer |")[2].partition("\n\n")[0]
    layers = [row.split("|")[2] for row in table.splitlines()[2:]]
    assert packages == set(re.findall(r"`(\w+)`", " ".join(layers)))


def test_the_root_of_the_package_has_at_most_17_names():
    listed = subprocess.run(["git", "ls-files", "."], cwd=PACKAGE, capture_output=True, text=True, check=True)
    assert len({name.partition("/")[0] for name in listed.stdout.splitlines()}) <= 17


def test_a_plain_training_step_passes_through_as_many_files_and_functions_as_the_page_says():
    found = traced(step())
    counts = f"{len(found)} files and {sum(map(len, found.values()))} functions"
    assert f"passes through {counts}" in PAGE.read_text(encoding="utf-8"), found


def test_files_and_functions_are_short():
    """At most 300 lines a file, and 40 a function: without its docstring, and without options.

    Options are the signatures of commands and of the functions of the front door.
    """
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                docstring = node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
                start = node.body[0].lineno if path.parent.name in {"api", "commands"} else node.lineno
                assert node.end_lineno - start + 1 - docstring <= 40, f"{path}: {node.name}"
