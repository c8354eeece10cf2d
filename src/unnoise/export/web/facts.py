"""What a page knows of its run: the metadata of the .onnx file, the samplers, and facts to tell."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any, Literal

from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.export.web.runtime import Runtime
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.runs.history import read_history


@dataclass(frozen=True)
class PageSampler:
    """A sampler of the page, in the words of sampler.js.

    Args:
        title: for people.
        order: 1 is DDIM, 2 is DPM-Solver++ 2M.
        eta: how much noise is added on the way, from 0 to 1.
        large: adds the larger of DDPM's two variances.
        derived: takes the noises from the predicted images, rather than the predicted noises.
        jumps: where each step of a distilled run ends: at the "next" level, or at the "image", to which noises
            are added again; nowhere if empty.
    """

    title: str
    order: int
    eta: float = 0.0
    large: bool = False
    derived: bool = False
    jumps: Literal["", "next", "image"] = ""


_DDIM, _SOLVER = PageSampler("DDIM", 1, jumps="next"), PageSampler("DPM-Solver++ 2M", 2)


def own_sampler(sampling: Sampling) -> PageSampler | None:
    """The page's version of a run's sampler, or None where the page has none."""
    match sampling.sampler:
        case "ddim":
            return PageSampler(f"DDIM, eta {sampling.eta:g}", 1, sampling.eta) if sampling.eta else _DDIM
        case "ancestral" if sampling.variance != "learned":
            return PageSampler("DDPM", 1, 1.0, large=sampling.variance == "large", derived=True)
        case "dpmpp_2m":
            return _SOLVER
        case "dpmpp_2m_sde":
            return PageSampler("DPM-Solver++ 2M SDE", 2, 1.0)
        case "consistency":
            return PageSampler("Consistency", 1, jumps="image")
        case _:
            return None


def notes_on(config: RunConfig) -> tuple[str, ...]:
    """What a page draws otherwise than the run does."""
    name, notes = config.recipe.sampling.sampler, list[str]()
    if own_sampler(config.recipe.sampling) is None:
        notes.append(
            f"The page draws with {_SOLVER.title} or {_DDIM.title} instead of the run's own sampler, {name}: "
            "its pictures are those of unnoise generate --sampler dpmpp_2m or ddim."
        )
    if config.recipe.autoguidance != 1:
        notes.append(
            "The page draws without autoguidance: its pictures are those of unnoise generate --autoguidance 1."
        )
    if config.num_clusters:
        notes.append("Between two seeds the page goes from one cluster to the other at once, in the middle.")
    return tuple(notes)


def page_facts(run: Run, metadata: Mapping[str, Any], runtime: Runtime) -> dict[str, Any]:
    """All that a page knows: the metadata, and `title`, `samplers`, `told` and the names of runtime files.

    Of the place of the pictures only the last name is told, as pages are given to others.
    """
    own = own_sampler(run.config.recipe.sampling) or _SOLVER
    others = (_DDIM, _SOLVER) if run.config.recipe.mean_velocity is None else (_DDIM,)
    builds = {name: build for name, build in runtime._asdict().items() if build is not None}
    return {
        **metadata,
        "title": run.path.resolve().name,
        "samplers": [asdict(one) for one in dict.fromkeys((own, *others))],
        "told": list(_told(run, metadata).items()),
        "runtime": {
            name: {part: file.name for part, file in build._asdict().items()} for name, build in builds.items()
        },
    }


def _told(run: Run, metadata: Mapping[str, Any]) -> dict[str, str]:
    config = run.config
    rows = read_history(run.path / "history.csv")
    return {
        **(
            {"Learned from": PurePath(config.data.source).name or config.data.source}
            if config.data.source
            else {}
        ),
        **({"Pictures seen": f"{rows[-1].images:,}, with repeats"} if rows else {}),
        "Size": " × ".join(str(size) for size in config.data.image_shape[1:]),
        "Classes": str(len(config.data.classes) or "none"),
        "Preset": config.preset,
        "Weights": str(metadata["weights"]),
    }
