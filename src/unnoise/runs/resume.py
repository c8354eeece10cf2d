"""Configuration of a resumed run: its own, with what may change from start to start."""

from dataclasses import fields, replace
from typing import Any

from unnoise.data import ImageSet
from unnoise.data.decoding.value_range import RangeChoice, Ranges
from unnoise.runs.config import RunConfig
from unnoise.runs.plan import TrainOptions, chosen_noise_shift, data_config
from unnoise.runs.presets import DEFAULT
from unnoise.utils.errors import require

_MEMORY = ("accumulate", "checkpoint_activations")
"""Options that change the memory that training takes, and not what it learns."""


def resume_config(config: RunConfig, options: TrainOptions) -> RunConfig:
    """The configuration with which a run is resumed: its own, but for budget, memory and place of its labels.

    Its preset stays, even where `default` would now stand for another one.

    Raises:
        UnnoiseError: when an option contradicts the configuration of the run.
    """
    data, before = config.data, _options_of(config)
    require(
        config.recipe.changed(options.changes or ()) == config.recipe,
        f"This run was started with another recipe than that of --set {' '.join(options.changes or ())}. Leave "
        "--set out, or start a new run with --out.",
    )
    # The same labels may lie elsewhere by now: `with_same_pictures` compares their content.
    _require_same_range(data.ranges, options.ranges)
    free = {"budget", "changes", *_MEMORY, "ranges", "strict_labels", "devices"} | (
        set() if data.labels is None else {"labels"}
    )
    if options.preset == DEFAULT:
        options = replace(options, preset=None)
    if options.noise_shift is not None:
        options = replace(options, noise_shift=chosen_noise_shift(options.noise_shift, data.height, data.width))
    for field in fields(TrainOptions):
        now, then = getattr(options, field.name), getattr(before, field.name)
        name = field.name.replace("_", " ")
        require(
            field.name in free or now is None or now == then,
            f"This run was started with {name} {then}, but got {now}. Leave the option out, or start a new run "
            "with --out.",
        )
    data = replace(data, labels=options.labels or data.labels)
    changed: dict[str, Any] = {name: getattr(options, name) for name in _MEMORY}
    changed = {name: value for name, value in changed.items() if value is not None}
    return replace(config, budget=options.budget or config.budget, data=data, **changed)


def _options_of(config: RunConfig) -> TrainOptions:
    """The options that a run was started with, as far as its configuration tells."""
    data = config.data
    return TrainOptions(
        preset=config.preset,
        size=(data.height, data.width),
        channels=data.channels,
        batch_size=config.recipe.batch_size,
        seed=config.seed,
        precision=config.precision,
        accumulate=config.accumulate,
        deterministic=config.deterministic,
        fit=data.fit,
        background=data.background,
        layout=data.layout,
        flip=data.flip,
        noise_shift=config.recipe.noise_shift,
        held_out=None if data.held_out_ranges else data.held_out,
        split_folders=bool(data.held_out_ranges),
        labels=data.labels,
        until_converged=config.until_converged,
        init=config.init,
    )


def _require_same_range(known: Ranges, choice: RangeChoice) -> None:
    """Raises UnnoiseError for two numbers that are not the range of the run."""
    chosen = choice if isinstance(choice, tuple) else ()
    require(
        choice is None or bool(known),
        "This run was started without a range, as its pictures have 8 bits, but got --range. Leave it out.",
    )
    require(
        all((now.low, now.high) == (then.low, then.high) for now in chosen for then in known),
        f"This run was started with the range {', '.join(one.text() for one in known)}, but got "
        f"{', '.join(f'{one.low:g} to {one.high:g}' for one in chosen)}. Leave the option out, or start a new "
        "run with --out.",
    )


def with_same_pictures(config: RunConfig, images: ImageSet) -> RunConfig:
    """Checks that these are the pictures, and classes, that the run was started with.

    Returns:
        The same configuration; that of an imported run, which has no pictures yet, with these.

    Raises:
        UnnoiseError: when they are others.
    """
    if config.imported is not None and not config.data.fingerprint:
        return replace(config, data=data_config(images, replace(_options_of(config), held_out=None)))
    require(
        images.fingerprint == config.data.fingerprint,
        f"{images.source} does not hold the pictures that this run was started with (their fingerprint was "
        f"{config.data.fingerprint[:8]}, and is now {images.fingerprint[:8]}). Restore them, or start a new "
        "run with --out.",
    )
    data, names = config.data, images.class_names if config.data.labels else ()
    require(
        names == data.classes,
        f"This run was started with the classes {_listed(data.classes)}, but {images.source} now has "
        f"{_listed(names)}. Restore the labels, or start a new run with --out.",
    )
    require(
        not data.classes or images.label_fingerprint == data.label_fingerprint,
        f"The labels in {data.labels} have changed since this run was started. Restore them, or start a new "
        "run with --out.",
    )
    return config


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(names[:10]) or "none") + more
