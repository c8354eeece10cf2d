"""Contact sheets, strips and 8-bit pixels, exact to the pixel."""

import numpy as np
import pytest
import torch
from PIL import ImageColor

from unnoise.pictures import frames, grid, strip, to_uint8
from unnoise.pictures.sheets import BACKGROUND, GAP, MAX_SIZE, TARGET_SIZE, near_square
from unnoise.pictures.strips import evenly_spaced_indices
from unnoise.utils.errors import UnnoiseError

GREY = ImageColor.getcolor(BACKGROUND, "L")


def one_pixel(*channels):
    return torch.tensor(channels).view(1, -1, 1, 1)


@pytest.mark.parametrize(
    ("number", "byte"),
    [
        (float("-inf"), 0),
        (-1e9, 0),
        (-0.1, 0),
        (0.0, 0),
        (0.4 / 255, 0),
        (0.6 / 255, 1),
        (0.5, 128),
        (1.0, 255),
        (1.1, 255),
        (1e9, 255),
        (float("inf"), 255),
    ],
)
def test_to_uint8_clamps_and_never_wraps_around(number, byte):
    assert to_uint8(one_pixel(number)).tolist() == [[[[byte]]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_to_uint8_gives_back_bytes_with_the_channels_last(dtype):
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(2, 3, 16, 8)
    back = to_uint8((pixels.to(dtype) / 255).requires_grad_())
    assert back.dtype == np.uint8
    assert np.array_equal(back, pixels.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(1, 5, 2, 2), r"1 \(grey\).*4 \(RGBA\).*have 5"),
        (torch.full((1, 1, 2, 2), float("nan")), "4 of 4 values are NaN"),
        (torch.zeros(0, 3, 2, 2), r"\(0, 3, 2, 2\)"),
    ],
)
def test_wrong_channels_nan_and_empty_batches_are_refused(images, words):
    for draw in (to_uint8, grid):
        with pytest.raises(UnnoiseError, match=words):
            draw(images)


def test_a_grid_of_two_images_has_the_expected_pixels():
    images = torch.tensor([[0.0, 1.0], [0.2, 0.4]]).view(1, 1, 2, 2).repeat(2, 1, 1, 1)
    images[1] = 1.0 - images[1]
    sheet = np.asarray(grid(images, columns=2, scale=3, gap=2))
    expected = np.full((2 + 6 + 2, 2 + 6 + 2 + 6 + 2), GREY)
    expected[2:8, 2:8] = np.kron([[0, 255], [51, 102]], np.ones((3, 3)))
    expected[2:8, 10:16] = np.kron([[255, 0], [204, 153]], np.ones((3, 3)))
    assert np.array_equal(sheet, expected)


def test_empty_places_of_a_grid_show_the_background():
    sheet = np.asarray(grid(torch.zeros(3, 3, 1, 1), columns=2, scale=1, gap=1, background="#ff8000"))
    assert sheet.shape == (5, 5, 3)
    assert (sheet == [0, 0, 0]).all(axis=-1).sum() == 3
    assert sheet[3, 3].tolist() == sheet[0, 0].tolist() == [255, 128, 0]


@pytest.mark.parametrize("count", [*range(1, 30), 64, 99, 100, 1000])
def test_any_number_of_images_is_laid_out_near_square(count):
    columns = near_square(count, 1.0)
    rows = -(-count // columns)
    assert columns * rows >= count
    assert columns * rows - count < columns
    assert count <= 3 or 1 <= columns / rows <= 2.5


def test_the_number_of_columns_depends_on_the_aspect_of_the_images():
    assert near_square(16, 1.0) == 4
    assert near_square(10, 1.0) == 5
    assert near_square(8, 0.5) == 4
    assert near_square(8, 2.0) == 2


@pytest.mark.parametrize(
    ("count", "side"), [(1, 8), (4, 8), (10, 8), (100, 8), (1000, 8), (9, 28), (64, 32), (16, 128), (5, 1)]
)
def test_small_images_are_enlarged_by_an_integer_factor_to_at_least_48_pixels(count, side):
    sheet = grid(torch.zeros(count, 1, side, side))
    tile = (sheet.width - GAP) / near_square(count, 1.0) - GAP
    assert tile % side == 0
    assert tile >= 48
    assert sheet.width <= TARGET_SIZE or tile <= max(side, 2 * 48)


def test_only_sheets_above_4000_pixels_are_scaled_down():
    assert grid(torch.zeros(2, 1, 8, 2100), columns=2, scale=1).width == MAX_SIZE
    assert grid(torch.zeros(2, 1, 8, 1900), columns=2).width == 2 * 1900 + 3 * GAP


def test_alpha_is_shown_over_a_light_checkerboard():
    clear = np.asarray(grid(torch.zeros(1, 4, 4, 4), scale=14, gap=0))
    assert clear.shape == (56, 56, 3)
    assert set(clear.flatten().tolist()) == {231, 255}
    assert clear[0, 13, 0] == 255
    assert clear[0, 14, 0] == 231
    opaque = grid(torch.cat([torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)], dim=1), scale=1, gap=0)
    assert opaque.mode == "L"
    assert not np.asarray(opaque).any()


