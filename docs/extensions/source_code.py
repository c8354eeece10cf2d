"""The directive `source`: the code of a function or class of unnoise, as it is now, without its docstring."""

import ast
import importlib
import inspect
import textwrap

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx


def found(path: str) -> object:
    """The object at a dotted path, such as unnoise.diffusion.objectives.Objective.separate."""
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            value = getattr(value, name)
        return value
    raise LookupError(path)


def code_of(value: object) -> str:
    """Source code without decorators' margin and without docstring."""
    value = value.fget if isinstance(value, property) else value
    source = textwrap.dedent(inspect.getsource(value))  # type: ignore[arg-type]
    lines = source.splitlines()
    body = ast.parse(source).body[0].body  # type: ignore[attr-defined]
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        del lines[body[0].lineno - 1 : body[0].end_lineno]
    return "\n".join(line for number, line in enumerate(lines) if line.strip() or 0 < number < len(lines) - 1)


class Source(Directive):
    """`:::{source} unnoise.diffusion.tensors.mix`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The code, under the name that it is found by."""
        path = self.arguments[0]
        block = nodes.literal_block(text=code_of(found(path)), language="python")
        name = nodes.caption("", "", nodes.literal(text=path), translatable=False)
        return [
            nodes.container("", name, block, literal_block=True, classes=["literal-block-wrapper", "source"])
        ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("source", Source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
