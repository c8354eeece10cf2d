"""Masks that are painted in the browser: white is filled there, and kept by `inpaint`."""

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unnoise.app.worker.editing import _saved_mask
from unnoise.utils.errors import UnnoiseError

RUN: Any = SimpleNamespace(config=SimpleNamespace(data=SimpleNamespace(width=6, height=4)))


def _data_url(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_what_is_painted_white_is_black_in_the_file_that_inpaint_reads(tmp_path: Path) -> None:
    painted = np.zeros((8, 12), np.uint8)
    painted[:4, :6] = 255
    saved = np.asarray(Image.open(_saved_mask(_data_url(painted), RUN, tmp_path)))
    expected = np.full((4, 6), 255)
    expected[:2, :3] = 0
    assert (saved == expected).all()


@pytest.mark.parametrize("given", ["", "data:image/png;base64,!", "data:image/png;base64,AAAA"])
def test_what_is_no_mask_is_refused(given: str, tmp_path: Path) -> None:
    with pytest.raises(UnnoiseError, match="Paint"):
        _saved_mask(given, RUN, tmp_path)


def test_a_mask_without_paint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnnoiseError, match="Paint"):
        _saved_mask(_data_url(np.zeros((4, 6), np.uint8)), RUN, tmp_path)
