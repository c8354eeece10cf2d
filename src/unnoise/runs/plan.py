"""Plan of a run: from pictures and options to its complete configuration."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unnoise.data import ImageSet
from unnoise.data.batches import held_out_count, split
from unnoise.data.decoding.value_range import RangeChoice, Ranges
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.seeds import require_seeds
from unnoise.networks import UNetConfig, require_fits_in_memory
from unnoise.runs.checkpoint import Run, require_fitting_init
from unnoise.runs.config import Budget, DataConfig, Recipe, RunConfig
from unnoise.runs.presets import DEFAULT, recipe
from unnoise.runs.sizing import PresetChoice, choose_preset
from unnoise.utils.errors import require
from unnoise.utils.precision import CPU, DeviceCapabilities, Precision


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of a training run; None leaves the choice to `plan`, or on resuming to the run."""

    preset: str | None = None
    """`default` leaves the choice to `plan`, like None."""
    size: tuple[int, int] | None = None
    channels: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    precision: Precision | None = None
    accumulate: int | None = None
    """Number of pieces that each batch is cut into, to need less memory."""
    checkpoint_activations: bool | None = None
    """Whether the backward pass computes activations again, to need less memory."""
    fit: Literal["crop", "pad"] | None = None
    background: tuple[int, int, int] | None = None
    ranges: RangeChoice = None
    """Values that are black and white in pictures of more than 8 bits."""
    layout: str | None = None
    """A letter for each axis of an array: N pictures, H rows, W columns, C channels."""
    flip: bool | None = None
    held_out: int | None = None
    labels: str | None = None
    """"auto" takes the classes that the source itself has; anything else is a file of labels."""
    changes: tuple[str, ...] | None = None
    """Changes of the preset's recipe; see `Recipe.changed`."""
    budget: Budget | None = None
    until_converged: bool | None = None
    """Whether to stop once nothing improves any more; the budget is then an upper limit."""
    init: str | None = None
    """Run whose averaged weights the new one starts from; its recipe holds where no preset is named."""


_MEMORY = ("accumulate", "checkpoint_activations")
"""Options that change the memory that training takes, and not what it learns."""

_LONGEST = Budget(unit="minutes", amount=480.0)
"""Default budget of a run that stops once it has converged."""


def plan(images: ImageSet, options: TrainOptions, device: DeviceCapabilities = CPU) -> RunConfig:
    """Decides everything that the options leave open, and fits the normaliser to the training pictures.

    The classes of the pictures become part of the configuration where options.labels asks for them.

    Args:
        images, options: what to train on, and how.
        device: what trains. It matters for the size of the network and the precision.

    Raises:
        UnnoiseError: for options that contradict each other or the pictures.
    """
    seed = options.seed or 0
    require_seeds([seed])
    require(
        options.labels is None or images.labels is not None,
        f"{images.source} was loaded without labels, but options.labels is {options.labels!r}. Load it by "
        "load(..., labels=True).",
    )
    held_out = held_out_count(len(images)) if options.held_out is None else options.held_out
    training = split(len(images), held_out, seed).training
    choice = default_preset(images, options, device.type)
    init = None if options.init is None else Run.open(Path(options.init))
    named = options.preset not in (None, DEFAULT)
    preset = init.config.preset if init and not named else choice.name if choice else options.preset or DEFAULT
    chosen = _recipe(preset, images, options, None if init is None or named else init.config.recipe)
    require_fits_in_memory(chosen.network)
    if init is not None:
        require_fitting_init(init, chosen)
    return RunConfig(
        preset=preset,
        seed=seed,
        precision=options.precision or device.default_precision,
        accumulate=1 if options.accumulate is None else options.accumulate,
        checkpoint_activations=bool(options.checkpoint_activations),
        budget=_budget(options),
        until_converged=bool(options.until_converged),
        data=_data(images, options, held_out),
        normalizer=_normalizer(chosen, images, training),
        recipe=chosen,
        init=options.init,
    )


def _data(images: ImageSet, options: TrainOptions, held_out: int) -> DataConfig:
    """The pictures of a run, and how they were read."""
    return DataConfig(
        source=images.source,
        height=images.height,
        width=images.width,
        channels=images.channels,
        fit=options.fit or "crop",
        background=options.background or (255, 255, 255),
        ranges=images.ranges,
        layout=options.layout,
        flip=bool(options.flip),
        held_out=held_out,
        fingerprint=images.fingerprint,
        labels=options.labels,
        classes=images.class_names if options.labels else (),
        label_fingerprint=images.label_fingerprint if options.labels else "",
    )


