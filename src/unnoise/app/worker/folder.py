"""The folder of a task: what is asked for, what was written, and how far it is."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.utils.files import atomic_write

if TYPE_CHECKING:
    from unnoise.diffusion.tensors import Images

_EVERY = 0.1
"""Seconds between two writings of the progress."""


class CancelledTaskError(Exception):
    """Somebody cancelled the task."""


class TaskFolder:
    """A task's folder.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.request: dict[str, Any] = json.loads((path / "request.json").read_text(encoding="utf-8"))
        self.files: list[str] = []
        self._written = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do: also where a worker was killed in the middle of it."""
        try:
            found = json.loads((self.path / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return True
        return found.get("state") in {"waiting", "working"}

    def progress(self, done: float, doing: str) -> None:
        """Writes how far the task is; ends it where it was cancelled."""
        now = time.monotonic()
        if now - self._written < _EVERY:
            return
        self._written = now
        if (self.path / "cancel").exists():
            raise CancelledTaskError
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
        """Writes state.json, whole or not at all."""
        found = {
            "state": state,
            "progress": progress,
            "doing": doing,
            "error": error,
            "result": result or {},
            "files": self.files if state == "done" else [],
        }
        with atomic_write(self.path / "state.json") as file:
            file.write_text(json.dumps(found), encoding="utf-8")

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


def _picture(image: "Images") -> Any:  # noqa: ANN401
    """One picture (C, H, W) as Pillow has it."""
    from PIL import Image

    from unnoise import pictures

    pixels = pictures.to_bytes(image[None])[0]
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
