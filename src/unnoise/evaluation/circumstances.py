"""A number without its circumstances means nothing: what was measured, with what, on what, of which weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from unnoise.data import ImageSet
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation.features import Extractor
from unnoise.evaluation.judges import Panel
from unnoise.evaluation.scores import Score
from unnoise.runs.checkpoint import Run
from unnoise.utils.tensor_files import read_tensors


class Weights(NamedTuple):
    """Which weights were sampled from."""

    step: int
    words: str


def weights_of(run: Run) -> Weights:
    """Of the run's model.safetensors: at which step, and how they were averaged."""
    _, facts = read_tensors(run.path / "model.safetensors")
    step = facts.get("step", "0")
    decay = run.config.recipe.ema.decay
    if "sigma_rel" in facts:
        words = f"EMA, sigma_rel {facts['sigma_rel']}"
    else:
        words = f"EMA, decay {decay:g}" if decay > 0 else "as trained, no EMA"
    return Weights(int(step) if step.isdecimal() else 0, words)


@dataclass(frozen=True)
class Circumstances:
    """What the scores of a run depend on besides the run."""

    weights: Weights
    panel: Panel
    images: ImageSet
    extractor: Extractor
    sampling: Sampling
    classes: bool
    """Whether samples were drawn with classes."""
    seed: int

    def facts(self, num_samples: int, floor: str) -> dict[str, object]:
        """By name, as RUN/evaluation.json has them; the floor says what stood for a perfect model's samples."""
        sampling, extractor = self.sampling, self.extractor
        eta = {"eta": sampling.eta} if sampling.sampler == "ddim" else {"variance": sampling.variance}
        return {
            "samples": num_samples,
            "references": len(self.panel.references),
            "split": self.panel.compared,
            "source": self.images.source,
            "extractor": extractor.name,
            "resize": extractor.resize,
            "sampler": sampling.sampler,
            "steps": sampling.num_steps,
            **eta,
            **({"clip": sampling.clip} if sampling.clip != "none" else {}),
            **({"guidance": sampling.guidance.scale} if self.classes else {}),
            "weights": self.weights.words,
            "step": self.weights.step,
            "seed": self.seed,
            "real pictures": floor,
            "digest": extractor.digest,
            "fingerprint": self.images.fingerprint,
        }


def plain_quality(
    step: int, facts: dict[str, object], scores: Sequence[Score], warnings: Sequence[str]
) -> dict[str, object]:
    """As RUN/evaluation.json has it."""
    rows = [score._asdict() for score in scores]
    return {"step": step, "facts": facts, "scores": rows, "warnings": list(warnings)}


def in_words(facts: Mapping[str, object]) -> str:
    """The facts in one line, but for hashes."""
    left_out = ("digest", "fingerprint")
    return "; ".join(f"{name} {_text(value)}" for name, value in facts.items() if name not in left_out)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
