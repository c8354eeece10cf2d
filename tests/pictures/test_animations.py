"""Animations: frames, durations, colours and files; PNG files."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from unnoise.pictures import frames, save_animation, save_gif, save_png, save_video
from unnoise.utils.errors import UnnoiseError


def grey_frames(*bytes_):
    return [Image.new("L", (20, 10), byte) for byte in bytes_]


def coloured_frames(count):
    return frames(torch.rand(count, 4, 3, 4, 4), scale=4)


def read(path):
    """The frames of a file as RGB arrays, their durations in milliseconds, and the loop count."""
    pictures, durations = [], []
    with Image.open(path) as file:
        for index in range(getattr(file, "n_frames", 1)):
            file.seek(index)
            durations.append(file.info.get("duration"))
            pictures.append(np.asarray(file.convert("RGB")))
        return pictures, durations, file.info.get("loop")


@pytest.mark.row("H22")
def test_a_gif_shows_every_frame_for_50_milliseconds(tmp_path):
    save_gif(coloured_frames(7), tmp_path / "a.gif", hold_last=0.0)
    pictures, durations, loop = read(tmp_path / "a.gif")
    assert len(pictures) == 7
    assert durations == [50] * 7
    assert loop == 0


@pytest.mark.row("H22")
def test_equal_frames_of_a_gif_are_not_merged(tmp_path):
    save_gif(grey_frames(9, 9, 9, 200, 200, 9), tmp_path / "a.gif", loop=False)
    pictures, durations, loop = read(tmp_path / "a.gif")
    assert [picture[0, 0, 0] for picture in pictures] == [9, 9, 9, 200, 200, 9]
    assert all((picture == picture[0, 0]).all() for picture in pictures)
    assert durations == [50, 50, 50, 50, 50, 1500]
    assert loop is None


def test_grey_frames_of_a_gif_are_lossless(tmp_path):
    generator = np.random.default_rng(0)
    written = [np.arange(256, dtype=np.uint8).reshape(16, 16)]
    written += [generator.integers(0, 256, (16, 16)).astype(np.uint8) for _ in range(3)]
    pictures = [Image.fromarray(written[0]), *(Image.fromarray(grey).convert("RGB") for grey in written[1:])]
    save_gif(pictures, tmp_path / "a.gif")
    for before, after in zip(written, read(tmp_path / "a.gif")[0], strict=True):
        assert np.array_equal(after, np.stack([before] * 3, axis=-1))


@pytest.mark.parametrize("boomerang", [False, True])
def test_colours_of_a_gif_are_close_and_closest_in_the_last_frame(tmp_path, boomerang):
    ramp = torch.linspace(0.1, 0.9, 16).expand(1, 16, 16)
    clean = torch.stack([torch.cat([ramp, 1.0 - ramp, torch.full_like(ramp, 0.3)])])
    trajectory = torch.stack([clean + noise * torch.rand_like(clean) for noise in (0.7, 0.4, 0.2, 0.0)]).clamp(
        0, 1
    )
    written = frames(trajectory, scale=2)
    save_gif(written, tmp_path / "a.gif", boomerang=boomerang)
    errors = [
        np.abs(after.astype(int) - np.asarray(before)).max()
        for before, after in zip(written, read(tmp_path / "a.gif")[0], strict=False)
    ]
    assert errors[3] <= 6
    assert max(errors) <= 90


def test_a_boomerang_plays_back_to_the_second_frame(tmp_path):
    save_gif(grey_frames(0, 50, 100, 150), tmp_path / "a.gif", boomerang=True)
    pictures, durations, _ = read(tmp_path / "a.gif")
    assert [picture[0, 0, 0] for picture in pictures] == [0, 50, 100, 150, 100, 50]
    assert durations == [50, 50, 50, 1500, 50, 50]
    save_gif(grey_frames(7), tmp_path / "b.gif", boomerang=True)
    assert len(read(tmp_path / "b.gif")[0]) == 1


def test_a_gif_is_at_most_800_pixels_wide(tmp_path):
    save_gif([Image.new("RGBA", (1600, 100), "red")] * 2, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as file:
        assert file.size == (800, 50)
        assert file.convert("RGB").getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize("save", [save_gif, save_video])
def test_no_frames_several_sizes_and_times_of_zero_are_refused(tmp_path, save):
    path = tmp_path / {save_gif: "a.gif", save_video: "a.mp4"}[save]
    with pytest.raises(UnnoiseError, match="at least one frame"):
        save([], path)
    with pytest.raises(UnnoiseError, match="have 2 sizes, among them"):
        save([Image.new("RGB", (2, 2), "red"), Image.new("L", (4, 2))], path)
    with pytest.raises(UnnoiseError, match="seconds"):
        save(grey_frames(0), path, seconds_per_frame=0.0)
    assert not list(tmp_path.iterdir())


def test_a_video_has_all_frames_codec_and_frame_rate(tmp_path):
    imageio = pytest.importorskip("imageio.v3")
    pytest.importorskip("av")
    odd = [Image.new("RGB", (61, 33), (0, 40 * step, 200)) for step in range(5)]
    save_video(odd, tmp_path / "a.mp4", seconds_per_frame=0.1, hold_last=0.3, boomerang=True)
    read_back = imageio.imread(tmp_path / "a.mp4", plugin="pyav")
    assert read_back.shape == (5 + 2 + 3, 34, 62, 3)
    steps = [0, 1, 2, 3, 4, 4, 4, 3, 2, 1]
    assert np.abs(read_back[:, 16, 30, 1].astype(int) - [40 * step for step in steps]).max() <= 6
    about = imageio.immeta(tmp_path / "a.mp4", plugin="pyav")
    assert (about["codec"], about["video_format"], about["fps"]) == ("h264", "yuv420p", 10.0)


@pytest.mark.parametrize("missing", ["imageio", "av"])
def test_a_missing_video_library_is_named_with_its_remedy(tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "imageio.plugins.pyav", raising=False)
    with pytest.raises(UnnoiseError, match=r'pip install "unnoise\[video\]"'):
        save_video(grey_frames(0, 1), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_save_animation_chooses_the_format_by_the_suffix(tmp_path):
    save_animation(grey_frames(1, 2), tmp_path / "new" / "folder" / "a.GIF")
    assert len(read(tmp_path / "new" / "folder" / "a.GIF")[0]) == 2
    pytest.importorskip("av")
    save_animation(grey_frames(1, 2), tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("name", ["a.webp", "a", ""])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(UnnoiseError, match=r"\.gif or \.mp4"):
        save_animation(grey_frames(1), tmp_path / name)
    with pytest.raises(UnnoiseError, match=r"\.png"):
        save_png(grey_frames(1)[0], str(tmp_path / name))


def test_a_png_is_lossless_and_has_default_permissions(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    save_png(Image.fromarray(pixels), tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as file:
        assert np.array_equal(np.asarray(file), pixels)
    (tmp_path / "plain").touch()
    assert (tmp_path / "new" / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_an_error_names_the_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for save, name in ((save_png, "a.png"), (save_gif, "a.gif")):
        picture = grey_frames(1)
        with pytest.raises(UnnoiseError, match=f"file/{name}"):
            save(picture[0] if save is save_png else picture, tmp_path / "file" / name)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UnnoiseError, match=r"folder\.png"):
        save_png(grey_frames(1)[0], tmp_path / "folder.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]
