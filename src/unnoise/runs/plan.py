"""Plan of a run: from pictures and options to its complete configuration."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from unnoise.data import ImageSet
from unnoise.data.batches import held_out_count
from unnoise.data.decoding.value_range import RangeChoice
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.schedules import noise_shift_for
from unnoise.diffusion.seeds import require_seeds
from unnoise.networks import OwnConfig, require_fits_in_memory
from unnoise.runs.config import Budget, RunConfig
from unnoise.runs.data_config import DataConfig
from unnoise.runs.fine_tuning import fine_tuned, recipe_for
from unnoise.runs.fitting import require_fitting_init
from unnoise.runs.footprint import pieces_that_fit
from unnoise.runs.presets import DEFAULT, preset_for, recipe
from unnoise.runs.recipe import Recipe
from unnoise.runs.sizing import PresetChoice, require_devices
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
    deterministic: bool | None = None
    devices: int | None = None
    """Number of devices that train together, 1 if left out: it counts in the choice of a preset."""
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
    split_folders: bool | None = None
    """Whether folders such as train and test say which pictures are held out."""
    labels: str | None = None
    """"auto" takes the classes that the source itself has, "auto:2" those of the second level of folders;
    anything else is a file of labels."""
    strict_labels: bool | None = None
    """Whether pictures without a class are refused."""
    noise_shift: float | Literal["size"] | None = None
    """Factor of noise / signal; "size" takes that of `schedules.noise_shift_for`."""
    changes: tuple[str, ...] | None = None
    """Changes of the preset's recipe; see `Recipe.changed`."""
    budget: Budget | None = None
    until_converged: bool | None = None
    """Whether to stop once nothing improves any more; the budget is then an upper limit."""
    init: str | None = None
    """Run whose averaged weights the new one starts from; where no preset is named also by its recipe, but
    for what its preset chooses by the size of the pictures."""

    def __post_init__(self) -> None:
        require_devices(1 if self.devices is None else self.devices)
        require(
            self.held_out is None or not self.split_folders,
            f"--split-folders takes the held-out pictures from their folders, --held-out {self.held_out} takes "
            "them at random: keep one of them.",
        )


_IN_A_CLUSTER = 32
"""Pictures in a cluster, on average, at least."""

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
    _require_loaded_for(images, options)
    data = data_config(images, options)
    choice = default_preset(images, options, device.type)
    init = None if options.init is None else fine_tuned(Path(options.init))
    named = options.preset not in (None, DEFAULT)
    preset = init.config.preset if init and not named else choice.name if choice else options.preset or DEFAULT
    theirs = None if init is None else init.config.recipe
    base = None if init is None or named else recipe_for(images, init.config)
    chosen = _recipe(preset, images, options, base)
    _require_effect_of_clusters(chosen, options, len(images) - data.held_out)
    if not options.labels:
        chosen = _with_clusters(chosen, len(images) - data.held_out, theirs)
    require_fits_in_memory(chosen.network)
    if init is not None:
        require_fitting_init(init.path, init.config.recipe, chosen)
    config = RunConfig(
        preset=preset,
        seed=seed,
        precision=options.precision or device.default_precision,
        accumulate=_accumulate(chosen, images, options, device.type),
        deterministic=bool(options.deterministic),
        checkpoint_activations=bool(options.checkpoint_activations),
        budget=_budget(options),
        until_converged=bool(options.until_converged),
        data=data,
        normalizer=_normalizer(chosen, images, data.split(len(images), seed).training),
        recipe=chosen,
        init=options.init,
    )
    config.require_leader()
    return config


def _require_loaded_for(images: ImageSet, options: TrainOptions) -> None:
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


def data_config(images: ImageSet, options: TrainOptions) -> DataConfig:
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


def _accumulate(chosen: Recipe, images: ImageSet, options: TrainOptions, device_type: str) -> int:
    """The pieces that were asked for, or as many as a batch needs to fit into this machine's memory.

    A system that runs out of memory kills the process, so this has to be known before.
    """
    if options.accumulate is not None or device_type != "cpu":
        return options.accumulate or 1
    pieces = pieces_that_fit(chosen, images.height, images.width)
    if pieces is None:
        warnings.warn(
            "Training is forecast to need more memory than this machine has, even with one picture at a time: "
            "the system may end it. Choose a smaller --size or --preset, or try --checkpoint-activations.",
            stacklevel=2,
        )
    return pieces or chosen.batch_size


