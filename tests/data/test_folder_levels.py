"""Folders as classes of any level and as a split, pictures without a class, and folders behind links."""

import zipfile

import numpy as np
import pytest

from helpers.data_files import file_bytes, plain, save_many
from unnoise.data import load, summarize
from unnoise.utils.errors import UnnoiseError

SPLITS = [
    (("train", "test"), "test"),
    (("Training", "VAL"), "VAL"),
    (("train", "validation", "testing"), "testing and validation"),
    (("train", "eval"), "eval"),
    (("training", "valid"), "valid"),
]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path_factory.mktemp("cache")))


def made(place, names, zipped=False):
    """A folder or zip in which picture k is red k."""
    shades = {name: (k, 0, 0) for k, name in enumerate(names)}
    if not zipped:
        return save_many(place / "it", shades)
    with zipfile.ZipFile(place / "it.zip", "w") as archive:
        for name, colour in shades.items():
            archive.writestr(name, file_bytes(plain(colour)))
    return place / "it.zip"


def held_out(images) -> set[int]:
    """The reds of the pictures that are held out."""
    places = [place for first, end in images.held_out_ranges for place in range(first, end)]
    return set(images.pixels[places, 0, 0, 0].tolist())


def classes(images) -> dict[int, str | None]:
    names = (*images.class_names, None)
    return dict(zip(images.pixels[:, 0, 0, 0].tolist(), (names[one] for one in images.labels), strict=True))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "layout", ["{split}/{kind}/{k}.png", "a/{split}/{kind}/x/{k}.png", "{kind}/{split}/{k}.png"]
)
@pytest.mark.parametrize(("folders", "tested"), SPLITS)
def test_folders_of_a_split_hold_out_what_they_are_named_for(tmp_path, folders, tested, layout, zipped):
    both = [(split, kind) for split in folders for kind in ("cat", "dog")]
    names = [layout.format(split=split, kind=kind, k=k) for k, (split, kind) in enumerate(both)]
    source = made(tmp_path, names, zipped)
    images = load(source, labels=True, split_folders=True)
    assert held_out(images) == set(range(2, len(names)))
    assert classes(images) == {k: kind for k, (_, kind) in enumerate(both)}
    assert any(f"in {tested} are held out" in note for note in images.notes)
    assert held_out(load(source)) == set()


def test_train_and_test_as_classes_are_told_and_a_level_is_chosen(tmp_path):
    source = made(tmp_path, ["train/cat/0.png", "train/dog/1.png", "test/cat/2.png", "test/dog/3.png"])
    first = load(source, labels=True)
    assert first.class_names == load(source, labels=True, label_level=1).class_names == ("test", "train")
    (hint,) = first.notes
    assert hint == (
        "train and test became classes, like any folders. --labels auto:2 takes the folders inside them as "
        "classes, and --split-folders learns from train and holds test out."
    )
    second = load(source, labels=True, label_level=2)
    assert second.class_names == ("cat", "dog")
    assert "--split-folders learns from train and holds test out" in second.notes[0]
    assert load(source, labels=True, label_level=2, split_folders=True).class_names == ("cat", "dog")
    with pytest.raises(UnnoiseError, match=r"at most 2 levels deep. Choose a level from 1 to 2\."):
        load(source, labels=True, label_level=3)
    with pytest.raises(UnnoiseError, match="auto:1 takes the folders as classes that --split-folders takes"):
        load(source, labels=True, label_level=1, split_folders=True)


@pytest.mark.parametrize(
    "names", [["a/1.png", "b/2.png"], ["train/1.png", "training/2.png"], ["1.png", "test.png"]]
)
def test_a_split_that_is_not_there_is_refused(tmp_path, names):
    with pytest.raises(UnnoiseError, match="has no two of that kind"):
        load(made(tmp_path, names), split_folders=True)


def test_pictures_outside_of_a_split_are_refused(tmp_path):
    source = made(tmp_path, ["train/1.png", "test/2.png", "extra/3.png", "4.png"])
    with pytest.raises(UnnoiseError, match=r"but 2 of .* lie in none of them, such as '4\.png'"):
        load(source, split_folders=True)


