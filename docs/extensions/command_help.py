"""The directive `command`: the help of a command of unnoise, as the command itself prints it."""

import contextlib
import io
import os
import re
from collections.abc import Iterator

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from unnoise.cli import command_function
from unnoise.cli.arguments import parse_arguments

_BOX = re.compile(r"^[╭╰].*$")


def help_of(command: str) -> str:
    """What `unnoise COMMAND --help` prints on a terminal so wide that no line is broken."""
    printed, columns = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "4000"
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            parse_arguments(command_function(command), f"unnoise {command}", ["--help"])
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns
    printed.seek(0)
    return printed.read()


def prose(text: str) -> nodes.paragraph:
    """A paragraph, what stands in backticks as code."""
    parts = text.split("`")
    return nodes.paragraph(
        "", "", *(nodes.literal(text=p) if k % 2 else nodes.Text(p) for k, p in enumerate(parts))
    )


def paragraphs(text: str) -> Iterator[nodes.Node]:
    """The description above the options: prose, and indented examples as code."""
    for part in filter(str.strip, text.split("\n\n")):
        if part.startswith("  "):
            yield nodes.literal_block(text="\n".join(line[2:] for line in part.splitlines()), language="sh")
        else:
            yield prose(" ".join(part.split()))


def options(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each option with its explanation."""
    name = explanation = ""
    for line in lines:
        if line.startswith(" "):  # the explanation of a name that fills its column
            explanation = f"{explanation} {line.strip()}".strip()
            continue
        if name:
            yield name, explanation
        name, _, explanation = (part.strip() for part in line.partition("  "))
    if name:
        yield name, explanation


class Command(Directive):
    """`:::{command} train`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The description, the usage, and a list of options."""
        text = help_of(self.arguments[0])
        description, _, rest = text.partition("usage: ")
        usage, *lines = rest.splitlines()
        inside = [line.strip("│")[1:].rstrip() for line in lines if line.strip() and not _BOX.match(line)]
        listed = nodes.definition_list(classes=["options"])
        for name, explanation in options(inside):
            term = nodes.term("", "", nodes.literal(text=name))
            listed += nodes.definition_list_item("", term, nodes.definition("", prose(explanation)))
        return [*paragraphs(description), nodes.literal_block(text=usage, language="sh"), listed]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("command", Command)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
