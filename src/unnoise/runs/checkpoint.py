"""Run folder: the files of a run, and how they are written and read.

    config.json             the complete configuration
    model.safetensors       averaged weights, to sample from
    training/N.safetensors  state after N steps (weights, average, optimiser), to resume from; see `retention`
    ema/                    further averages at several steps, where the run stores them, for `unnoise ema`
    best.safetensors        averaged weights with the best samples so far, by quality.csv
    init.safetensors        weights that the run started from, if it was started from those of another
    weaker.safetensors      of a distilled run: see `initial_weights`
    history.csv             losses; log/ holds the same for TensorBoard
    quality.csv, noise_levels.csv, previews.csv, events.csv    see `history`; progress.jsonl a line a minute
    samples/                sample sheets

Nothing in a run is ever unpickled. Files are written under a temporary name, flushed and renamed, so a run is
always complete; log/ and progress.jsonl alone are appended to. Tensors have a checksum; a second state is kept.
"""

import json
import math
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.runs.checks import missing_states, require_finite_weights, require_run
from unnoise.runs.config import RunConfig
from unnoise.runs.drawing_precision import drawing_precision
from unnoise.runs.fitting import (
    SETTINGS,
    require_fitting_config,
    require_fitting_init,
    state_settings,
    weight_settings,
)
from unnoise.runs.initial_weights import keep_initial_weights, let_walk, load_initial_weights
from unnoise.runs.retention import kept_states
from unnoise.runs.state_tensors import fill_network, fill_optimizer, flat_optimizer, prefixed, under
from unnoise.utils import json_text
from unnoise.utils.errors import DamagedFileError, UnnoiseError, require, require_permitted
from unnoise.utils.files import atomic_write
from unnoise.utils.precision import set_tf32
from unnoise.utils.tensor_files import read_facts, read_tensors, write_tensors


