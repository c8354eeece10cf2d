"""Options that have no effect beside others: refused in one sentence, rather than ignored."""

from collections.abc import Mapping

from unnoise.utils.errors import UnnoiseError


def refuse_without_effect(options: Mapping[str, object], where: str, remedy: str | None = None) -> None:
    """Raises `UnnoiseError` where one of these options is given, as none has an effect here.

    Args:
        options: values by the names of the options; None, False and () are those of one that was left out.
        where: the place in which they have none, as in "with --task deblur" or "here: this run has no classes".
        remedy: what to do; by default to leave them out.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if is_given(value)]
    if not given:
        return
    names = given[0] if len(given) == 1 else f"{', '.join(given[:-1])} and {given[-1]}"
    has, them = ("has", "it") if len(given) == 1 else ("have", "them")
    raise UnnoiseError(f"{names} {has} no effect {where}. {remedy or f'Leave {them} out.'}")


def is_given(value: object) -> bool:
    """Whether an option with this value was given, rather than left out."""
    return value is not None and value is not False and value != ()
