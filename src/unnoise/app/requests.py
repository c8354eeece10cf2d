"""Bodies of requests: JSON objects whose words are checked one by one, so that nothing else passes."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from starlette.requests import Request

from unnoise.app.errors import RequestError
from unnoise.app.workspace import Workspace

Check: TypeAlias = Callable[[str, object], Any]


def workspace_of(request: Request) -> Workspace:
    """The workspace of the server that was asked."""
    workspace: Workspace = request.app.state.workspace
    return workspace


def checked(words: Mapping[str, object], checks: Mapping[str, Check]) -> dict[str, Any]:
    """The words of a request, each passed through its check; those that are None are left out.

    Raises:
        RequestError: for a word without a check, and a value that its check refuses.
    """
    for name in words:
        if name not in checks:
            raise RequestError(
                f"There is no word {name[:40]!r} here: there are {', '.join(sorted(checks)) or 'none'}."
            )
    return {name: checks[name](name, value) for name, value in words.items() if value is not None}


def whole(least: int, most: int) -> Check:
    """A whole number between two, both included."""

    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise RequestError(
                f"{name} is a whole number from {least:,} to {most:,}, but got {str(value)[:40]!r}."
            )
        return value

    return check


def number(least: float, most: float) -> Check:
    """A number between two, both included."""

    def check(name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise RequestError(f"{name} is a number from {least:g} to {most:g}, but got {str(value)[:40]!r}.")
        return float(value)

    return check


def text(most: int) -> Check:
    """A text of at most so many characters, without control characters."""

    def check(name: str, value: object) -> str:
        if (
            not isinstance(value, str)
            or len(value) > most
            or not all(c.isprintable() or c == "\n" for c in value)
        ):
            raise RequestError(f"{name} is a text of at most {most:,} letters, without control characters.")
        return value

    return check


def yes_or_no(name: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise RequestError(f"{name} is true or false, but got {str(value)[:40]!r}.")
    return value


def one_of(*choices: str) -> Check:
    """One of these words."""

    def check(name: str, value: object) -> str:
        if value not in choices:
            raise RequestError(f"{name} is one of {', '.join(choices)}, but got {str(value)[:40]!r}.")
        return str(value)

    return check


def list_of(check: Check, least: int, most: int) -> Check:
    """A list of so many."""

    def check_all(name: str, value: object) -> list[Any]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise RequestError(f"{name} is a list of {least} to {most} values.")
        return [check(name, one) for one in value]

    return check_all


def size_text(name: str, value: object) -> str:
    """A size of pictures: `64`, or height x width as `64x48`, each from 1 to 1,024."""
    parts = str(value).split("x")
    if len(parts) > 2 or not all(
        part.isdecimal() and part.isascii() and 1 <= int(part[:6]) <= 1024 for part in parts
    ):
        raise RequestError(f"{name} is a size such as 64 or 64x48, up to 1024, but got {str(value)[:40]!r}.")
    return str(value)
