"""On a fault a run goes back to what was saved before it, learns more slowly or more exactly, and tells so.

    what happened                                  what is changed
    a loss, gradient or weight is not finite       float32 instead of bfloat16; else half the learning rate
    the loss rose and stayed high                  half the learning rate
    samples collapsed, or their colours shifted    half the learning rate

In the new stretch the same pictures come at the same steps, with other noises and noise levels, so that what
was bad luck does not come again. What comes again at about the same step for the fourth time ends the run; but
that colours shift is a matter of degree: it is then told, and the run goes on. Steps go back, time does not: a
budget of minutes ends when it was meant to.
"""

import warnings
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from unnoise.data.batches import Indices, Pictures
from unnoise.diffusion.tensors import Images, SomePixels
from unnoise.runs.checkpoint import Progress, Run
from unnoise.training.guards.events import EVENTS, Changes, Event, add_event, read_events
from unnoise.training.guards.faults import Fault
from unnoise.training.guards.samples import Appearance, SampleWatch, references
from unnoise.training.guards.spikes import LossWatch
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 3
"""Times that a run goes back from about the same step."""

_NEAR, _NEAR_SHARE = 50, 0.1
"""Steps that are no further apart, or by this share of their number, are about the same."""


class Guards:
    """Watches one run through all its stretches, in the process that writes its folder.

    Args:
        run: whose folder holds events.csv.
        pictures, indices: what it is trained on, to hold samples against.
    """

    def __init__(self, run: Run, pictures: Pictures, indices: Indices) -> None:
        self.run = run
        self._pictures, self._indices = pictures, indices
        self._losses = LossWatch()
        self._samples: dict[str, SampleWatch] = {}
        if not run.states():  # what happened to a run of this name that never saved anything is past
            (run.path / EVENTS).unlink(missing_ok=True)

    @cached_property
    def _data(self) -> Appearance:
        num_classes = len(self.run.config.data.classes)
        return Appearance.of(references(self._pictures, self._indices, num_classes))

    def reported(self, step: int, loss: float) -> None:
        """The mean loss of the steps until this one.

        Raises:
            Fault: where it has risen, and stayed high.
        """
        fault = self._losses.add(step, loss)
        if fault is not None:
            raise fault

    def drawn(self, samples: Images | SomePixels, progress: Progress, *, name: str) -> None:
        """Samples of the averaged network; those of one name were drawn in the same way, from the same seeds.

        Raises:
            Fault: where they were well, and no longer are.
        """
        if name not in self._samples:
            self._samples[name] = SampleWatch(self._data)
        fault = self._samples[name].add(samples, progress.step, self.run.config.budget.spent(*progress))
        if fault is None:
            return
        if fault.good is None:
            self._tell(fault, progress, "they never were better: look at them, and train longer or start again")
        elif fault.kind == "colour shift" and len(self._same(fault)) >= _MOST:
            self._tell(fault, progress, "going back did not help, so the run goes on")
        else:
            raise fault

    def go_back(self, fault: Fault, progress: Progress) -> None:
        """Decides where the run goes on and with what changed, and tells it; the next stretch does so.

        Args:
            progress: how far the run had come when the fault was seen.

        Raises:
            UnnoiseError: when it has gone back from about this step too often; what was saved stays.
        """
        assert fault.good is not None, "what was there all along is no reason to go back"
        kept, again = self._forget_after(fault.good), self._same(fault)
        if len(again) >= _MOST:
            self._record(fault, progress, "gave up")
            raise UnnoiseError(
                f"{fault.seen} at step {fault.step}, after going back from about there {len(again)} times: "
                f"{'the last good state is kept; ' if kept else ''}train again with a lower learning rate."
            )
        changes, remedy = self._remedy(fault)
        action = f"going on from {f'step {kept}' if kept else 'the start'} with {remedy}"
        self._losses = LossWatch()
        self._record(fault, progress, action, kept, changes)
        warnings.warn(f"{fault.seen} at step {fault.step}: {action}.", stacklevel=2)

    def _forget_after(self, step: int) -> int:
        """Deletes what was saved after this step; returns the step of what is left, 0 for nothing."""
        late = [path for path in self.run.states() if int(path.stem) > step]
        for path in late:
            path.unlink()
        if late:  # model.safetensors is of the newest of them
            diffusion = self.run.config.build()
            self.run.save(diffusion, self.run.restore(diffusion))
        return max((int(path.stem) for path in self.run.states()), default=0)

    def _remedy(self, fault: Fault) -> tuple[Changes, str]:
        changes = Changes.of(read_events(self.run.path))
        if fault.is_of_numbers and changes.precision(self.run.config.precision) == "bfloat16":
            return replace(changes, in_float32=True), "float32 instead of bfloat16"
        slower = replace(changes, learning_rate_factor=changes.learning_rate_factor / 2)
        return slower, f"{slower.learning_rate_factor:g} of the recipe's learning rate"

    def _same(self, fault: Fault) -> "Sequence[Event]":
        """The times that the run went back from about this step."""
        near = max(_NEAR, _NEAR_SHARE * fault.step)
        events = [event for event in read_events(self.run.path) if event.back_to is not None]
        return [event for event in events if abs(event.step - fault.step) <= near]

    def _tell(self, fault: Fault, progress: Progress, action: str) -> None:
        self._record(fault, progress, action)
        warnings.warn(f"{fault.seen} at step {fault.step}: {action}.", stacklevel=3)

    def _record(
        self,
        fault: Fault,
        progress: Progress,
        action: str,
        back_to: int | None = None,
        changes: Changes | None = None,
    ) -> None:
        changes = changes or Changes.of(read_events(self.run.path))
        precision = changes.precision(self.run.config.precision)
        told = (fault.step, progress.seconds, fault.kind, fault.seen, action)
        add_event(self.run.path, Event(*told, back_to, changes.learning_rate_factor, precision))
