"""Results of an evaluation: RUN/evaluation.json, and the conditions under which scores were measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from unnoise.data import ImageSet
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation.features import Extractor
from unnoise.evaluation.reference_pictures import ReferencePictures
from unnoise.evaluation.scores import Score
from unnoise.runs.checkpoint import Run
from unnoise.utils import json_text
from unnoise.utils.files import atomic_write
from unnoise.utils.precision import Precision
from unnoise.utils.tensor_files import read_tensors


class EvaluatedWeights(NamedTuple):
    """Training step and description of the weights that samples are drawn from."""

    step: int
    words: str


def evaluated_weights(run: Run, *, best: bool = False) -> EvaluatedWeights:
    """Training step and kind of average of the run's last weights, or of those with the best samples."""
    _, facts = read_tensors(run.best_weights if best else run.path / "model.safetensors")
    step = facts.get("step", "0")
    decay = run.config.recipe.ema.decay
    if "sigma_rel" in facts:
        words = f"EMA, sigma_rel {facts['sigma_rel']}"
    else:
        words = f"EMA, decay {decay:g}" if decay > 0 else "as trained, no EMA"
    words += ", with the best samples" if best else ""
    return EvaluatedWeights(int(step) if step.isdecimal() else 0, words)


@dataclass(frozen=True)
class ScoringConditions:
    """Everything that the scores of a run depend on besides the run."""

    weights: EvaluatedWeights
    references: ReferencePictures
    images: ImageSet
    extractor: Extractor
    sampling: Sampling
    classes: bool
    """Whether samples are drawn with classes."""
    seed: int
    autoguidance: Mapping[str, object] = field(default_factory=dict)
    """Its scale and weaker version, if there is one."""
    precision: Precision = "float32"
    """In which samples are drawn."""

    def facts(self, num_samples: int, baseline: str) -> dict[str, object]:
        """The conditions by their names in RUN/evaluation.json; `baseline` describes `FeatureSets.baseline`."""
        sampling, extractor = self.sampling, self.extractor
        eta = {"eta": sampling.eta} if sampling.sampler == "ddim" else {"variance": sampling.variance}
        return {
            "samples": num_samples,
            "references": len(self.references.indices),
            "split": self.references.split,
            "source": self.images.source,
            "extractor": extractor.name,
            "resize": extractor.resize,
            "sampler": sampling.sampler,
            "steps": sampling.num_steps,
            "spacing": sampling.spacing,
            **eta,
            **({"clip": sampling.clip} if sampling.clip != "none" else {}),
            **({"polish": sampling.polish} if sampling.polish else {}),
            **({"guidance": sampling.guidance.scale} if self.classes else {}),
            **self.autoguidance,
            "precision": self.precision,
            "weights": self.weights.words,
            "step": self.weights.step,
            "seed": self.seed,
            "real pictures": baseline,
            "digest": extractor.digest,
            "fingerprint": self.images.fingerprint,
        }


def conditions_text(facts: Mapping[str, object]) -> str:
    """The conditions in one line, without the hashes."""
    left_out = ("digest", "fingerprint")
    return "; ".join(f"{name} {_text(value)}" for name, value in facts.items() if name not in left_out)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def scores_record(
    step: int, facts: dict[str, object], scores: Sequence[Score], warnings: Sequence[str]
) -> dict[str, object]:
    """The scores and their conditions, as in RUN/evaluation.json."""
    rows = [score._asdict() for score in scores]
    return {"step": step, "facts": facts, "scores": rows, "warnings": list(warnings)}


def write_evaluation(run: Run, results: dict[str, object]) -> None:
    """Adds results to RUN/evaluation.json, and keeps the others that are in it.

    Raises:
        UnnoiseError: when the existing file is damaged, or cannot be written.
    """
    known = read_evaluation(run)
    with atomic_write(run.path / "evaluation.json") as file:
        file.write_text(json.dumps({**known, **results}, indent=2) + "\n", encoding="utf-8")


def read_evaluation(run: Run) -> dict[str, object]:
    """The content of RUN/evaluation.json; empty where there is no such file.

    Raises:
        UnnoiseError: when it is damaged.
    """
    path = run.path / "evaluation.json"
    return json_text.read(path, "Remove it to go on without it.") if path.is_file() else {}
