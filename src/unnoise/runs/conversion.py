"""Conversion of frozen dataclasses to JSON and back, strict in keys and types."""

import math
import reprlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeVar, get_args

import cattrs
from cattrs.gen import make_dict_structure_fn
from cattrs.strategies import configure_tagged_union

from unnoise.diffusion.noise_levels import AnyNoiseLevels
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import AnyChain, AnySchedule
from unnoise.diffusion.weightings import AnyWeighting
from unnoise.networks import NetworkConfig
from unnoise.networks.unet_config import AttentionChoice, AttentionKind
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.utils import json_text
from unnoise.utils.errors import UnnoiseError, require

Record = TypeVar("Record")
_UNIONS = (AnyChain, AnySchedule, AnyNoiseLevels, AnyWeighting, NetworkConfig)

_REMOVED_SAMPLERS: Mapping[str, Mapping[str, object]] = {
    "euler": {"sampler": "ddim", "eta": 0.0},
    "second_order": {"sampler": "heun"},
}
"""Removed names of samplers, and the settings that draw the same pictures bit for bit."""


def plain(record: object) -> dict[str, object]:
    """A dataclass as a JSON object; members of a union carry their class as `kind`."""
    values: dict[str, object] = _converter().unstructure(record, type(record))
    return values


def structured(values: object, kind: type[Record], name: str) -> Record:
    """A dataclass of this kind from a JSON object.

    Args:
        values, kind: the object, and the class.
        name: of the object, in messages.

    Raises:
        UnnoiseError: for unknown or missing keys, and values of the wrong type or range.
    """
    try:
        return _converter().structure(values, kind)
    except UnnoiseError as error:
        raise UnnoiseError(f"{name}: {error}") from None
    except Exception as error:  # noqa: BLE001 (cattrs raises groups of whatever went wrong inside)
        message, place = _first_cause(error)
        raise UnnoiseError(f"{name} is not valid{place and f' at {place}'}: {message}.") from None


def changed(record: Record, changes: Sequence[str], name: str) -> Record:
    """A copy of a dataclass with some values changed, each given as path=value: objective.loss=l1.

    Values are JSON, or words without quotes.

    Args:
        record, changes: what is changed, and how.
        name: of the copy, in messages.

    Raises:
        UnnoiseError: for a path that does not exist, or a value that does not fit.
    """
    if not changes:
        return record
    values = plain(record)
    for change in changes:
        path, equals, text = change.partition("=")
        *parents, last = path.split(".")
        place: object = values
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        require(
            bool(equals) and isinstance(place, dict),
            f"A change looks like objective.loss=l1, but got {change!r}. --dry-run shows all paths.",
        )
        assert isinstance(place, dict)
        value, group = _value(text), place.get(last)
        if isinstance(group, dict) and value is not None and not isinstance(value, dict):
            raise UnnoiseError(
                f"{path} is a group of settings, but got {text!r}. Set one of them, such as "
                f"{path}.{next(iter(group))}=VALUE."
            )
        place[last] = value
    return structured(values, type(record), name)


def _value(text: str) -> object:
    try:
        return json_text.parse(text)
    except ValueError:
        return text


def _first_cause(error: BaseException) -> tuple[str, str]:
    """What is wrong with the first value that does not fit, and the path of that value."""
    messages = cattrs.transform_error(error, path="", format_exception=_explain)
    message, _, place = str(messages[0]).rpartition(" @ ")
    return message.rstrip("."), place.removeprefix(".")


def _explain(error: BaseException, _: object) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"unknown key {', '.join(sorted(error.extra_fields))}"
    if isinstance(error, KeyError):
        return f"missing or unknown {error}"
    return str(error).rstrip(".")


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for strict in (bool, int, str):
        converter.register_structure_hook(strict, _strict)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(AttentionChoice, _attention)
    structured_sampling = make_dict_structure_fn(Sampling, converter)
    converter.register_structure_hook(
        Sampling, lambda values, kind: structured_sampling(_with_replaced_sampler(values), kind)
    )
    structured_optimizer = make_dict_structure_fn(OptimizerConfig, converter)
    converter.register_structure_hook(
        OptimizerConfig, lambda values, kind: structured_optimizer(_with_muon_of_old_runs(values), kind)
    )
    for union in _UNIONS:
        configure_tagged_union(union, converter, tag_name="kind")
    return converter


def _with_replaced_sampler(values: Mapping[str, object]) -> Mapping[str, object]:
    """Settings of a `Sampling`, with a removed name of a sampler replaced."""
    return {**values, **_REMOVED_SAMPLERS.get(str(values.get("sampler")), {})}


def _with_muon_of_old_runs(values: Mapping[str, object]) -> Mapping[str, object]:
    """Settings of the optimiser, with the weights that Muon moved before it could be chosen."""
    return {"muon": "wide", **values} if values.get("name") == "muon" else values


def _strict(value: object, kind: type) -> object:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {_shown(value)}")
    return value


def _attention(value: object, _: object) -> object:
    if not isinstance(value, bool) and value not in get_args(AttentionKind):
        raise TypeError(f"expected {', '.join(get_args(AttentionKind))}, true or false, got {_shown(value)}")
    return value


def _number(value: object, _: type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {_shown(value)}")
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value}")
    return float(value)


def _shown(value: object) -> str:
    return reprlib.repr(value)
