"""A plan turns pictures and a few wishes into the whole description of a run."""

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from unnoise.data import ImageSet
from unnoise.data.batches import held_out_count, split
from unnoise.diffusion.denoiser import Precision
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.seeds import require_seeds
from unnoise.networks import UNetConfig, require_room
from unnoise.runs.config import Budget, DataConfig, Recipe, RunConfig
from unnoise.runs.presets import DEFAULT, recipe
from unnoise.runs.sizing import Choice, choose
from unnoise.utils.errors import require


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a person asked for; None leaves it to the plan (or, on resuming, to the run)."""

    preset: str | None = None
    """`default` leaves it to the plan, too."""
    size: tuple[int, int] | None = None
    channels: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    precision: Precision | None = None
    accumulate: int | None = None
    """Pieces that each batch is taken in, for want of memory."""
    fit: Literal["crop", "pad"] | None = None
    background: tuple[int, int, int] | None = None
    flip: bool | None = None
    held_out: int | None = None
    labels: str | None = None
    """"auto" takes the classes that the source itself tells of; anything else is a file of labels."""
    changes: tuple[str, ...] | None = None
    """Of the preset's recipe; see `Recipe.changed`."""
    budget: Budget | None = None
    until_converged: bool | None = None
    """Stop where nothing improves any more; the budget is then only the longest that it may take."""


_PATIENT = Budget(unit="minutes", amount=480.0)
"""Of a run that ends by itself, if nothing else was wished for."""


def plan(images: ImageSet, wishes: Wishes, device_type: str = "cpu") -> RunConfig:
    """Decides everything that was not wished for, and fits the normalizer to what is trained on.

    The classes of the pictures become part of the plan where labels are wished for, and are left out otherwise.

    Args:
        images, wishes: what to train on, and what was asked for.
        device_type: cpu, cuda or mps: what will train, which is part of how large a network is worth while.

    Raises:
        UnnoiseError: for a wish that can't be had.
    """
    seed = wishes.seed or 0
    require_seeds([seed])
    require(
        wishes.labels is None or images.labels is not None,
        f"Labels were wished for ({wishes.labels}), but {images.source} was loaded without any: call "
        f"load(..., labels=True).",
    )
    held_out = held_out_count(len(images)) if wishes.held_out is None else wishes.held_out
    training = split(len(images), held_out, seed).training
    choice = chosen_preset(images, wishes, device_type)
    preset = choice.name if choice else wishes.preset or DEFAULT
    chosen = _recipe(preset, images, wishes)
    require_room(chosen.network)
    return RunConfig(
        preset=preset,
        seed=seed,
        precision=wishes.precision or "float32",
        accumulate=1 if wishes.accumulate is None else wishes.accumulate,
        budget=_budget(wishes),
        until_converged=bool(wishes.until_converged),
        data=DataConfig(
            source=images.source,
            height=images.height,
            width=images.width,
            channels=images.channels,
            fit=wishes.fit or "crop",
            background=wishes.background or (255, 255, 255),
            flip=bool(wishes.flip),
            held_out=held_out,
            fingerprint=images.fingerprint,
            labels=wishes.labels,
            classes=images.class_names if wishes.labels else (),
            label_fingerprint=images.label_fingerprint if wishes.labels else "",
        ),
        normalizer=_normalizer(chosen, images, training),
        recipe=chosen,
    )


def chosen_preset(images: ImageSet, wishes: Wishes, device_type: str) -> Choice | None:
    """The preset that suits the budget, and why; None where another one than `default` was wished for."""
    if wishes.preset not in (None, DEFAULT):
        return None
    budget, size = _budget(wishes), wishes.batch_size or 64
    return choose(device_type, images.height, images.width, budget.amount, budget.unit, size)


def _budget(wishes: Wishes) -> Budget:
    return wishes.budget or (_PATIENT if wishes.until_converged else Budget())


def _recipe(preset: str, images: ImageSet, wishes: Wishes) -> Recipe:
    """The preset's, with what was wished for."""
    chosen = recipe(preset, images.channels, images.height, images.width)
    if wishes.batch_size is not None:
        chosen = replace(chosen, batch_size=wishes.batch_size)
    if wishes.until_converged:
        # Nobody knows how long it will be, so the rate can't fall towards the end: the average does its work.
        chosen = chosen.changed(["optimizer.decay=constant", "optimizer.warmup=0"])
    chosen = chosen.changed(wishes.changes or ())
    if not wishes.labels:
        return chosen
    require(
        isinstance(chosen.network, UNetConfig),
        f"The network of the preset {preset} knows no classes: leave --labels out, or take another preset.",
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


def resumed(config: RunConfig, wishes: Wishes) -> RunConfig:
    """The run's own config, with what may change on the way: budget, memory, and the place of its labels.

    Its preset stays, whatever would be chosen for the budget by now.

    Raises:
        UnnoiseError: when a wish contradicts what the run was started with.
    """
    data = config.data
    started = Wishes(
        preset=config.preset,
        size=(data.height, data.width),
        channels=data.channels,
        batch_size=config.recipe.batch_size,
        seed=config.seed,
        precision=config.precision,
        accumulate=config.accumulate,
        fit=data.fit,
        background=data.background,
        flip=data.flip,
        held_out=data.held_out,
        labels=data.labels,
        until_converged=config.until_converged,
    )
    require(
        config.recipe.changed(wishes.changes or ()) == config.recipe,
        f"This run was started with another recipe than {' '.join(wishes.changes or ())}, and goes on with it: "
        "leave --set out, or start another run with --out.",
    )
    # The same labels may lie elsewhere by now: `same_pictures` looks at what is in them.
    free = {"budget", "changes", "accumulate"} | (set() if data.labels is None else {"labels"})
    if wishes.preset == DEFAULT:
        wishes = replace(wishes, preset=None)
    for field in fields(Wishes):
        wished, had = getattr(wishes, field.name), getattr(started, field.name)
        require(
            field.name in free or wished is None or wished == had,
            f"This run was started with {field.name.replace('_', ' ')} {had}, and goes on with it, but "
            f"{wished} was asked for: leave the option out, or start another run with --out.",
        )
    data = replace(data, labels=wishes.labels or data.labels)
    accumulate = config.accumulate if wishes.accumulate is None else wishes.accumulate
    return replace(config, budget=wishes.budget or config.budget, accumulate=accumulate, data=data)


def same_pictures(config: RunConfig, images: ImageSet) -> None:
    """Makes sure that a run goes on with the pictures, and the classes, that it was started with.

    Raises:
        UnnoiseError: when they are others.
    """
    require(
        images.fingerprint == config.data.fingerprint,
        f"This run was started with other pictures than {images.source} holds now "
        f"({config.data.fingerprint[:8]}, now {images.fingerprint[:8]}): start another run with --out.",
    )
    data, names = config.data, images.class_names if config.data.labels else ()
    require(
        names == data.classes,
        f"This run was started with the classes {_listed(data.classes)}, but {images.source} now has "
        f"{_listed(names)}: start another run with --out.",
    )
    require(
        not data.classes or images.label_fingerprint == data.label_fingerprint,
        f"This run was started with other labels of the same pictures than {data.labels} tells now: restore "
        f"them, or start another run with --out.",
    )


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(names[:10]) or "none") + more
