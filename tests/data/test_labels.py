"""Class labels from folders, arrays, IDX files and CSV files; skipped files shift none of them."""

import unicodedata
import zipfile

import numpy as np
import pytest

from helpers.data_files import file_bytes, idx_bytes, plain, save_many, write_idx_gz
from unnoise.data import load, summarize
from unnoise.data.folder_levels import labels_from_folders
from unnoise.data.labels import labels_from_names, labels_from_values
from unnoise.data.sources import named
from unnoise.utils.errors import UnnoiseError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("UNNOISE_CACHE", str(folder))
    return folder


def by_class(images) -> list[tuple[str, int]]:
    """The class of each picture, and its red."""
    classes = [images.class_names[label] for label in images.labels]
    return list(zip(classes, images.pixels[:, 0, 0, 0].tolist(), strict=True))


def shades(folder, names):
    """Picture k is red k, so that its class can be told from its pixels."""
    return save_many(folder, {name: (k, 0, 0) for k, name in enumerate(names)})


# --- names ---------------------------------------------------------------------------------------------------


def test_classes_are_in_natural_order():
    found = labels_from_names(["class10", "class9", "Class2", "b", "class9", "10", "9", "x007", "x7"])
    assert found.names == ("9", "10", "b", "Class2", "class9", "class10", "x007", "x7")
    assert found.labels.dtype == np.int64
    assert found.labels.tolist() == [5, 4, 3, 2, 4, 1, 0, 6, 7]
    assert labels_from_names(["1" * 5000, "2", "٣", "²"]).names[0] == "2"  # no number is too long


def test_whole_numbers_and_text_become_classes_and_other_arrays_are_refused():
    found = labels_from_values(np.array([[30], [10], [30]], np.uint8), "it")
    assert (found.labels.tolist(), found.names) == ([1, 0, 1], ("10", "30"))
    assert labels_from_values(np.array(["b", "a"]), "it").names == ("a", "b")
    assert labels_from_values(np.array([2, 0]), "it", ("x", "y", "z"))[0].tolist() == [2, 0]
    with pytest.raises(UnnoiseError, match="from 0 upwards, but it holds -2 at index 2"):
        labels_from_values(np.array([0, 1, -2]), "it")
    with pytest.raises(UnnoiseError, match="from 0 to 2, but it holds 3 at index 1"):
        labels_from_values(np.array([0, 3], np.uint8), "it", ("x", "y", "z"))
    for values in (np.array([0.5]), np.zeros((2, 2), int), np.array([True])):
        with pytest.raises(UnnoiseError, match="one list of whole numbers from 0 or of text"):
            labels_from_values(values, "it")


# --- folders and zips ----------------------------------------------------------------------------------------


def test_folders_are_classes_at_any_depth(tmp_path):
    shades(tmp_path, ["dogs/a/b/1.png", "cats/1.png", "cats/more/2.png"])
    images = load(tmp_path, labels=True)
    assert images.class_names == ("cats", "dogs")
    assert by_class(images) == [("cats", 1), ("cats", 2), ("dogs", 0)]
    assert images.labels.dtype == np.int64
    plainly = load(tmp_path)
    assert (plainly.labels, plainly.class_names, plainly.label_fingerprint) == (None, (), "")
    assert plainly.fingerprint == images.fingerprint
    assert images.label_fingerprint


def test_a_folder_around_all_classes_is_looked_through(tmp_path):
    shades(tmp_path, ["pets/all/cats/1.png", "pets/all/dogs/1.png"])
    assert load(tmp_path, labels=True).class_names == ("cats", "dogs")
    assert labels_from_folders(["p/cats/x/1.png", "p/dogs/1.png"], "").names == ("cats", "dogs")


