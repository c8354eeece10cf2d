"""Schedulers of diffusers: their configs from a run's schedule and sampling, and back.

A scheduler of diffusers is a table of betas, what the network predicts, and a sampler. Its timesteps 0 ...
T - 1 are those of `DiscreteSchedule`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from unnoise.diffusion.objectives import Target
from unnoise.diffusion.sampler_names import Clip, SamplerName, Variance
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import (
    AnyChain,
    BetaTable,
    CosineBeta,
    DiscreteSchedule,
    LinearBeta,
    QuadraticBeta,
    SigmoidBeta,
    ZeroTerminalSNR,
)
from unnoise.utils.errors import require

PREDICTIONS: Mapping[str, Target] = {"epsilon": "noise", "sample": "image", "v_prediction": "velocity"}
"""Names of what a network predicts, in diffusers and here."""

_STEPS = {"DDPMScheduler": 1000, "DDIMScheduler": 50, "DPMSolverMultistepScheduler": 20}
"""The schedulers that are read, with the usual number of steps of each: for the first two their pipelines'."""

_COMMON = {
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type"),
    *("thresholding", "dynamic_thresholding_ratio", "sample_max_value", "timestep_spacing", "steps_offset"),
    *("rescale_betas_zero_snr", "clip_sample", "clip_sample_range", "variance_type", "set_alpha_to_one"),
    "tensor_format",  # of the first versions; it has no effect
}
_OF_DPM_SOLVER = {
    *("solver_order", "algorithm_type", "solver_type", "lower_order_final", "euler_at_final"),
    *("use_karras_sigmas", "final_sigmas_type", "lambda_min_clipped"),
}
_ONLY: Mapping[str, tuple[object, ...]] = {
    "clip_sample_range": (1, 1.0),
    "solver_type": ("midpoint",),
    "euler_at_final": (False,),
    "final_sigmas_type": ("zero",),
    "set_alpha_to_one": (True,),
    "timestep_values": (None,),
    "use_exponential_sigmas": (False, None),
    "use_beta_sigmas": (False, None),
    "use_lu_lambdas": (False, None),
    "use_flow_sigmas": (False, None),
    "flow_shift": (1.0, 1, None),
    "use_dynamic_shifting": (False,),
    "time_shift_type": ("exponential",),
}
"""Options that are read where they have one of these values, the first of which is the default."""

_OLDER_NAMES = {"timesteps": "num_train_timesteps", "clip_predicted_image": "clip_sample"}


Chain = AnyChain | ZeroTerminalSNR | BetaTable
"""The schedules that a scheduler's config can name."""


class SchedulerChoice(NamedTuple):
    """What a scheduler's config says, in our terms, and what of it is drawn otherwise here."""

    schedule: Chain
    predicts: Target
    sampling: Sampling
    notes: tuple[str, ...]


def to_scheduler(schedule: DiscreteSchedule, predicts: Target, sampling: Sampling) -> dict[str, Any]:
    """The scheduler_config.json of a run: a `DDPMScheduler` for ancestral sampling, else a `DDIMScheduler`."""
    ancestral = sampling.sampler == "ancestral"
    spacing = sampling.spacing if sampling.spacing in ("leading", "linspace") else "trailing"
    own = (
        {"_class_name": "DDPMScheduler", "variance_type": f"fixed_{sampling.variance}"}
        if ancestral
        else {"_class_name": "DDIMScheduler", "set_alpha_to_one": True}
    )
    return {
        **own,
        **_betas(schedule),
        "num_train_timesteps": schedule.num_timesteps,
        "prediction_type": {ours: theirs for theirs, ours in PREDICTIONS.items()}[predicts],
        "clip_sample": sampling.clip != "none",
        "clip_sample_range": 1.0,
        "timestep_spacing": spacing,
        "steps_offset": 0,
        "thresholding": False,
    }


def _betas(schedule: DiscreteSchedule) -> dict[str, Any]:
    """The betas, by the name of their formula where diffusers has it, else one by one."""
    if isinstance(schedule, ZeroTerminalSNR):
        return {**_betas(schedule.base), "rescale_betas_zero_snr": True}
    found: dict[str, Any] = {"rescale_betas_zero_snr": False, "trained_betas": None}
    if isinstance(schedule, LinearBeta | QuadraticBeta):
        scale = 1000 / schedule.num_timesteps if schedule.rescale else 1.0
        name = "linear" if isinstance(schedule, LinearBeta) else "scaled_linear"
        ends = {"beta_start": schedule.first_beta * scale, "beta_end": schedule.last_beta * scale}
        return {**found, **ends, "beta_schedule": name}
    if schedule == CosineBeta(schedule.num_timesteps):
        return {**found, "beta_schedule": "squaredcos_cap_v2"}
    return {**found, "beta_schedule": "linear", "trained_betas": schedule.betas.tolist()}


def from_scheduler(config: Mapping[str, Any], where: str, *, ddim: bool) -> SchedulerChoice:
    """Reads a scheduler_config.json; options left out have diffusers' defaults.

    Args:
        config: the object in the file.
        where: name of the file, in errors.
        ddim: whether the pipeline samples by DDIM whatever its scheduler, as `DDIMPipeline` does.

    Raises:
        UnnoiseError: another scheduler, or an option or a value that has no counterpart here.
    """
    kind = str(config.get("_class_name"))
    require(
        kind in _STEPS,
        f"{where} is the config of {kind}, but the schedulers that can be read are {', '.join(_STEPS)}. Save "
        "the pipeline with one of them.",
    )
    given = {_OLDER_NAMES.get(name, name): value for name, value in config.items() if name[:1] != "_"}
    if "predict_epsilon" in given:
        given.setdefault("prediction_type", "epsilon" if given.pop("predict_epsilon") else "sample")
    kind = "DDIMScheduler" if ddim else kind
    _require_known(given, where)
    predicts = given.get("prediction_type", "epsilon")
    require(
        predicts in PREDICTIONS,
        f"{where} has prediction_type {predicts!r}, but it can be {', '.join(PREDICTIONS)}.",
    )
    schedule = _schedule(given, where)
    sampling, notes = _sampling(kind, given, schedule.num_timesteps, where)
    return SchedulerChoice(schedule, PREDICTIONS[predicts], sampling, notes)