@pytest.mark.parametrize(
    "arguments", [{"columns": 0}, {"scale": 0}, {"gap": -1}, {"background": "no such colour"}], ids=str
)
def test_grid_refuses_arguments_out_of_range(arguments):
    with pytest.raises(UnnoiseError, match=next(iter(arguments))):
        grid(torch.zeros(2, 1, 2, 2), **arguments)


def test_frames_have_one_size():
    pictures = frames(torch.rand(3, 5, 3, 8, 8))
    assert len(pictures) == 3
    assert {picture.size for picture in pictures} == {pictures[0].size}
    assert 400 < pictures[0].width <= 800
    with pytest.raises(UnnoiseError, match="at least one step"):
        frames(torch.zeros(0, 1, 1, 2, 2))


@pytest.mark.parametrize("steps", [1, 2, 3, 9, 10, 11, 20, 1000])
def test_evenly_spaced_indices_include_the_first_and_the_last(steps):
    chosen = evenly_spaced_indices(steps, 10)
    assert chosen[0] == 0
    assert chosen[-1] == steps - 1
    assert len(set(chosen)) == len(chosen) == min(steps, 10)
    assert steps == 1 or max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


def test_a_strip_has_one_row_per_image_from_the_first_step_to_the_last():
    steps = torch.linspace(0.0, 1.0, 21).view(-1, 1, 1, 1, 1)
    trajectory = torch.cat([steps, 0.5 * steps], dim=1).expand(-1, -1, 1, 4, 4)
    picture = np.asarray(strip(trajectory))
    pitch = (picture.shape[1] - GAP) // 10
    middles = picture[:, GAP + pitch // 2 :: pitch]
    assert middles.shape[1] == 10
    last_rows = middles[-GAP - 2]
    assert last_rows[0] == 0
    assert last_rows[-1] == 128
    first_rows = middles[-GAP - 2 - pitch]
    assert first_rows[0] == 0
    assert first_rows[-1] == 255
    assert (np.diff(first_rows.astype(int)) > 0).all()


def test_labels_of_a_strip_stay_within_their_columns():
    trajectory = torch.zeros(3, 1, 3, 8, 8)
    unlabelled = np.asarray(strip(trajectory, labels=["", "", ""]))
    labelled = np.asarray(strip(trajectory, labels=["", "a label far too long for its column " * 4, ""]))
    differs = (unlabelled != labelled).any(axis=-1)
    pitch = (labelled.shape[1] - GAP) // 3
    rows, columns = np.nonzero(differs)
    assert rows.max() < 28
    assert columns.min() >= pitch
    assert columns.max() < 2 * pitch + GAP
    assert (np.asarray(strip(trajectory)) != unlabelled).any()


def test_strip_refuses_wrong_labels_one_column_and_no_steps():
    trajectory = torch.zeros(3, 1, 1, 2, 2)
    with pytest.raises(UnnoiseError, match="2 labels for 3 steps"):
        strip(trajectory, labels=["a", "b"])
    with pytest.raises(UnnoiseError, match="max_steps is 1"):
        strip(trajectory, max_steps=1)
    with pytest.raises(UnnoiseError, match="at least one step"):
        strip(trajectory[:0])