def test_arrays_have_no_folders(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 8, 8), np.uint8), labels=np.array([-1, 3, 5]))
    images = load(tmp_path / "x.npz", labels=True)
    assert (images.labels.tolist(), images.class_names, images.without_class) == ([2, 0, 1], ("3", "5"), 1)
    with pytest.raises(UnnoiseError, match="has no two of that kind"):
        load(tmp_path / "x.npz", split_folders=True)
    with pytest.raises(UnnoiseError, match=r"auto:2 counts levels of folders, but .* is an array"):
        load(tmp_path / "x.npz", labels=True, label_level=2)
    with pytest.raises(UnnoiseError, match=r"1 of the 3 pictures of .* has no class"):
        load(tmp_path / "x.npz", labels=True, strict_labels=True)


@pytest.mark.parametrize("around", ["", "all/"])
@pytest.mark.parametrize("zipped", [False, True])
def test_stray_pictures_have_no_class_unless_that_is_refused(tmp_path, around, zipped):
    names = [f"{around}cats/0.png", f"{around}dogs/1.png", f"{around}2.png", "3.png"]
    source = made(tmp_path, names, zipped)
    images = load(source, labels=True)
    assert classes(images) == {0: "cats", 1: "dogs", 2: None, 3: None}
    assert images.class_counts() == {"cats": 1, "dogs": 1}
    assert "2 of the 4 pictures" in images.notes[0]
    with pytest.raises(UnnoiseError, match=r"2 of the 4 pictures of .* have no class"):
        load(source, labels=True, strict_labels=True)


@pytest.mark.parametrize("text", ["0.png,x\n1.png,y\n", "0.png,x\n1.png,y\n2.png,\n"])
def test_a_csv_may_leave_pictures_without_a_class(tmp_path, text):
    source = made(tmp_path, ["0.png", "1.png", "2.png"])
    (tmp_path / "it.csv").write_text(text)
    images = load(source, labels=tmp_path / "it.csv")
    assert classes(images) == {0: "x", 1: "y", 2: None}
    with pytest.raises(UnnoiseError, match=r"1 of the 3 pictures of .* has no class, such as '2\.png'"):
        load(source, labels=tmp_path / "it.csv", strict_labels=True)


def test_folders_without_a_readable_picture_are_told(tmp_path):
    source = made(tmp_path, ["a/0.png", "b/1.png"])
    (source / "c").mkdir()
    (source / "d").mkdir()
    (source / "d" / "x.png").write_bytes(b"no picture")
    images = load(source, labels=True)
    assert "2 folders hold no picture that can be read" in images.notes[-1]
    assert images.notes[-1].endswith(": c and d.")


def test_two_links_to_one_folder_are_two_classes_at_any_depth(tmp_path):
    store = made(tmp_path, ["0.png", "1.png"])
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    for name in ("x", "y", "deep/er/z"):
        (source / name).symlink_to(store, target_is_directory=True)
    (source / "deep" / "up").symlink_to(source, target_is_directory=True)
    (source / "y.png").symlink_to(store / "0.png")
    (source / "lost").symlink_to(tmp_path / "nowhere")
    images = load(source, labels=True)
    assert images.class_counts() == {"deep": 2, "x": 2, "y": 2}
    assert images.without_class == 1
    assert [one.name for one in images.skipped] == ["lost"]


def test_links_between_all_folders_end(tmp_path):
    names = [f"k{k}" for k in range(9)]
    source = made(tmp_path, [f"{name}/{k}.png" for k, name in enumerate(names)])
    for name in names:
        for other in names:
            (source / name / f"to-{other}").symlink_to(source / other, target_is_directory=True)
    with pytest.raises(UnnoiseError, match="lead to the same folders again and again"):
        load(source)


def test_hidden_pictures_are_counted(tmp_path):
    for zipped in (False, True):
        source = made(tmp_path, ["0.png", ".1.png", "._0.png"], zipped)
        assert len(load(source)) == 1
        assert summarize(source).ignored == {"hidden .png": 1}  # ._0.png holds attributes, no picture