@pytest.mark.parametrize("when", ["first", "from the cache", "in memory"])
def test_files_that_are_skipped_shift_no_label(tmp_path, cache, when):
    folder = shades(tmp_path / "it", ["a/1.png", "b/1.png", "b/3.png", "c/2.png"])
    for name in ("a/0.png", "b/2.png", "c/1.png", "d/only-broken.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    if when == "from the cache":
        load(folder)
    if when == "in memory":
        cache.rmdir()
        cache.write_text("no folder")
        with pytest.warns(UserWarning, match="Cannot write the cache"):
            images = load(folder, labels=True)
    else:
        images = load(folder, labels=True)
    assert len(images.skipped) == 4
    assert images.class_names == ("a", "b", "c")  # no picture of d could be read
    assert by_class(images) == [("a", 0), ("b", 1), ("b", 2), ("c", 3)]


def test_a_name_that_is_no_text_is_skipped_as_well(tmp_path):
    folder = shades(tmp_path, ["a/1.png", "b/1.png"])
    try:
        (folder / "a" / "\udcff.png").write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes text alone")
    assert load(folder, labels=True).labels.tolist() == [0, 1]


def test_a_zip_is_labelled_as_its_folder(tmp_path):
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for k, name in enumerate(["pets/class10/1.png", "pets/class9/2.png", "pets/class9/1.png"]):
            archive.writestr(name, file_bytes(plain((k, 0, 0))))
        archive.writestr("pets/class9/0.png", b"broken")
    for _ in range(2):
        images = load(path, labels=True)
        assert images.class_names == ("class9", "class10")
        assert by_class(images) == [("class10", 0), ("class9", 2), ("class9", 1)]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ["1.png", "2.png"],
            "'1.png' of .* lies in no folder of a class. Put each class into a folder",
        ),
        (["cats/1.png", "cats/2.png"], "at least two classes, but all pictures of .* are 'cats'"),
    ],
)
def test_pictures_without_classes_are_refused(tmp_path, names, sentence):
    shades(tmp_path, names)
    with pytest.raises(UnnoiseError, match=sentence):
        load(tmp_path, labels=True)
    assert summarize(tmp_path).classes == {}
    assert load(tmp_path).labels is None


def test_renamed_folders_are_other_classes_of_the_same_pictures(tmp_path):
    folder = shades(tmp_path / "it", ["a/1.png", "b/1.png"])
    first = load(folder, labels=True)
    (folder / "b").rename(folder / "z")
    second = load(folder, labels=True)
    assert second.fingerprint == first.fingerprint
    assert second.class_names == ("a", "z")
    assert second.label_fingerprint != first.label_fingerprint


def test_a_hundred_thousand_names_are_labelled_by_folder():
    names = [f"all/class{k % 1000}/{k}.png" for k in range(100_000)]
    found = labels_from_folders(names, "")
    assert found.names[:3] == ("class0", "class1", "class2")
    assert (found.labels == np.arange(100_000) % 1000).all()


# --- arrays --------------------------------------------------------------------------------------------------

NUMBERS = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "train-labels-idx1-ubyte.gz"])
def test_labels_lie_beside_idx_pictures(tmp_path, zipped, name):
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if zipped else ''}"
    write_idx_gz(path, NUMBERS) if zipped else path.write_bytes(idx_bytes(NUMBERS))
    labels = np.array([7, 2, 7], np.uint8)
    if name.endswith(".gz"):
        write_idx_gz(tmp_path / name, labels)
    else:
        (tmp_path / name).write_bytes(idx_bytes(labels))
    for source in (path, tmp_path):
        images = load(source, labels=True)
        assert (images.labels.tolist(), images.class_names) == ([1, 0, 1], ("2", "7"))
    assert summarize(path).classes == {"2": 1, "7": 2}


def test_labels_of_an_idx_file_that_was_named(tmp_path):
    np.save(tmp_path / "x.npy", NUMBERS)
    (tmp_path / "other.idx").write_bytes(idx_bytes(np.array([0, 1, 1], np.uint8)))
    assert load(tmp_path / "x.npy", labels=tmp_path / "other.idx").labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (idx_bytes(NUMBERS), "it holds pictures"),
        (b"\0\0\x0d\x01\0\0\0\x03", "it begins with 00000d01, not with 00000801"),
        (b"", "it begins with nothing"),
        (idx_bytes(np.array([0, 1, 1], np.uint8))[:-1], "need 3 bytes, but it holds only 2"),
        (idx_bytes(np.array([0, 1], np.uint8)), "has 3 pictures but 2 labels"),
        (idx_bytes(np.array([5, 5, 5], np.uint8)), "at least two classes"),
    ],
)
def test_a_bad_idx_file_of_labels_is_refused_with_the_reason(tmp_path, content, sentence):
    path = tmp_path / "it-images.idx"
    path.write_bytes(idx_bytes(NUMBERS))
    (tmp_path / "it-labels.idx").write_bytes(content)
    with pytest.raises(UnnoiseError, match=sentence):
        load(path, labels=True)
    assert len(load(path)) == 3
    summarize(path)


@pytest.mark.parametrize("name", ["labels", "y", "arr_1"])
def test_labels_in_a_npz(tmp_path, name):
    path = tmp_path / "it.npz"
    np.savez(path, images=NUMBERS, **{name: np.array([[4], [4], [0]], np.int32)})
    images = load(path, labels=True)
    assert (images.labels.tolist(), images.class_names) == ([1, 1, 0], ("0", "4"))
    assert summarize(path).classes == {"0": 1, "4": 2}
    np.savez(path, NUMBERS, np.array(["cat", "dog", "cat"]))
    assert load(path, labels=True).class_names == ("cat", "dog")


