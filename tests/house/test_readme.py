"""What the README tells people to type works, and what it draws of the house is true."""

import ast
import re
from pathlib import Path

import torch

from unnoise.runs.presets import PRESETS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_python_examples_run():
    example = "".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    assert "range(500)" in example
    names: dict[str, object] = {}
    exec(example.replace("range(500)", "range(3)"), names)  # noqa: S102 (our own README)
    pictures, prediction = names["pictures"], names["prediction"]
    assert prediction.images.shape == (4, 1, 8, 8)
    assert isinstance(pictures, torch.Tensor)
    assert pictures.shape == (16, 1, 8, 8)


def test_every_module_has_its_line_in_the_house():
    package = ROOT / "src" / "unnoise"
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py", "errors.py"}
    modules |= {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    missing = {name for name in modules if name not in README}
    assert not missing


def test_every_preset_is_described():
    assert all(f"| `{name}` |" in README for name in PRESETS)


def test_files_and_functions_are_short():
    """At most 300 lines a file, and 40 a function without its docstring."""
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                docstring = node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
                assert node.end_lineno - node.lineno + 1 - docstring <= 40, f"{path}: {node.name}"
