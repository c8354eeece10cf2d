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
    left_out: Sequence[str] = (),
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
            _option(one, options.get(name))
            for name, one in inspect.signature(function).parameters.items()
            if name not in own.parameters and name not in _OURS and name not in left_out
        ]
        parameters = sorted([*mine, *theirs], key=lambda one: one.kind)
        known = {one.name: one.annotation for one in parameters} | {"return": None}
        for each in {command, inspect.unwrap(command)}:  # type checkers wrap it
            each.__signature__ = own.replace(parameters=parameters)
            each.__annotations__ = known
            each.explained_by = [one for one in (function, explained_by) if one]
        return command

    return decorate


def _option(given: inspect.Parameter, shown: Any) -> inspect.Parameter:  # noqa: ANN401
    """An argument of a function as an option, with its type, how the help shows it, and its default."""
    if get_origin(shown) is Annotated:
        kind = shown
    else:
        kind = _parsed(given.annotation)
        kind = kind if shown is None else Annotated[kind, shown]
    typed = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    default = (
        typed(given.default) if typed in (str, Path) and given.default is not given.empty else given.default
    )
    return given.replace(kind=given.KEYWORD_ONLY, annotation=kind, default=default)


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
