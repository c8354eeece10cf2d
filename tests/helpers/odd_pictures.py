"""Random smooth pictures, and a folder with one example of everything odd in real folders."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.data_files import file_bytes


@lru_cache
def unlike(count: int, size: int = 64, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth pictures, (N, size, size, channels) uint8: sums of a few waves each, no two alike."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    waves = random.normal(size=(count, channels, 12, 3)).astype(np.float32)
    phases = 2 * np.pi * random.random((count, channels, 12)).astype(np.float32)
    pictures = np.zeros((count, channels, size, size), np.float32)
    for wave in range(12):
        along = (
            2
            * np.pi
            * 2
            * (waves[:, :, wave, 0, None, None] * rows + waves[:, :, wave, 1, None, None] * columns)
        )
        pictures += waves[:, :, wave, 2, None, None] * np.sin(along + phases[:, :, wave, None, None])
    return np.clip(128 + 28 * pictures, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def as_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def write_odd_folder(folder: Path) -> Path:
    """A folder with one example of each finding among 50 sound pictures of 48 x 48."""
    folder.mkdir()
    sound = unlike(60, 48)
    for number, pixels in enumerate(sound[:50]):
        as_image(pixels).save(folder / f"sound{number:02}.png")
    twin = as_image(sound[50])
    twin.save(folder / "twin.png")
    twin.save(folder / "twin again.PNG")
    twin.save(folder / "twin.JPG", quality=75)
    twin.resize((96, 96)).save(folder / "twin large.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    as_image(sound[51]).convert("CMYK").save(folder / "print.jpg")
    deep = sound[52][..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    clear = as_image(sound[53])
    clear.putalpha(Image.fromarray(sound[53][..., 1].copy()))
    clear.save(folder / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    as_image(sound[54]).save(folder / "side.jpg", exif=exif)
    as_image(sound[55][:5, :5]).save(folder / "tiny.png")
    as_image(sound[56]).resize((1600, 1600)).save(folder / "huge.jpg")
    as_image(sound[57][:12]).resize((192, 48)).save(folder / "wide.png")
    moving = [as_image(pixels) for pixels in sound[57:60]]
    data = file_bytes(moving[0], "GIF", save_all=True, append_images=moving[1:])
    (folder / "moving.gif").write_bytes(data)
    Image.new("RGB", (48, 48), "white").save(folder / "void.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder
