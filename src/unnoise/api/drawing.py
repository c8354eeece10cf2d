"""Drawn pictures and animations, as values that show, convert and save themselves."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.api.output_paths import ANIMATIONS, check_generated, is_folder
from unnoise.api.reporting import count

if TYPE_CHECKING:
    from PIL.Image import Image

    from unnoise.diffusion.tensors import Images
    from unnoise.pictures.pixels import PixelArray


class Animation:
    """Frames of one size. In a notebook they play.

    Args:
        frames: the frames.
        hold_last: seconds for which the last one is shown.
    """

    def __init__(self, frames: "Sequence[Image]", hold_last: float = 1.5) -> None:
        self.frames = frames
        self.hold_last = hold_last

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        width, height = self.frames[0].size
        return f"{count(len(self), 'frame')} of {height} x {width}"

    def save(self, path: str | Path) -> Path:
        """Writes a .gif or .mp4, and returns its path.

        Raises:
            UnnoiseError: for another suffix, or a place that can't be written.
        """
        from unnoise.pictures import save_animation
        from unnoise.utils.files import require_suffix

        require_suffix(Path(path), *ANIMATIONS)
        save_animation(self.frames, Path(path), hold_last=self.hold_last)
        return Path(path)

    def _repr_mimebundle_(self, **_: object) -> dict[str, bytes]:
        from unnoise.pictures.animations import gif_bytes

        return {"image/gif": gif_bytes(self.frames, hold_last=self.hold_last)}


class Drawing:
    """Pictures in [0, 1], drawn or given. In a notebook they are shown as a sheet.

    Args:
        images: (N, C, H, W), on the CPU.
        names: one for each picture, for the files that `save` writes into a folder.
        columns: where pictures were changed, the stages that the sheet shows beside one another.
        noises: of inverted pictures, from which they are drawn.
    """

    def __init__(
        self,
        images: "Images",
        names: Sequence[str],
        columns: "Mapping[str, Images] | None" = None,
        *,
        noises: "Images | None" = None,
    ) -> None:
        self._images, self._names = images, names
        self.columns, self.noises = columns, noises

    @property
    def tensor(self) -> "Images":
        """The pictures, float32 (N, C, H, W) in [0, 1], on the CPU."""
        return self._images

    @property
    def names(self) -> Sequence[str]:
        """Names of the pictures, without suffix, for the files that `save` writes into a folder."""
        return self._names

    def batches(self) -> "Iterator[Drawing]":
        """The pictures in parts that are held in memory at once."""
        yield self

    def animation(self) -> Animation:
        """The pictures one after the other."""
        from unnoise import pictures

        return Animation(pictures.frames(self.tensor.unsqueeze(1)))

    def __len__(self) -> int:
        return len(self.tensor)

    def __repr__(self) -> str:
        return count(len(self), "picture")

    def __getitem__(self, place: int) -> "Image":
        return self.pil()[place]

    def numpy(self) -> "PixelArray":
        """The pictures as bytes: uint8 (N, H, W, C)."""
        from unnoise import pictures

        return pictures.to_bytes(self.tensor)

    def pil(self) -> "list[Image]":
        """The pictures as PIL images."""
        from PIL import Image

        from unnoise import pictures

        pixels = pictures.to_uint8(self.tensor)
        return [Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one) for one in pixels]

    def sheet(self) -> "Image":
        """One picture of all of them; of changed pictures, with their stages."""
        from unnoise import pictures
        from unnoise.pictures.stages import stage_sheet

        return pictures.grid(self.tensor) if self.columns is None else stage_sheet(self.columns)

    def save(self, path: str | Path) -> Path:
        """Writes the pictures, and returns the path. Its suffix chooses the kind.

        Args:
            path: a .png (one sheet), a .gif or .mp4 (of drawn pictures, noise turning into them), an .npz (the
                array "images", uint8, N x H x W x C, and of inverted pictures "noises"), or a folder (one PNG
                each).

        Raises:
            UnnoiseError: for another suffix, or a place that can't be written.
        """
        path = Path(path)
        check_generated(path)
        if is_folder(path):
            for part in self.batches():
                for name, picture in zip(part.names, part.pil(), strict=True):
                    _save_png(picture, path / f"{name}.png")
        elif path.suffix.lower() in ANIMATIONS:
            self.animation().save(path)
        elif path.suffix.lower() == ".npz":
            more = {} if self.noises is None else {"noises": self.noises.numpy()}
            _save_arrays(path, images=self.numpy(), **more)
        else:
            _save_png(self.sheet(), path)
        return path

    def _repr_png_(self) -> bytes:
        return png_bytes(self.sheet())


def png_bytes(picture: "Image") -> bytes:
    """The bytes of a picture's .png, as a notebook shows it."""
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()


def _save_png(picture: "Image", path: Path) -> None:
    from unnoise import pictures

    pictures.save_png(picture, path)


def _save_arrays(path: Path, **arrays: Any) -> None:  # noqa: ANN401 (as NumPy's own)
    """Writes arrays into an .npz."""
    import numpy as np

    from unnoise.utils.files import atomic_write

    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)