def default_preset(images: ImageSet, options: TrainOptions, device_type: str) -> PresetChoice | None:
    """The preset that `default` stands for, and the reason; None where the options name another or a run."""
    if options.preset not in (None, DEFAULT) or options.init is not None:
        return None
    shape, size, devices = (
        (images.channels, images.height, images.width),
        options.batch_size or 64,
        options.devices or 1,
    )
    return preset_for(device_type, shape, _budget(options), size, devices)


def _budget(options: TrainOptions) -> Budget:
    return options.budget or (_LONGEST if options.until_converged else Budget())


def _recipe(preset: str, images: ImageSet, options: TrainOptions, base: Recipe | None) -> Recipe:
    """The recipe of the preset, or the given one, with the changes that the options make."""
    if base is None:
        chosen = recipe(preset, images.channels, images.height, images.width)
    else:
        chosen = base
        if not options.labels and isinstance(chosen.network, OwnConfig) and not chosen.network.clusters:
            chosen = chosen.changed(["network.num_classes=0"])
    if options.batch_size is not None:
        chosen = replace(chosen, batch_size=options.batch_size)
    if options.until_converged:
        # The end is not known, so the learning rate can't fall towards it; the average of the weights does.
        chosen = chosen.changed(["optimizer.decay=constant", "optimizer.warmup=0"])
    if options.noise_shift is not None:
        chosen = replace(
            chosen, noise_shift=chosen_noise_shift(options.noise_shift, images.height, images.width)
        )
    chosen = chosen.changed(options.changes or ())
    if not options.labels:
        return chosen
    require(
        isinstance(chosen.network, OwnConfig),
        f"The network of the preset {preset} knows no classes. Leave --labels out, or choose another preset.",
    )
    return chosen.changed(["network.clusters=false", f"network.num_classes={len(images.class_names)}"])


def _with_clusters(chosen: Recipe, num_pictures: int, theirs: Recipe | None) -> Recipe:
    """The recipe whose network is told of clusters: those of the run that it starts from, or as many as fit."""
    network = chosen.network
    init = None if theirs is None else theirs.network
    if not isinstance(network, OwnConfig) or (network.num_classes and init is None):
        return chosen
    count = min(chosen.clusters, num_pictures // _IN_A_CLUSTER)
    if init is not None:
        count = init.num_classes if isinstance(init, OwnConfig) and init.clusters else 0
    if count < 2:
        return chosen
    return replace(chosen, network=replace(network, num_classes=count, clusters=True))


def _require_effect_of_clusters(chosen: Recipe, options: TrainOptions, num_pictures: int) -> None:
    """Refuses changes of the number of clusters that would change nothing."""
    named, network = {change.partition("=")[0].strip() for change in options.changes or ()}, chosen.network
    few = num_pictures < 2 * _IN_A_CLUSTER
    for where, there in (
        ("with --labels, which names classes instead", bool(options.labels)),
        ("with --init, whose run has its own", options.init is not None),
        (f"on a {type(network).__name__}, which is told of none", not isinstance(network, OwnConfig)),
        (f"on {num_pictures} pictures: two clusters of {_IN_A_CLUSTER} need more", few and chosen.clusters > 0),
    ):
        require(
            "clusters" not in named or not there, f"The setting clusters has no effect {where}. Leave it out."
        )
    by_hand = named & {"network.clusters", "network.num_classes"}
    require(
        not by_hand or bool(options.labels) or getattr(network, "num_classes", 1) > 0 or chosen.clusters == 0,
        f"The setting {' and '.join(sorted(by_hand))} has no effect: the number of clusters follows from the "
        "pictures. Leave it out, or for a run without clusters say --set clusters=0.",
    )


def chosen_noise_shift(wanted: float | Literal["size"], height: int, width: int) -> float:
    """The factor that was asked for, or that of the pictures' size."""
    return noise_shift_for(height, width) if wanted == "size" else wanted


def _normalizer(chosen: Recipe, images: ImageSet, training: np.ndarray) -> Normalizer:
    match chosen.normalization:
        case "imagenet":
            return Normalizer.imagenet(images.channels)
        case "symmetric":
            return Normalizer.symmetric(images.channels)
        case "dataset":
            sums, squares = images.moments[training].sum(0).tolist()
            return Normalizer.of_sums(len(training) * images.height * images.width, sums, squares)
