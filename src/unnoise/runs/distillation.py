"""Distillation: the configuration of a run that learns to draw in few calls what another draws in many."""

from dataclasses import replace

from unnoise.diffusion.guidance import Guidance
from unnoise.diffusion.mean_velocity import MeanVelocity, Walking
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.networks import NetworkConfig, OwnConfig
from unnoise.runs.autoguidance import own_scale
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget, RunConfig
from unnoise.runs.recipe import Recipe
from unnoise.runs.snapshots import Snapshots
from unnoise.utils.errors import require

JUMPS = Sampling(sampler="consistency", num_steps=2, spacing="karras", jumps=True)
"""How a distilled run draws if nothing else is asked for.

The walks that it learns from have the same spacing, so that they begin at the noise level at which it draws.
"""


_WARMUP = 8.0


def knows_classes(network: NetworkConfig) -> bool:
    """Whether a network is told of classes, by which it can be guided; clusters are none."""
    return isinstance(network, OwnConfig) and network.num_classes > 0 and not network.clusters


def distilled_config(
    run: Run, budget: Budget, *, guidance: float | None = None, autoguidance: float | None = None
) -> RunConfig:
    """The configuration of a run that starts from the averaged weights of another, and learns to jump.

    Its pictures, seed, network and batches are those of the other run.

    Args:
        run: what is distilled.
        budget: for how long.
        guidance: scale of the classifier-free guidance that is learned with it; by default that of the run.
        autoguidance: scale of the guidance away from an earlier average of the run; 1 is none. By default that
            by which the run draws.

    Raises:
        UnnoiseError: for a run that draws in few steps already, one of a network that cannot be told the length
            of a step, guidance without classes, or autoguidance without earlier averages.
    """
    recipe, network = run.config.recipe, run.config.recipe.network
    require(
        recipe.mean_velocity is None,
        f"{run.path} draws in few steps already. Distil {run.config.in_small_steps}.",
    )
    require(
        isinstance(network, OwnConfig),
        f"The network of the preset {run.config.preset} cannot be told the length of a step, so it "
        "cannot learn to draw in two. Distil a run of another preset, such as nano or small.",
    )
    assert isinstance(network, OwnConfig)
    own = recipe.sampling.guidance if knows_classes(network) else Guidance()
    require(
        knows_classes(network) or guidance in (None, 1),
        f"Guidance needs classes, which {run.path} does not know. Leave --guidance out.",
    )
    require(
        guidance is not None or own == Guidance(scale=own.scale),
        f"{run.path} draws with a rescaled guidance or one of some noise levels, which is not learned. Name a "
        f"scale for all levels, such as --guidance {own.scale:g}.",
    )
    scale = own.scale if guidance is None else guidance
    return replace(
        run.config,
        budget=budget,
        until_converged=False,
        recipe=_distilled(recipe, network, Guidance(scale=scale).scale, _walking(run, autoguidance)),
        init=str(run.path.resolve()),
        imported=None,
    )


def _walking(run: Run, autoguidance: float | None) -> Walking:
    averages = Snapshots(run.path / "ema")
    autoguidance = own_scale(run) if autoguidance is None else autoguidance
    walking = Walking(spacing=JUMPS.spacing, autoguidance=autoguidance)
    require(
        autoguidance == 1 or averages.weaker(run.weights()) is not None,
        f"{run.path} stored no earlier average to guide its walks by. Leave --autoguidance out.",
    )
    return walking


def _distilled(recipe: Recipe, network: OwnConfig, guidance: float, walking: Walking) -> Recipe:
    return replace(
        recipe,
        network=replace(network, step_length=True),
        objective=Objective(recipe.objective.predicts, "velocity", "l2"),
        # Without warm-up an average of thousands of steps would be half of the weights that it began with.
        ema=replace(recipe.ema, warmup=recipe.ema.warmup or _WARMUP),
        mean_velocity=MeanVelocity(to_image=0.5, guidance=guidance, walking=walking),
        optimizer=replace(recipe.optimizer, decay="linear"),
        sampling=replace(JUMPS, clip=recipe.sampling.clip),
        autoguidance=1.0,
        guided_sampling=None,
        find_polish=False,
    )