def default_preset(images: ImageSet, options: TrainOptions, device_type: str) -> PresetChoice | None:
    """The preset that `default` stands for, and the reason; None where the options name another or a run."""
    if options.preset not in (None, DEFAULT) or options.init is not None:
        return None
    budget, size = _budget(options), options.batch_size or 64
    return choose_preset(device_type, images.height, images.width, budget.amount, budget.unit, size)


def _budget(options: TrainOptions) -> Budget:
    return options.budget or (_LONGEST if options.until_converged else Budget())


def _recipe(preset: str, images: ImageSet, options: TrainOptions, base: Recipe | None) -> Recipe:
    """The recipe of the preset, or the given one, with the changes that the options make."""
    if base is None:
        chosen = recipe(preset, images.channels, images.height, images.width)
    else:
        chosen = base.changed([f"network.channels={images.channels}"])
        if not options.labels and isinstance(chosen.network, UNetConfig):
            chosen = chosen.changed(["network.num_classes=0"])
    if options.batch_size is not None:
        chosen = replace(chosen, batch_size=options.batch_size)
    if options.until_converged:
        # The end is not known, so the learning rate can't fall towards it; the average of the weights does.
        chosen = chosen.changed(["optimizer.decay=constant", "optimizer.warmup=0"])
    chosen = chosen.changed(options.changes or ())
    if not options.labels:
        return chosen
    require(
        isinstance(chosen.network, UNetConfig),
        f"The network of the preset {preset} knows no classes. Leave --labels out, or choose another preset.",
    )
    return chosen.changed([f"network.num_classes={len(images.class_names)}"])


def _normalizer(chosen: Recipe, images: ImageSet, training: np.ndarray) -> Normalizer:
    match chosen.normalization:
        case "imagenet":
            return Normalizer.imagenet(images.channels)
        case "symmetric":
            return Normalizer.symmetric(images.channels)
        case "dataset":
            sums, squares = images.moments[training].sum(0).tolist()
            return Normalizer.of_sums(len(training) * images.height * images.width, sums, squares)


def resume_config(config: RunConfig, options: TrainOptions) -> RunConfig:
    """The configuration with which a run is resumed: its own, but for budget, memory and place of its labels.

    Its preset stays, even where `default` would now stand for another one.

    Raises:
        UnnoiseError: when an option contradicts the configuration of the run.
    """
    data = config.data
    before = TrainOptions(
        preset=config.preset,
        size=(data.height, data.width),
        channels=data.channels,
        batch_size=config.recipe.batch_size,
        seed=config.seed,
        precision=config.precision,
        fit=data.fit,
        background=data.background,
        layout=data.layout,
        flip=data.flip,
        held_out=data.held_out,
        labels=data.labels,
        until_converged=config.until_converged,
        init=config.init,
    )
    require(
        config.recipe.changed(options.changes or ()) == config.recipe,
        f"This run was started with another recipe than that of --set {' '.join(options.changes or ())}. Leave "
        "--set out, or start a new run with --out.",
    )
    # The same labels may lie elsewhere by now: `require_same_pictures` compares their content.
    _require_same_range(data.ranges, options.ranges)
    free = {"budget", "changes", *_MEMORY, "ranges"} | (set() if data.labels is None else {"labels"})
    if options.preset == DEFAULT:
        options = replace(options, preset=None)
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


def _require_same_range(known: Ranges, choice: RangeChoice) -> None:
    """Raises UnnoiseError for two numbers that are not the range of the run."""
    chosen = choice if isinstance(choice, tuple) else ()
    require(
        all((now.low, now.high) == (then.low, then.high) for now in chosen for then in known),
        f"This run was started with the range {', '.join(one.text() for one in known)}, but got "
        f"{', '.join(f'{one.low:g} to {one.high:g}' for one in chosen)}. Leave the option out, or start a new "
        "run with --out.",
    )


def require_same_pictures(config: RunConfig, images: ImageSet) -> None:
    """Checks that these are the pictures, and classes, that the run was started with.

    Raises:
        UnnoiseError: when they are others.
    """
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


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(names[:10]) or "none") + more
