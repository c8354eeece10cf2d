"""Small valid files of every kind that unnoise reads: the first inputs of the fuzzer."""

import io
import json
import zipfile

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save

from helpers.data_files import file_bytes, idx_bytes, png_with_key
from unnoise.diffusion.normalizer import Normalizer
from unnoise.runs.config import RunConfig
from unnoise.runs.data_config import DataConfig
from unnoise.runs.presets import PRESETS, recipe

NUMBERS = np.arange(3 * 5 * 4, dtype=np.uint8).reshape(3, 5, 4)
GREY = Image.fromarray(NUMBERS[0])
COLOUR = Image.merge("RGB", [Image.fromarray(plane) for plane in NUMBERS])


def pictures() -> list[bytes]:
    """Images of each format, in its modes and compressions."""
    text = PngImagePlugin.PngInfo()
    text.add_text("a", "b" * 40, zip=True)
    text.add_itxt("c", "d" * 40, zip=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [COLOUR.rotate(180)]}
    palette, alpha = COLOUR.convert("P"), COLOUR.convert("RGBA")
    return [
        file_bytes(COLOUR, pnginfo=text, exif=exif, icc_profile=b"profile" * 9),
        file_bytes(palette, transparency=bytes(9)),
        file_bytes(alpha),
        file_bytes(GREY.convert("1")),
        png_with_key(NUMBERS[1].astype(np.uint16) * 900, key=900),
        file_bytes(COLOUR, "JPEG", exif=exif, progressive=True),
        file_bytes(COLOUR.convert("CMYK"), "JPEG", icc_profile=b"profile" * 9),
        file_bytes(GREY, "JPEG", comment=b"comment"),
        file_bytes(palette, "GIF", transparency=1, **frames),
        file_bytes(COLOUR, "TIFF"),
        file_bytes(COLOUR, "TIFF", compression="tiff_lzw", exif=exif),
        file_bytes(alpha, "TIFF", compression="tiff_adobe_deflate", **frames),
        file_bytes(COLOUR.convert("YCbCr"), "TIFF", compression="jpeg"),
        file_bytes(GREY.convert("F"), "TIFF"),
        file_bytes(GREY.convert("1"), "TIFF", compression="group4"),
        file_bytes(COLOUR, "WEBP", exif=exif),
        file_bytes(alpha, "WEBP", lossless=True, **frames),
        file_bytes(COLOUR, "BMP"),
        file_bytes(palette, "BMP"),
    ]


def zips() -> list[bytes]:
    """Zip files, stored and deflated, with folders and names that lead out of them."""
    found = []
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", packing) as archive:
            archive.comment = b"a comment"
            archive.writestr("cats/a.png", file_bytes(GREY))
            archive.writestr("dogs/../../b.png", file_bytes(COLOUR))
            archive.writestr("nötes.txt", "text")
        found.append(buffer.getvalue())
    return found


def npys() -> list[bytes]:
    """.npy files of each header version and each accepted type of number."""
    found = []
    for array in (NUMBERS, NUMBERS[..., None] > 3, (NUMBERS / 255).astype(np.float16)):
        for version in ((1, 0), (2, 0), (3, 0)):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=version)
            found.append(buffer.getvalue())
    return found


def npzs() -> list[bytes]:
    """.npz files, compressed or not, with and without labels."""
    found = []
    for save_all in (np.savez, np.savez_compressed):
        for arrays in ({"images": NUMBERS, "labels": np.arange(3)}, {"a": NUMBERS / 255}):
            buffer = io.BytesIO()
            save_all(buffer, **arrays)
            found.append(buffer.getvalue())
    return found


def idx() -> list[bytes]:
    """IDX files of three and four dimensions, and of labels."""
    return [idx_bytes(NUMBERS), idx_bytes(NUMBERS[..., None]), idx_bytes(np.arange(3, dtype=np.uint8))]


def csvs() -> list[bytes]:
    """CSV files of labels, with and without a header, in several encodings."""
    lines = ["file,class", "a.png,cat", '"b.png","d""og"', "c/d.png,cat"]
    text = "\n".join(lines)
    return [text.encode(), "\r\n".join(lines[1:]).replace(",", ";").encode("utf-8-sig"), text.encode("utf-16")]


def configs() -> list[bytes]:
    """The config.json of each preset."""
    found = []
    for preset in PRESETS:
        config = RunConfig(
            preset=preset,
            data=DataConfig(source="digits", height=8, width=12, channels=1, classes=("cat", "dog")),
            normalizer=Normalizer((0.5,), (0.25,)),
            recipe=recipe(preset, 1, 8, 12),
        )
        found.append(json.dumps(json.loads(config.to_json())).encode())
    return found


def weights() -> list[bytes]:
    """Safetensors files with a few types of numbers and metadata."""
    tensors = {"a": torch.arange(6.0).view(2, 3), "b.c": torch.ones(2, dtype=torch.bfloat16)}
    return [save(tensors, {"step": "7"}), save({"n": torch.tensor(3)})]


def tables() -> list[bytes]:
    """A history.csv file."""
    header = "step,images,seconds,learning_rate,training_loss,noise_loss,image_loss,held_out_loss"
    return [f"{header}\n1,16,0.5,0.001,0.9,0.8,0.7,\n2,32,1.0,0.001,nan,1e3,-inf,0.5\n".encode()]


def changes() -> list[bytes]:
    """Arguments of --set."""
    texts = "objective.loss=l1", "batch_size=32", 'network.attention=["none","linear"]', "schedule.kind=Cosine"
    return [text.encode() for text in texts]