class Progress(NamedTuple):
    """Progress of a run."""

    step: int = 0
    images: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Run:
    """A run: its folder, and the config.json in it."""

    path: Path
    config: RunConfig

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> "Run":
        """Makes the folder and writes config.json.

        Raises:
            UnnoiseError: when the folder holds a run already, or cannot be written; when the weights that
                config.init names cannot be read or do not fit.
        """
        cls.refuse_existing(path)
        if config.init is not None:  # before config.json, which says that it is there
            init = Run.open(Path(config.init))
            require_fitting_init(init.path, init.config.recipe, config.recipe)
            keep_initial_weights(path, config, init.averaged(), init.path)
        return cls(path, config).with_config(config)

    @staticmethod
    def refuse_existing(path: Path) -> None:
        """Raises `UnnoiseError` if the folder holds a run; one that never saved anything does not count."""
        trained = [path / "model.safetensors", path / "best.safetensors"]
        saved = any(file.exists() for file in trained) or any((path / "training").glob("*.safetensors"))
        resume = "Continue it with --resume, or choose" if (path / "config.json").exists() else "Choose"
        require(not saved, f"{path} already holds a run. {resume} another folder with --out.")

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Reads config.json.

        Raises:
            UnnoiseError: when there is no run, or its config.json cannot be used.
        """
        file = require_run(path)
        try:
            text = json_text.read_text(file)
        except (OSError, ValueError) as error:
            require_permitted(file, error)
            raise UnnoiseError(f"Cannot read {file}: {error}. Restore it from a copy.") from None
        return cls(path, RunConfig.from_json(text, file))

    def with_config(self, config: RunConfig) -> "Run":
        """The same run with another config.json."""
        with atomic_write(self.path / "config.json") as file:
            file.write_text(config.to_json(), encoding="utf-8")
        return Run(self.path, config)

    def require_resumable(self) -> None:
        """Checks that the run does not have weights without a state, which a resumed run would overwrite.

        A run that never saved anything has neither: it is resumed at its first step. So is an imported one,
        which then starts from its weights.

        Raises:
            UnnoiseError: when there is nothing to go on from; the message says what is possible instead.
        """
        weights = [file for file in (self.path / "model.safetensors", self.best_weights) if file.exists()]
        if not weights or self.states() or self.config.imported is not None:
            return
        step = read_facts(weights[0]).get("step")
        at = f", step {int(step):,}" if step else ""
        why = missing_states(self.path / "training")
        other = f"start a new run from these weights: unnoise train PICTURES --out NEW --init {self.path}"
        if self.config.distilled:
            other = f"distil {self.config.in_small_steps} again"
        raise UnnoiseError(
            f"{self.path} has weights ({weights[0].name}{at}) but no state to go on from: {why}. Restore that "
            f"folder from a copy, or {other}."
        )

    @property
    def samples(self) -> Path:
        """Folder of the sample sheets."""
        return self.path / "samples"

    @property
    def best_weights(self) -> Path:
        """File of the averaged weights with the best samples so far."""
        return self.path / "best.safetensors"

    def states(self) -> list[Path]:
        """Files of the saved states, the newest first."""
        return sorted((self.path / "training").glob("[0-9]*.safetensors"), reverse=True)

    def saved_progress(self) -> Progress:
        """The progress of the newest state that can be read, or none."""
        for state in self.states():
            with suppress(DamagedFileError):
                return _progress(read_facts(state), state)[0]
        return Progress()

    def load(
        self,
        device: torch.device | str = "cpu",
        weights: Path | None = None,
        *,
        best: bool = False,
        guide: Callable[[Denoiser], Denoiser] = lambda one: one,
        sampling: Sampling | None = None,
    ) -> Denoiser:
        """The denoiser as `averaged`, guided, in the precision for this sampling; see `drawing_precision`."""
        denoiser = guide(self.averaged(device, weights, best=best))
        sampling = sampling or self.config.recipe.drawn(guided=denoiser.autoguidance is not None)
        weights = weights or self.weights(best=best)
        denoiser.precision = drawing_precision(self.path, denoiser, sampling, weights)
        return denoiser

    def averaged(
        self, device: torch.device | str = "cpu", weights: Path | None = None, *, best: bool = False
    ) -> Denoiser:
        """Loads the denoiser with its averaged weights.

        Args:
            weights: a file of other weights, for example of a stored average.
            best: load the weights with the best samples so far (see `monitoring`) instead of the last ones.

        Raises:
            UnnoiseError: when there are no weights yet, or config.json does not fit them any more.
        """
        file = weights or self.weights(best=best)
        for state in self.states()[:1]:
            require_fitting_config(read_facts(state), weight_settings(self.config.recipe), state)
        set_tf32(device, self.config.precision)
        denoiser, (tensors, _) = self.config.denoiser(device), read_tensors(file)
        require_finite_weights(tensors, file)
        fill_network(denoiser.network, tensors, file)
        return denoiser

    def weights(self, *, best: bool = False) -> Path:
        """File of the last averaged weights, or of those with the best samples."""
        missing = f"{self.path} has no best.safetensors: its samples were not measured yet. Leave --best out."
        require(not best or self.best_weights.is_file(), missing)
        return self.best_weights if best else self.path / "model.safetensors"

    def save(
        self, diffusion: Diffusion, progress: Progress, *, trusted: int | None = None, sound: int | None = None
    ) -> None:
        """Writes the averaged weights, then the state to resume from; deletes states that are no longer kept.

        In this order, so that a run which has its last state has everything; but the first state comes before
        the first weights, as a run with weights and without a state cannot be resumed.

        Args:
            trusted, sound: the last steps known to be good; see `retention.kept_states`.
        """
        weights = diffusion.weights
        average = weights.average
        tensors = {
            **prefixed("network", average.source.state_dict()),
            **prefixed("average", average.network.state_dict()),
            **prefixed("profiles", weights.profiles.networks.state_dict()),
            **prefixed("levels", diffusion.loss_history.state_dict() if diffusion.loss_history else {}),
            **prefixed("optimizer", flat_optimizer(weights.optimizer)),
        }
        facts = {
            **progress._asdict(),
            "average_steps": average.steps,
            "processes": weights.group.size if weights.group else 1,
        }
        folder = self.path / "training"
        path = folder / f"{progress.step:010d}.safetensors"
        is_first = not self.states()
        if not is_first:
            self._save_averages(diffusion, progress.step)
        settings = {SETTINGS: json.dumps(state_settings(self.config.recipe))}
        write_tensors(path, tensors, {name: repr(value) for name, value in facts.items()} | settings)
        if is_first:
            self._save_averages(diffusion, progress.step)
        states = {int(path.stem): path for path in self.states()}
        for step in states.keys() - kept_states(states, trusted=trusted, sound=sound):
            states[step].unlink(missing_ok=True)

    def _save_averages(self, diffusion: Diffusion, step: int) -> None:
        """Writes the averaged weights, unless they are untrained."""
        if step == 0:
            return
        network = diffusion.weights.average.network
        write_tensors(self.path / "model.safetensors", network.state_dict(), {"step": str(step)})

    def restore(self, diffusion: Diffusion) -> Progress:
        """Loads the newest undamaged state, or the weights to start from, and returns the progress.

        Averaged weights of another step than the state's are replaced by those of the state.

        Raises:
            UnnoiseError: when every saved state is damaged, or config.json does not fit the newest sound
                one any more, which then stays as it is.
        """
        let_walk(self.path, self.config, diffusion)
        states = self.states()
        for older, path in enumerate(states, start=1):
            try:
                progress = _restore(diffusion, path, self.config)
            except DamagedFileError as error:
                if older == len(states):
                    raise
                path.rename(path.with_suffix(".damaged"))
                warnings.warn(f"{error} Continuing from the state before it.", stacklevel=2)
            else:
                # It was killed after its first state, or between its weights and its state.
                if read_facts(self.path / "model.safetensors").get("step") != str(progress.step):
                    self._save_averages(diffusion, progress.step)
                return progress
        load_initial_weights(self.path, self.config, diffusion)
        return Progress()

    def remove(self) -> None:
        """Deletes the whole folder."""
        shutil.rmtree(self.path, ignore_errors=True)


def _progress(facts: dict[str, str], path: Path) -> tuple[Progress, int]:
    """The progress of a state, and the number of steps in its average."""
    try:
        progress = Progress(int(facts["step"]), int(facts["images"]), float(facts["seconds"]))
        average_steps = int(facts["average_steps"])
        if not (math.isfinite(progress.seconds) and min(*progress, average_steps) >= 0):
            raise ValueError("a number is negative or not finite")  # noqa: TRY301
    except (KeyError, ValueError) as error:
        raise DamagedFileError(f"{path} has no valid progress ({error}). Restore it from a copy.") from None
    return progress, average_steps


def _restore(diffusion: Diffusion, path: Path, config: RunConfig) -> Progress:
    tensors, facts = read_tensors(path)
    weights = diffusion.weights
    progress, average_steps = _progress(facts, path)
    require_fitting_config(facts, state_settings(config.recipe), path)
    fill_network(weights.average.source, under("network", tensors), path)
    fill_network(weights.average.network, under("average", tensors), path)
    fill_network(weights.profiles.networks, under("profiles", tensors), path)
    if diffusion.loss_history is not None:
        fill_network(diffusion.loss_history, under("levels", tensors), path)
    fill_optimizer(weights.optimizer, under("optimizer", tensors), path)
    weights.average.steps = weights.profiles.steps = average_steps
    return progress
