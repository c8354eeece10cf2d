"""Sampling options of a command: those of the run, replaced by those that were given."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unnoise.api.effects import refuse_without_effect
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.runs.config import RunConfig


def chosen_sampling(
    config: "RunConfig",
    changes: Mapping[str, object],
    guidance_changes: Mapping[str, object],
    *,
    autoguided: bool = False,
) -> "Sampling":
    """The run's own sampling with the options that were given.

    Raises:
        UnnoiseError: for values out of range, and options that would have no effect.
    """
    own = config.recipe.drawn(guided=autoguided)
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    guidance: dict[str, Any] = {name: value for name, value in guidance_changes.items() if value is not None}
    sampling = replace(own, **given, guidance=replace(own.guidance, **guidance))
    _refuse_guidance_without_effect(config, sampling, guidance, autoguided=autoguided)
    for name, sampler in (("eta", "ddim"), ("variance", "ancestral")):
        if sampling.sampler != sampler:
            where = f"with the sampler {sampling.sampler}"
            remedy = f"Leave it out, or add --sampler {sampler}."
            refuse_without_effect({name: given.get(name)}, where, remedy)
    _refuse_spacing_without_effect(config, given.get("spacing"))
    if config.distilled:
        _require_jumps(config, sampling, autoguided=autoguided)
    return sampling


def _require_jumps(config: "RunConfig", sampling: "Sampling", *, autoguided: bool) -> None:
    """Refuses of a distilled run what needs the velocity."""
    require(
        sampling.step_ends(config.schedule) is not None,
        f"This run learned to draw in one or two long steps, which the sampler {sampling.sampler} cannot take: "
        f"choose --sampler consistency, or ddim with --eta 0. For others use {config.in_small_steps}.",
    )
    require(
        sampling.polish == 0,
        f"This run learned to draw in one or two long steps, and cannot polish: leave --polish out, or use "
        f"{config.in_small_steps}.",
    )
    require(
        sampling.guidance.scale == 1 and not autoguided,
        "This run has learned its guidance already. For another scale, distil again with --guidance; for "
        f"autoguidance use {config.in_small_steps}.",
    )


def _refuse_guidance_without_effect(
    config: "RunConfig", sampling: "Sampling", given: Mapping[str, Any], *, autoguided: bool
) -> None:
    options = {f"guidance-{name}": given.get(name) for name in ("rescale", "interval")}
    if not config.data.classes:
        of_classes = {"guidance": given.get("scale")}
        where = "here: this run was trained without --labels"
        refuse_without_effect(of_classes if autoguided else of_classes | options, where)
    elif sampling.guidance.scale == 1 and not autoguided:
        refuse_without_effect(options, "where the scale of guidance is 1", "Add --guidance 2, for example.")


def _refuse_spacing_without_effect(config: "RunConfig", spacing: str | None) -> None:
    from unnoise.diffusion.schedules import DiscreteSchedule

    if spacing in ("trailing", "leading", "linspace") and not isinstance(config.schedule, DiscreteSchedule):
        where = "here: this run's schedule is continuous and has no timesteps to choose from"
        refuse_without_effect({f"spacing {spacing}": spacing}, where, "Choose uniform, log_snr or karras.")