def _require_known(given: Mapping[str, Any], where: str) -> None:
    unknown = sorted(given.keys() - _COMMON - _OF_DPM_SOLVER - _ONLY.keys())
    require(
        not unknown, f"{where} has an unknown option {', '.join(unknown)}. Leave it out if it has no effect."
    )
    for name, allowed in _ONLY.items():
        got = given.get(name, allowed[0])
        require(got in allowed, f"{where} has {name} {got!r}, but only {allowed[0]!r} can be read.")


def _schedule(given: Mapping[str, Any], where: str) -> Chain:
    table, zero = given.get("trained_betas"), bool(given.get("rescale_betas_zero_snr", False))
    if table is not None:
        made = BetaTable(table=tuple(float(beta) for beta in table))
        require(not zero, f"{where} has both trained_betas and rescale_betas_zero_snr: leave one of them out.")
        return made
    total = given.get("num_train_timesteps", 1000)
    first, last = float(given.get("beta_start", 1e-4)), float(given.get("beta_end", 0.02))
    chains: dict[str, Callable[[], AnyChain]] = {
        "linear": lambda: LinearBeta(total, first, last, rescale=False),
        "scaled_linear": lambda: QuadraticBeta(total, first, last, rescale=False),
        "sigmoid": lambda: SigmoidBeta(total, first, last, rescale=False),
        "squaredcos_cap_v2": lambda: CosineBeta(total),
    }
    name = given.get("beta_schedule", "linear")
    require(
        name in chains,
        f"{where} has beta_schedule {name!r}, but those that can be read are {', '.join(chains)}.",
    )
    return ZeroTerminalSNR(base=chains[name]()) if zero else chains[name]()


def _sampling(
    kind: str, given: Mapping[str, Any], num_timesteps: int, where: str
) -> tuple[Sampling, tuple[str, ...]]:
    if kind == "DPMSolverMultistepScheduler":
        return _dpm_sampling(given, num_timesteps, where)
    spacing = given.get("timestep_spacing", "leading")
    require(
        spacing in ("leading", "trailing", "linspace"),
        f"{where} has timestep_spacing {spacing!r}, but it can be leading, trailing or linspace.",
    )
    offset = spacing == "leading" and given.get("steps_offset", 0)
    notes = ("Its steps_offset is left out: the timesteps are counted from 0.",) if offset else ()
    steps = min(_STEPS[kind], num_timesteps)
    if kind == "DDIMScheduler":
        return Sampling(num_steps=steps, spacing=spacing, clip=_clip(given, "images", clips=True)), notes
    variance = given.get("variance_type", "fixed_small")
    known: Mapping[str, Variance] = {"fixed_small": "small", "fixed_small_log": "small", "fixed_large": "large"}
    require(
        variance in known,
        f"{where} has variance_type {variance!r}, but those that can be read are {', '.join(known)}.",
    )
    clip = _clip(given, "static", clips=True)
    made = Sampling(sampler="ancestral", num_steps=steps, spacing=spacing, clip=clip, variance=known[variance])
    return made, notes


def _dpm_sampling(given: Mapping[str, Any], num_timesteps: int, where: str) -> tuple[Sampling, tuple[str, ...]]:
    """Multistep DPM-Solver; its timesteps are those of ours where they are spaced `trailing`."""
    karras = bool(given.get("use_karras_sigmas", False))
    made = Sampling(
        sampler=_dpm_solver(given, where),
        num_steps=min(_STEPS["DPMSolverMultistepScheduler"], num_timesteps),
        spacing="karras" if karras else "trailing",
        clip=_clip(given, "static"),
    )
    same = not karras and given.get("timestep_spacing", "linspace") == "trailing"
    return made, () if same else (f"Its timesteps are not quite the same here: they are {made.spacing}.",)


def _clip(given: Mapping[str, Any], clip: Clip, *, clips: bool = False) -> Clip:
    """The clipping of predicted images; `clips` is the default of clip_sample."""
    if given.get("thresholding", False):
        # Scaled by at most sample_max_value: with 1, its default, this is clipping.
        return clip if given.get("sample_max_value", 1.0) <= 1 else "dynamic"
    return clip if given.get("clip_sample", clips) else "none"


def _dpm_solver(given: Mapping[str, Any], where: str) -> SamplerName:
    order, algorithm = given.get("solver_order", 2), given.get("algorithm_type", "dpmsolver++")
    known: Mapping[tuple[str, int], SamplerName] = {
        ("dpmsolver++", 1): "ddim",
        ("dpmsolver++", 2): "dpmpp_2m",
        ("dpmsolver++", 3): "dpmpp_3m",
        ("sde-dpmsolver++", 2): "dpmpp_2m_sde",
        ("sde-dpmsolver++", 3): "dpmpp_3m_sde",
    }
    require(
        (algorithm, order) in known,
        f"{where} has algorithm_type {algorithm!r} of order {order!r}, but those that can be read are "
        f"{', '.join(f'{name} of order {number}' for name, number in known)}.",
    )
    return known[algorithm, order]
