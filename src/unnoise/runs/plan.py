"""Plan of a run: from pictures and options to its complete configuration."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np

from unnoise.data import ImageSet
from unnoise.data.batches import held_out_count
from unnoise.data.decoding.value_range import RangeChoice, Ranges
from unnoise.diffusion.denoiser import Precision
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.seeds import require_seeds
from unnoise.networks import UNetConfig, require_fits_in_memory
from unnoise.runs.checkpoint import Run, require_fitting_init
from unnoise.runs.config import Budget, Recipe, RunConfig
from unnoise.runs.data_config import DataConfig
from unnoise.runs.presets import DEFAULT, recipe
from unnoise.runs.sizing import PresetChoice, choose_preset
from unnoise.utils.errors import require


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
    fit: Literal["crop", "pad"] | None = None
    background: tuple[int, int, int] | None = None
    ranges: RangeChoice = None
    """Values that are black and white in pictures of more than 8 bits."""
    layout: str | None = None
    """A letter for each axis of an array: N pictures, H rows, W columns, C channels."""
    flip: bool | None = None
    held_out: int | None = None
    split_folders: bool | None = None
    """Whether folders such as train and test say which pictures are held out."""
    labels: str | None = None
    """"auto" takes the classes that the source itself has, "auto:2" those of the second level of folders;
    anything else is a file of labels."""
    strict_labels: bool | None = None
    """Whether pictures without a class are refused."""
    changes: tuple[str, ...] | None = None
    """Changes of the preset's recipe; see `Recipe.changed`."""
    budget: Budget | None = None
    until_converged: bool | None = None
    """Whether to stop once nothing improves any more; the budget is then an upper limit."""
    init: str | None = None
    """Run whose averaged weights the new one starts from; its recipe holds where no preset is named."""

    def __post_init__(self) -> None:
        require(
            self.held_out is None or not self.split_folders,
            f"--split-folders takes the held-out pictures from their folders, --held-out {self.held_out} takes "
            "them at random: keep one of them.",
        )


_LONGEST = Budget(unit="minutes", amount=480.0)
"""Default budget of a run that stops once it has converged."""


def plan(images: ImageSet, options: TrainOptions, device_type: str = "cpu") -> RunConfig:
    """Decides everything that the options leave open, and fits the normaliser to the training pictures.

    The classes of the pictures become part of the configuration where options.labels asks for them.

    Args:
        images, options: what to train on, and how.
        device_type: cpu, cuda or mps: what trains. It matters for the size of the network.

    Raises:
        UnnoiseError: for options that contradict each other or the pictures.
    """
    seed = options.seed or 0
    require_seeds([seed])
    wanted = bool(options.split_folders)
    require(
        wanted == bool(images.held_out_ranges),
        f"{images.source} was loaded {'without' if wanted else 'with'} the split of its folders. Load it by "
        f"load(..., split_folders={wanted}).",
    )
    require(
        options.labels is None or images.labels is not None,
        f"{images.source} was loaded without labels, but options.labels is {options.labels!r}. Load it by "
        "load(..., labels=True).",
    )
    data = _data(images, options)
    training = data.split(len(images), seed).training
    choice = default_preset(images, options, device_type)
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
        precision=options.precision or "float32",
        accumulate=1 if options.accumulate is None else options.accumulate,
        budget=_budget(options),
        until_converged=bool(options.until_converged),
        data=data,
        normalizer=_normalizer(chosen, images, training),
        recipe=chosen,
        init=options.init,
    )


def _data(images: ImageSet, options: TrainOptions) -> DataConfig:
    """The pictures of a run, and how they were read."""
    ranges = images.held_out_ranges
    held_out = held_out_count(len(images)) if options.held_out is None else options.held_out
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
        held_out=sum(end - first for first, end in ranges) if ranges else held_out,
        held_out_ranges=ranges,
        fingerprint=images.fingerprint,
        labels=options.labels,
        classes=images.class_names if options.labels else (),
        label_fingerprint=images.label_fingerprint if options.labels else "",
        without_class=images.without_class if options.labels else 0,
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
    data, before = config.data, _options_of(config)
    require(
        config.recipe.changed(options.changes or ()) == config.recipe,
        f"This run was started with another recipe than that of --set {' '.join(options.changes or ())}. Leave "
        "--set out, or start a new run with --out.",
    )
    # The same labels may lie elsewhere by now: `with_same_pictures` compares their content.
    _require_same_range(data.ranges, options.ranges)
    free = {"budget", "changes", "accumulate", "ranges", "strict_labels"} | (
        set() if data.labels is None else {"labels"}
    )
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
    accumulate = config.accumulate if options.accumulate is None else options.accumulate
    return replace(config, budget=options.budget or config.budget, accumulate=accumulate, data=data)


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
        fit=data.fit,
        background=data.background,
        layout=data.layout,
        flip=data.flip,
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
        return replace(config, data=_data(images, replace(_options_of(config), held_out=None)))
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