def test_arrays_without_labels_say_how_to_get_them(tmp_path):
    np.save(tmp_path / "x.npy", NUMBERS)
    np.savez(tmp_path / "x.npz", NUMBERS)
    np.savez(tmp_path / "objects.npz", images=NUMBERS, labels=np.array([{}, {}, {}]))
    (tmp_path / "alone-images.idx").write_bytes(idx_bytes(NUMBERS))
    (tmp_path / "nameless.idx").write_bytes(idx_bytes(NUMBERS))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(UnnoiseError, match=r"has none\. .*np\.savez\(path, images=.*labels="):
            load(tmp_path / name, labels=True)
    for name in ("alone-images.idx", "nameless.idx"):
        with pytest.raises(UnnoiseError, match=r"has none\. Name the IDX file of its labels"):
            load(tmp_path / name, labels=True)
    with pytest.raises(UnnoiseError, match="plain numbers"):
        load(tmp_path / "objects.npz", labels=True)
    assert load(tmp_path / "objects.npz").labels is None


def test_the_classes_of_the_digits_are_their_names():
    datasets = pytest.importorskip("sklearn.datasets")
    images = load("digits", labels=True)
    assert images.class_names == tuple("0123456789")
    assert (images.labels == datasets.load_digits().target).all()
    assert list(summarize("digits").classes.values()) == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_fashion_mnist_has_named_classes_and_downloads_labels_only_when_asked(tmp_path, monkeypatch):
    debian, fetched = tmp_path / "debian", []
    write_idx_gz(debian / named.FASHION_FILE, NUMBERS)
    monkeypatch.setattr(named, "FASHION_FOLDERS", (debian,))

    def download(url, target, md5, *, progress):
        fetched.append((url, md5))
        return write_idx_gz(target, np.array([9, 0, 5], np.uint8))

    monkeypatch.setattr(named, "download", download)
    assert summarize("fashion-mnist").classes == {}
    assert load("fashion-mnist").labels is None
    assert not fetched  # labels that nobody asked for are not downloaded
    for _ in range(2):
        images = load("fashion-mnist", labels=True)
        assert [images.class_names[label] for label in images.labels] == ["Ankle boot", "T-shirt/top", "Sandal"]
        assert len(images.class_names) == 10
    assert fetched == [(named.FASHION_URL + "train-labels-idx1-ubyte.gz", named.FASHION_LABELS_MD5)]
    assert sum(summarize("fashion-mnist").classes.values()) == 3
    write_idx_gz(debian / named.FASHION_LABELS_FILE, np.array([10, 0, 5], np.uint8))
    with pytest.raises(UnnoiseError, match=r"from 0 to 9, but .* holds 10 at index 0"):
        load("fashion-mnist", labels=True)


# --- CSV -----------------------------------------------------------------------------------------------------


@pytest.fixture
def flat(tmp_path):
    return shades(tmp_path / "flat", ["a.png", "b.png", "sub/c.png"])


ODD_NAMES = ("é, 1.png", "ü; 2.png", "plain.png", "Ångström, ñ; 3.png")


def csv(tmp_path, text: str, encoding="utf-8"):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "a.png,k10\nb.png,k9\nsub/c.png,k10\n",
        "sub/c.png,k10\nb.png,k9\na.png,k10",
        "file,class\r\na.png,k10\r\nb.png,k9\r\nsub/c.png,k10\r\n",
        "id,Label,note,Path\n7,k10,,a.png\n8,k9,x,b.png\n\n9,k10,y,./sub/c.png\n",
        '\ufefffilename,class\n"a.png", k10 \n b.png,"k9"\n,\nsub\\c.png,k10\n',
        "image;label\na.png;k10\nb.png;k9\nsub/c.png;k10\n",
        "name\tclass\na.png\tk10\nb.png\tk9\nsub/c.png\tk10\na.png\tk10\n",
    ],
)
def test_a_csv_tells_the_class_of_each_file(tmp_path, flat, text):
    images = load(flat, labels=csv(tmp_path, text))
    assert images.class_names == ("k9", "k10")
    assert by_class(images) == [("k10", 0), ("k9", 1), ("k10", 2)]


def test_a_csv_labels_a_zip_and_names_beyond_ascii(tmp_path):
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for k, name in enumerate(["ö, b.png", "x.png"]):
            archive.writestr(name, file_bytes(plain((k, 0, 0))))
    images = load(path, labels=csv(tmp_path, 'file,class\n"ö, b.png",Öl\nx.png,猫\n', "utf-8-sig"))
    assert sorted(by_class(images)) == [("Öl", 0), ("猫", 1)]


