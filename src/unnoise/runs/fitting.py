"""Settings that stored weights and states depend on, and refusals where config.json now says otherwise."""

import json
from collections.abc import Mapping
from pathlib import Path

from unnoise.runs.conversion import plain
from unnoise.runs.recipe import Recipe
from unnoise.utils import json_text
from unnoise.utils.errors import require

SETTINGS = "settings"
"""Name in the metadata of a state of the settings that it depends on."""

_NAMED = 3
"""Differing settings that a message names, at most."""


def weight_settings(recipe: Recipe) -> dict[str, object]:
    """Settings without which the weights of a network are of no use, by their paths in the recipe."""
    network = {"kind": type(recipe.network).__name__, **plain(recipe.network)}
    return {
        **{f"network.{name}": value for name, value in sorted(network.items()) if name != "dropout"},
        "condition": recipe.condition,
        "objective.predicts": recipe.objective.predicts,
    }


def state_settings(recipe: Recipe) -> dict[str, object]:
    """Settings without which a state of training is of no use, by their paths in the recipe."""
    return {
        **weight_settings(recipe),
        "optimizer.name": recipe.optimizer.name,
        "optimizer.muon": recipe.optimizer.muon,
        "ema.profiles": recipe.ema.profiles,
        "noise_levels.kind": type(recipe.noise_levels).__name__,
    }


def require_fitting_init(path: Path, theirs: Recipe, ours: Recipe) -> None:
    """Checks that a new run with the recipe `ours` can start from the weights of the run at `path`.

    Raises:
        UnnoiseError: when their networks differ, or what these are given or predict.
    """
    before, now = weight_settings(theirs), weight_settings(ours)
    if ours.mean_velocity is not None:  # whose own weights start at zero
        before["network.step_length"] = True
    name, words = "network.clusters", {True: "clusters of pictures", False: "classes"}
    require(
        before.get(name) == now.get(name) or not now.get("network.num_classes"),
        f"The network of {path} was told of {words[bool(before.get(name))]}, but that of the new run would be "
        f"told of {words[bool(now.get(name))]}. Leave --labels out, or start without --init.",
    )
    for name in sorted(before.keys() | now.keys()):
        require(
            before.get(name) == now.get(name),
            f"The weights of {path} do not fit the new run: its {name} is {before.get(name)}, but that of the "
            f"new run {now.get(name)}. Leave --preset and --set out, and keep its --channels and --labels.",
        )


def require_fitting_config(facts: Mapping[str, str], settings: Mapping[str, object], state: Path) -> None:
    """Checks that config.json still says what it said when a state was saved; an older state does not know.

    Args:
        facts: metadata of the state.
        settings: those of config.json that matter: of the whole state, or of the weights only.
        state: its file, `RUN/training/N.safetensors`.

    Raises:
        UnnoiseError: with the settings that differ.
    """
    before, now = _parsed(facts.get(SETTINGS, "{}")), _parsed(json.dumps(settings))
    unlike = [name for name in now if name in before and before[name] != now[name]]
    told = ", ".join(
        f"{name} is {json.dumps(now[name])} but was {json.dumps(before[name])}" for name in unlike[:_NAMED]
    )
    more = f" (and {len(unlike) - _NAMED} more)" if len(unlike) > _NAMED else ""
    require(
        not unlike,
        f"{state.parent.parent / 'config.json'} no longer fits what was trained ({state.name}): {told}{more}. "
        "Put the old values back into config.json, or start a new run with --out.",
    )


def _parsed(text: str) -> dict[str, object]:
    try:
        found = json_text.parse(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
