"""The folder of a task: what is asked for, what was written, and how far it is."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.app.errors import RequestError
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.files import atomic_write, remove_temporary_files

if TYPE_CHECKING:
    from unnoise.app.worker.opened import OpenedRuns
    from unnoise.diffusion.tensors import Images

_EVERY = 0.1
"""Seconds between two writings of the progress."""
_MOST_BEGUN = 3
"""How often a task is begun: one that ended the worker that often would go on to."""


class CancelledTaskError(Exception):
    """Somebody cancelled the task."""


class TaskFolder:
    """A task's folder.

    Args:
        path: of the folder.
        runs: what opens its run.
    """

    def __init__(self, path: Path, runs: "OpenedRuns") -> None:
        self.path, self.runs = path, runs
        self.request = _object(path / "request.json")
        self.files: list[str] = []
        self._written = 0.0
        self._begun = 0

    @property
    def state(self) -> dict[str, Any]:
        """What state.json says; nothing before the task was begun."""
        return _object(self.path / "state.json")

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do: also where a worker was killed in the middle of it."""
        return bool(self.request) and self.state.get("state", "waiting") in {"waiting", "working"}

    def word(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """A word of the request, or the default where it is not there, null or empty."""
        found = self.request.get(name)
        return default if found is None or found == "" else found

    def needed(self, name: str) -> Any:  # noqa: ANN401
        """A word of the request that must be there."""
        found = self.word(name)
        if found is None:
            raise RequestError(f"The task {self.word('kind')} needs {name}: name it.")
        return found

    def begin(self) -> None:
        """Says that work begins, and removes what a worker left that was killed.

        Raises:
            UnnoiseError: where several were.
            CancelledTaskError: where it was cancelled while it waited.
        """
        begun = self.state.get("begun")
        self._begun = begun + 1 if isinstance(begun, int) else 1
        require(
            self._begun <= _MOST_BEGUN,
            "The worker ended several times in the middle of this, perhaps for lack of memory: ask for fewer "
            "or smaller pictures.",
        )
        remove_temporary_files(self.path)
        self.progress(0.0, "")

    def progress(self, done: float, doing: str) -> None:
        """Writes how far the task is; ends it where it was cancelled, or removed."""
        if (self.path / "cancel").exists() or not (self.path / "request.json").exists():
            raise CancelledTaskError
        now = time.monotonic()
        if now - self._written >= _EVERY:
            self._written = now
            self.write("working", progress=min(max(done, 0.0), 1.0), doing=doing)

    def write(
        self,
        state: str,
        *,
        progress: float = 0.0,
        doing: str = "",
        error: str | None = None,
        result: object = None,
    ) -> None:
        """Writes state.json, whole or not at all; not for a task that was removed."""
        found = {
            "state": state,
            "progress": progress,
            "doing": doing,
            "error": error,
            "result": result or {},
            "files": self.files if state == "done" else [],
            "begun": self._begun,
        }
        if self.path.is_dir():
            with atomic_write(self.path / "state.json") as file:
                file.write_text(json.dumps(found), encoding="utf-8")

    def fail(self, sentence: str) -> None:
        """Says why it failed; where not even that can be written, the worker goes on."""
        with suppress(UnnoiseError, OSError):
            self.write("failed", error=" ".join(sentence.split()))

    def save_pictures(self, images: "Images", names: list[str]) -> list[str]:
        """Writes pictures (B, C, H, W) in [0, 1], one PNG each; returns the names of the files."""
        from unnoise import pictures

        for image, name in zip(images, names, strict=True):
            path = self.path / f"{name}.png"
            pictures.save_png(_picture(image), path)
            self.files.append(path.name)
        return [f"{name}.png" for name in names]

    def add(self, name: str) -> Path:
        """The path of a file that the task will have."""
        self.files.append(name)
        return self.path / name


def _object(path: Path) -> dict[str, Any]:
    """An object of JSON; an empty one where there is none."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _picture(image: "Images") -> Any:  # noqa: ANN401
    """One picture (C, H, W) as Pillow has it."""
    from PIL import Image

    from unnoise import pictures

    pixels = pictures.to_uint8(image[None])[0]
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