def test_a_csv_may_list_files_that_are_skipped_or_leave_them_out(tmp_path, flat):
    (flat / "aa.png").write_bytes(b"broken")
    lines = ["a.png,x", "b.png,y", "sub/c.png,x"]
    for more in ([], ["aa.png,z"]):
        images = load(flat, labels=csv(tmp_path, "\n".join(lines + more)))
        assert images.class_names == ("x", "y")
        assert by_class(images) == [("x", 0), ("y", 1), ("x", 2)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it is empty"),
        ("\n,\n", "it is empty"),
        ("file,class\n", "nothing but a header"),
        ("file,colour\na.png,x\n", "it has no column of classes, only file, colour. Call it class or label"),
        ("id,class\na.png,x\n", "it has no column of files, only id, class. Call it file or"),
        ("a.png\nb.png\n", r"entry 1 \('a.png'\) is too short"),
        ("a.png,x\n", "at least two classes, but all pictures with a class of .* are 'x'"),
        ("a.png,\nb.png,\n", "at least two classes, but no picture has one"),
        ("a.png,x\nb.png,y\nsub/c.png,x\nd.png,x\n", "1 of its files are not in .*, such as 'd.png'"),
        ("id,breed\na.png,x\n", "such as 'id'.*a header, if any, is file,class"),
        ("a.png,x\na.png,y\n", "'a.png' is both 'x' and 'y'"),
        ("a.png,x\nb.png,x\nsub/c.png,x\n", "at least two classes"),
        ("a.png,\udcff", "cannot be read"),
        (f"a.png,{'x' * 200_000}", "cannot be read"),
    ],
)
def test_a_bad_csv_is_refused_in_one_line_with_the_reason(tmp_path, flat, text, sentence):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UnnoiseError, match=sentence) as caught:
        load(flat, labels=path)
    assert "\n" not in str(caught.value)


def test_files_take_labels_from_a_csv_and_arrays_from_an_idx_file(tmp_path, flat):
    (tmp_path / "labels.idx").write_bytes(idx_bytes(np.array([0, 1, 0], np.uint8)))
    np.save(tmp_path / "x.npy", NUMBERS)
    with pytest.raises(UnnoiseError, match=r"Picture files take their labels from a \.csv, but"):
        load(flat, labels=tmp_path / "labels.idx")
    with pytest.raises(UnnoiseError, match="An array takes its labels from an IDX file, but"):
        load(tmp_path / "x.npy", labels=csv(tmp_path, "a,b"))
    with pytest.raises(UnnoiseError, match=r"There is no file of labels at .*nothing\.csv"):
        load(flat, labels=tmp_path / "nothing.csv")
    with pytest.raises(UnnoiseError, match="is of another kind"):
        load(flat, labels=tmp_path / "x.npy")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize(
    "top", ["sep={m}\n", '"sep={m}"\n', "\nfile{m}class\n", "file{m}class\n", "class{m}file\n", ""]
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_csv_of_any_separator_and_form_of_accents_is_read(tmp_path, mark, top, form):
    """Names that hold the other separators, in composed (NFC) or decomposed (NFD) letters."""
    names = [unicodedata.normalize("NFD" if form == "NFC" else "NFC", name) for name in ODD_NAMES]
    folder = save_many(tmp_path / "odd", {name: (place, 0, 0) for place, name in enumerate(names)})
    classes = [f"kind {place % 2}" for place in range(len(names))]
    lines = [top.format(m=mark)]
    for name, kind in zip(ODD_NAMES, classes, strict=True):
        cell = unicodedata.normalize(form, name)
        cells = [f'"{cell}"' if mark in cell else cell, kind]
        lines.append(mark.join(cells[::-1] if top.startswith("class") else cells) + "\n")
    images = load(folder, labels=csv(tmp_path, "".join(lines)))
    names = sorted(zip(names, classes, strict=True))
    assert [images.class_names[label] for label in images.labels] == [kind for _, kind in names]


def test_names_that_differ_only_in_the_form_of_accents_stay_apart(tmp_path):
    both = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
    folder = save_many(tmp_path / "both", {name: (place, 0, 0) for place, name in enumerate(both)})
    if len(list(folder.iterdir())) < 2:
        pytest.skip("this file system keeps one form")
    images = load(folder, labels=csv(tmp_path, f"{both[0]},composed\n{both[1]},decomposed\n"))
    found = dict(zip(sorted(both), (images.class_names[label] for label in images.labels), strict=True))
    assert found == dict(zip(both, ("composed", "decomposed"), strict=True))
