"""Signatures of commands: the keywords, defaults and explanations of the function that a command calls."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

Command = TypeVar("Command", bound=Callable[..., None])

_OURS = frozenset({"run", "progress"})
"""Arguments of functions that are no options."""


def takes(
    function: Callable[..., Any],
    *left_out: str,
    explained_by: Callable[..., Any] | None = None,
    **options: Any,  # noqa: ANN401
) -> Callable[[Command], Command]:
    """Gives a command, beside its own, the options of a function of `unnoise.api`.

    Their names, defaults and explanations are the function's; they arrive in the command's `**options`.

    Args:
        function: what the command calls.
        left_out: its arguments that are no options.
        explained_by: another function, which explains the options that this one does not.
        options: how the help shows an option: what `arguments.option` returns, by name. Where the command line
            needs another type than the function, `Annotated[type, option(...)]`.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command)
        mine = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        theirs = [
            one.replace(kind=one.KEYWORD_ONLY, annotation=_shown(one.annotation, options.get(name)))
            for name, one in inspect.signature(function).parameters.items()
            if name not in own.parameters and name not in _OURS and name not in left_out
        ]
        parameters = sorted([*mine, *theirs], key=lambda one: one.kind)
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
        command.explained_by = [one for one in (function, explained_by) if one]  # type: ignore[attr-defined]
        return command

    return decorate


def _shown(annotation: Any, option: Any) -> Any:  # noqa: ANN401
    """The type of an option, with how the help shows it."""
    if get_origin(option) is Annotated:
        return option
    typed = _parsed(annotation)
    return typed if option is None else Annotated[typed, option]


def _parsed(annotation: Any) -> Any:  # noqa: ANN401
    """The type that the command line parses: `Path` for `str | Path`, a tuple for a sequence."""
    if get_origin(annotation) is Sequence:
        return tuple.__class_getitem__((_parsed(get_args(annotation)[0]), ...))
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    members = set(get_args(annotation))
    if {str, Path} <= members:
        members -= {str}
    made: Any = None
    for member in (one for one in get_args(annotation) if one in members):
        made = _parsed(member) if made is None else made | _parsed(member)
    return made
