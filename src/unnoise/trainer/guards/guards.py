"""Guards of one run: check losses and samples, and on a fault go back to a good state with an adjustment.

    fault                                          adjustment
    a loss, gradient or weight is not finite       float32 instead of bfloat16; otherwise half the learning rate
    the loss rose and stayed high                  half the learning rate
    samples collapsed, or their colours shifted    half the learning rate

After going back, the same pictures come at the same steps, with other noises and noise levels, so that bad
luck is not repeated. A fault that comes for the fourth time at about the same step ends the run; but a colour
shift, which is a matter of degree, is then reported, and the run goes on. Steps go back, time does not: a
budget of minutes ends when it was meant to.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from unnoise.data.batches import Indices, Pictures
from unnoise.diffusion.tensors import Images, SomePixels
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.history import EVENTS, EventRow, read_events
from unnoise.runs.initial_weights import load_initial_weights
from unnoise.trainer.guards.adjustments import Adjustments
from unnoise.trainer.guards.faults import Fault
from unnoise.trainer.guards.samples import Appearance, Look, SampleCheck, reference_pictures
from unnoise.trainer.guards.spikes import LossSpikes
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tables import write_table

SHEET = "sheet"
"""Name of the samples of sample sheets."""

_MAX_ROLLBACKS = 3
"""From about the same step."""

_NEAR, _NEAR_SHARE = 50, 0.1
"""Steps no further apart, or by no more than this share of their number, are about the same."""


class Guards:
    """Guards of one run through all its rollbacks, in the process that writes its folder.

    Args:
        run: whose folder holds events.csv.
        pictures, indices: what it is trained on, to compare samples with.
    """

    def __init__(self, run: Run, pictures: Pictures, indices: Indices) -> None:
        self.run = run
        self._pictures, self._indices = pictures, indices
        self._losses = LossSpikes()
        self._samples: dict[str, SampleCheck] = {}
        if not run.states():  # events of an earlier run of this name, which never saved anything
            (run.path / EVENTS).unlink(missing_ok=True)

    @cached_property
    def _data(self) -> Appearance:
        num_classes = len(self.run.config.data.classes)
        return Appearance.of(reference_pictures(self._pictures, self._indices, num_classes))

    def check_loss(self, step: int, loss: float) -> None:
        """Checks the mean loss of the steps since the last call, until this one.

        Raises:
            Fault: where it rose and stayed high.
        """
        fault = self._losses.add(step, loss)
        if fault is not None:
            raise fault

    @property
    def sound_step(self) -> int | None:
        """The last step whose sample sheet was looked at and found sound; None where none was."""
        return self._samples[SHEET].sound_step if SHEET in self._samples else None

    @property
    def trusted_step(self) -> int | None:
        """The last step whose loss is known to be good; None where that of every step is."""
        return self._losses.trusted_step

    def begin(self, step: int, looks: Sequence[Look]) -> None:
        """Begins at this step, with the looks at sample sheets up to it; forgets later ones."""
        for check in self._samples.values():
            check.forget_after(step)
        if looks and SHEET not in self._samples:
            self._samples[SHEET] = SampleCheck(self._data, looks)

    def check_samples(
        self, samples: Images | SomePixels, progress: Progress, *, name: str, num_steps: int = 0
    ) -> str:
        """Checks samples of the averaged network; returns the verdict, see `Look`.

        Args:
            name: samples of one name are drawn from the same seeds.
            num_steps: of the sampler.

        Raises:
            Fault: where they were good before, and no longer are.
        """
        if name not in self._samples:
            self._samples[name] = SampleCheck(self._data)
        check, sound = self._samples[name], self.sound_step
        fault = check.add(samples, progress.step, self.run.config.budget.spent(*progress), num_steps)
        if fault is not None:
            self._raise_or_report(fault, progress, sound)
        return check.looks[-1].verdict

    def _raise_or_report(self, fault: Fault, progress: Progress, sound: int | None) -> None:
        if fault.last_good_step is not None and sound is not None:
            fault.last_good_step = sound  # of whatever samples, states are kept by their sheets
        if fault.last_good_step is None:
            self._report(fault, progress, "they never were better, so train longer or start again")
        elif fault.kind == "colour shift" and len(self._rollbacks_near(fault)) >= _MAX_ROLLBACKS:
            self._report(fault, progress, "going back did not help, so training goes on")
        else:
            raise fault

    def roll_back(self, fault: Fault, progress: Progress) -> None:
        """Deletes the states saved after the fault, decides on an adjustment, and reports both.

        Args:
            progress: how far the run had come when the fault was found.

        Raises:
            UnnoiseError: after too many rollbacks from about this step; the last good state stays.
        """
        assert fault.last_good_step is not None, "a fault that was there from the start is only reported"
        kept, before = self._delete_states_after(fault.last_good_step), self._rollbacks_near(fault)
        if len(before) >= _MAX_ROLLBACKS:
            self._record(fault, progress, "gave up")
            raise UnnoiseError(
                f"{fault.cause} at step {fault.step}, after {len(before)} rollbacks from about there. "
                f"{'The last good state is kept. ' if kept else ''}Train again with a lower learning rate."
            )
        adjustments, remedy = self._adjusted(fault)
        action = f"going on from {f'step {kept}' if kept else 'the start'} with {remedy}"
        self._losses = LossSpikes()
        self._record(fault, progress, action, kept, adjustments)
        warnings.warn(f"{fault.cause} at step {fault.step}: {action}.", stacklevel=2)

    def _delete_states_after(self, step: int) -> int:
        """Deletes the states after this step; returns the step of the newest one left, 0 for none."""
        states = self.run.states()
        late = [path for path in states if int(path.stem) > step]
        if late and len(late) == len(states):  # a run with weights and without a state cannot be resumed
            diffusion = self.run.config.build()
            load_initial_weights(self.run.path, self.run.config, diffusion)
            self.run.save(diffusion, Progress(), trusted=0)
        for path in late:
            path.unlink()
        if late:
            self.run.restore(self.run.config.build())  # model.safetensors belonged to the newest of them
        return max((int(path.stem) for path in self.run.states()), default=0)

    def _adjusted(self, fault: Fault) -> tuple[Adjustments, str]:
        adjustments = Adjustments.of(read_events(self.run.path))
        if fault.is_non_finite and adjustments.precision(self.run.config.precision) == "bfloat16":
            return replace(adjustments, in_float32=True), "float32 instead of bfloat16"
        slower = replace(adjustments, learning_rate_factor=adjustments.learning_rate_factor / 2)
        return slower, f"{slower.learning_rate_factor:g} of the recipe's learning rate"

    def _rollbacks_near(self, fault: Fault) -> Sequence[EventRow]:
        """The rollbacks from about the step of this fault."""
        near = max(_NEAR, _NEAR_SHARE * fault.step)
        events = [event for event in read_events(self.run.path) if event.back_to is not None]
        return [event for event in events if abs(event.step - fault.step) <= near]

    def _report(self, fault: Fault, progress: Progress, action: str) -> None:
        self._record(fault, progress, action)
        warnings.warn(f"{fault.cause} at step {fault.step}: {action}.", stacklevel=3)

    def _record(
        self,
        fault: Fault,
        progress: Progress,
        action: str,
        back_to: int | None = None,
        adjustments: Adjustments | None = None,
    ) -> None:
        events = read_events(self.run.path)
        adjustments = adjustments or Adjustments.of(events)
        precision = adjustments.precision(self.run.config.precision)
        facts = (fault.step, progress.seconds, fault.kind, fault.cause, action)
        event = EventRow(*facts, back_to, adjustments.learning_rate_factor, precision)
        write_table(self.run.path / EVENTS, EventRow, [*events, event])
