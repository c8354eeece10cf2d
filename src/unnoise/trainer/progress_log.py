"""Progress of a run, a line a minute: progress.jsonl for programs that watch, and a plain sentence for logs.

Each line is one JSON object, padded by spaces to 512 bytes and written by one call. So no line lies across a
page of memory, and a reader sees all of it or nothing, even if the run is killed while it writes.
"""

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from unnoise.runs.checkpoint import Progress
from unnoise.utils import json_text

PROGRESS = "progress.jsonl"

_EVERY = 60.0
"""Seconds from line to line."""
_LENGTH = 512
"""Bytes of a line: pages of memory are multiples of it."""


class ProgressLine(NamedTuple):
    """What a line says; None where it is not known, or not measured yet."""

    time: str
    """UTC, ISO 8601."""
    step: int
    images: int
    """Images trained on, with repetition."""
    seconds: float
    """Training time."""
    spent: float
    """Share of the budget, 0 to 1."""
    seconds_left: float | None
    """Until the budget is spent, at the speed since the line before."""
    images_per_second: float | None
    """Since the line before."""
    learning_rate: float
    loss: float | None
    """Mean training loss since the line before."""
    held_out_loss: float | None
    """Measured last."""
    kid: float | None
    """Kernel distance of samples, measured last."""

    @property
    def sentence(self) -> str:
        """The line for people, without time and learning rate."""
        parts = [f"step {self.step:,} ({self.spent:.0%})"]
        if self.images_per_second is not None:
            digits = 0 if self.images_per_second >= 10 else 2
            parts.append(f"{self.images_per_second:,.{digits}f} images/s")
        names = {"loss": self.loss, "held-out loss": self.held_out_loss}
        parts += [f"{name} {value:.4f}" for name, value in names.items() if value is not None]
        if self.kid is not None:
            parts.append(f"KID {self.kid:.3g}")
        if self.seconds_left is not None:
            parts.append(f"{_duration(self.seconds_left)} left")
        return ", ".join(parts)

    def to_json(self) -> bytes:
        """The line for programs, with its line feed."""
        finite = {name: _finite(value) for name, value in self._asdict().items()}
        return json.dumps(finite).ljust(_LENGTH - 1).encode() + b"\n"


class ProgressLog:
    """Writes progress.jsonl. Where the disk is full a line is lost: history.csv holds the same.

    Args:
        run: the folder of the run.
        progress: how far the run has come; lines of later steps are cut off.
        spent: share of the budget that is spent.
    """

    def __init__(self, run: Path, progress: Progress, spent: float) -> None:
        self._path = run / PROGRESS
        self._last, self._spent = progress, spent
        self._losses: list[float] = []
        self._cut(progress.step)

    def add_loss(self, loss: float) -> None:
        """Adds a training loss to the mean of the next line."""
        self._losses.append(loss)

    def due(self, progress: Progress) -> bool:
        """Whether a minute has passed since the last line."""
        return progress.seconds - self._last.seconds >= _EVERY

    def add(
        self,
        progress: Progress,
        spent: float,
        *,
        learning_rate: float,
        held_out_loss: float | None,
        kid: float | None,
    ) -> ProgressLine:
        """Writes a line, and returns it."""
        seconds, share = progress.seconds - self._last.seconds, spent - self._spent
        images = progress.images - self._last.images
        line = ProgressLine(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            step=progress.step,
            images=progress.images,
            seconds=round(progress.seconds, 3),
            spent=round(spent, 6),
            seconds_left=round((1 - spent) * seconds / share, 1) if share > 0 else None,
            images_per_second=round(images / seconds, 3) if seconds > 0 else None,
            learning_rate=learning_rate,
            loss=sum(self._losses) / len(self._losses) if self._losses else None,
            held_out_loss=held_out_loss,
            kid=kid,
        )
        self._last, self._spent, self._losses = progress, spent, []
        self._append(line.to_json())
        return line

    def _append(self, line: bytes) -> None:
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                whole = os.fstat(file).st_size
                if os.write(file, line) != len(line):
                    os.ftruncate(file, whole)
            finally:
                os.close(file)
        except OSError:
            return

    def _cut(self, step: int) -> None:
        """Cuts off the lines of later steps, and what is no line of ours."""
        try:
            data = self._path.read_bytes()
        except OSError:
            return
        whole = 0
        for line in data.splitlines(keepends=True):
            if not _is_until(line, step):
                break
            whole += len(line)
        if whole < len(data):
            os.truncate(self._path, whole)


def _is_until(line: bytes, step: int) -> bool:
    try:
        return line.endswith(b"\n") and bool(json_text.parse(line.decode())["step"] <= step)
    except (ValueError, TypeError, KeyError):
        return False


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _duration(seconds: float) -> str:
    """`45 s`, `14 min`, `3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"
