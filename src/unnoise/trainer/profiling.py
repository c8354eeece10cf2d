"""Profiler of training steps: where their time goes, and what share of the device's peak they reach."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from unnoise.utils import device_speed
from unnoise.utils.device_peak import Peak, device_peak
from unnoise.utils.device_speed import PROFILER_RANGES, FlopCounter, synchronize
from unnoise.utils.precision import Precision

Step = TypeVar("Step")

DATA, OPTIMISER, COMPILED, REST = (
    PROFILER_RANGES["data"],
    "optimiser",
    "compiled kernels",
    "Python and the rest",
)
_FORWARD = "convolutions, forward"
_COMPILED = ("triton_", "cpp_fused", "CompiledFunction", "Torch-Compiled", "CompiledFxGraph")
_STEP = "unnoise: step"


class StepProfile(NamedTuple):
    """Where the time of a training step goes, and what share of the device's peak it reaches."""

    steps: int
    """Number of steps that were timed, and as many were recorded."""
    milliseconds: float
    """Of a step, without recording."""
    kinds: dict[str, float]
    """Milliseconds of a recorded step in each kind of kernel, on the device."""
    idle: float | None
    """Share of a recorded step in which the device was idle; None on a CPU."""
    data: float
    """Share of a recorded step spent on fetching pictures."""
    gigaflops: float
    """Of a step: matrix products and convolutions, forward, backward and optimiser."""
    peak: Peak
    """The most that the same device reaches in the same precision."""
    trace: Path | None
    """File for Perfetto or Chrome; None where it could not be written."""

    @property
    def speed(self) -> float:
        """GFLOP/s of a step."""
        return self.gigaflops / self.milliseconds * 1e3

    @property
    def peak_share(self) -> float:
        """Share of the peak that is reached."""
        return self.speed / self.peak.gflops


@dataclass
class StepProfiler:
    """Profiles steps as they pass, once: some warm up, one is counted, some are timed, as many are recorded.

    Args:
        folder: where the trace is written.
        device, precision: of the run; the peak is measured there.
        tell: called with the profile; not at all where the steps end before.
        warm_up, count: numbers of steps.
    """

    folder: Path
    device: torch.device
    precision: Precision
    tell: Callable[[StepProfile], object]
    warm_up: int = 4
    count: int = 10
    taken: int = 0

    @property
    def needed(self) -> int:
        """Number of steps that it needs."""
        return self.warm_up + 1 + 2 * self.count

    @property
    def done(self) -> bool:
        """Whether all steps that it needs have passed."""
        return self.taken >= self.needed

    def watch(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Passes the steps on."""
        passing, self.taken = iter(steps), self.needed if self.done else 0
        counter, recorder = FlopCounter(), self._recorder()
        timed, recording = 0.0, False
        counted, recorded = self.warm_up, self.warm_up + self.count
        try:
            while self.taken < self.needed:
                if self.taken == recorded + 1:
                    timed += self._synchronized()
                    recorder.start()
                    recording = True
                started = time.perf_counter()
                with count_eagerly(counter) if self.taken == counted else nullcontext(), record_function(_STEP):
                    step = next(passing, None)
                    if self.taken in (counted, self.needed - 1):
                        synchronize(self.device)
                if step is None:
                    return
                timed += (time.perf_counter() - started) * (counted < self.taken <= recorded)
                self.taken += 1
                if self.done:
                    recorder.stop()
                    recording = False
                    self.tell(self._profile(recorder, timed, counter.flops))
                yield step
        finally:
            if recording:
                recorder.stop()
        yield from passing

    def _synchronized(self) -> float:
        started = time.perf_counter()
        synchronize(self.device)
        return time.perf_counter() - started

    def _recorder(self) -> profile:
        activities = [ProfilerActivity.CPU]
        if self.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        return profile(activities=activities, acc_events=True)

    def _profile(self, recorder: profile, seconds: float, flops: float) -> StepProfile:
        events = recorder.events()  # type: ignore[no-untyped-call]
        parts = time_by_kind(events, on_cpu=self.device.type == "cpu")
        # Kineto repeats these on the GPU's side.
        host = [event for event in events if event.device_type.name == "CPU"]
        wall = sum(event.time_range.elapsed_us() for event in host if event.name == _STEP)
        data = sum(event.time_range.elapsed_us() for event in host if event.name == DATA)
        busy = sum(parts.values())
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        return StepProfile(
            steps=self.count,
            milliseconds=1e3 * seconds / self.count,
            kinds={kind: each / 1e3 / self.count for kind, each in parts.items()},
            idle=None if self.device.type == "cpu" else max(0.0, 1 - busy / wall),
            data=data / wall,
            gigaflops=flops / 1e9,
            peak=device_peak(self.device, dtype),
            trace=self._write_trace(recorder),
        )

    def _write_trace(self, recorder: profile) -> Path | None:
        path = self.folder / "trace.json.gz"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            recorder.export_chrome_trace(str(path))
        except (OSError, RuntimeError) as error:
            warnings.warn(f"Cannot write the trace {path} ({error}). Free some space.", stacklevel=2)
            return None
        return path


@contextmanager
def count_eagerly(counter: FlopCounter) -> Iterator[FlopCounter]:
    """Counts FLOPs without the compiled network, for the FLOPs of compiled kernels cannot be counted."""
    with torch.compiler.set_stance("force_eager"), counter:
        yield counter


def time_by_kind(events: Iterable[Any], *, on_cpu: bool) -> dict[str, float]:
    """Microseconds inside steps by kind of kernel, largest first.

    Args:
        events: of PyTorch's profiler.
        on_cpu: whether to take the time on the CPU, or that of the kernels that it started on its device.
    """
    events = [event for event in events if event.device_type.name == "CPU"]
    spans = [event.time_range for event in events if event.name == _STEP]
    parts: dict[str, float] = {}
    for event in events:
        if not any(span.start <= event.time_range.start < span.end for span in spans):
            continue
        kind = _range_of(event) or device_speed.fused_kind(event) or kernel_kind(event.name)
        spent = event.self_cpu_time_total if on_cpu else event.self_device_time_total
        parts[kind] = parts.get(kind, 0.0) + spent
    return dict(
        sorted(((kind, spent) for kind, spent in parts.items() if spent > 0), key=lambda part: -part[1])
    )


def kernel_kind(name: str) -> str:
    """The kind of kernel of an operator of this name."""
    if any(mark in name for mark in _COMPILED):
        return COMPILED
    kind = device_speed.operator_kind(name)
    return {"convolutions": _FORWARD, "rest": REST}.get(kind, kind)


def _range_of(event: Any) -> str | None:  # noqa: ANN401 (PyTorch's FunctionEvent)
    """The part of a step that an operator belongs to: data, guards, averages or optimiser."""
    inside = event
    while inside is not None:
        for kind, name in PROFILER_RANGES.items():
            if inside.name == name:
                return kind
        if inside.name.startswith("Optimizer."):
            return OPTIMISER
        inside = inside.cpu_parent
    return None
