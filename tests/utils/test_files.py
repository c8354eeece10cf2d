"""`atomic_write`, `check_writable` and `require_suffix`."""

from pathlib import Path

import pytest

from unnoise.utils.errors import UnnoiseError
from unnoise.utils.files import WriteError, atomic_write, check_writable, remove_temporary_files, require_suffix


def test_a_failed_atomic_write_leaves_the_older_file_only(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("older")

    def fail():
        with atomic_write(path) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
    with atomic_write(str(path)) as temporary:
        temporary.write_text("newer")
    assert path.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_error_names_the_path_the_reason_and_a_remedy(tmp_path):
    path = tmp_path / "a.csv"

    def fail():
        with atomic_write(path):
            raise OSError(28, "No space left on device")

    with pytest.raises(WriteError) as caught:
        fail()
    assert str(caught.value) == (
        f"Cannot write {path}: no space left on device. Free some space or choose another path."
    )


def test_check_writable_leaves_nothing_behind_and_refuses_folders_and_files_as_parents(tmp_path):
    check_writable(tmp_path / "new" / "folder" / "a.png")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "a.png"):
        with pytest.raises(WriteError, match="Cannot write"):
            check_writable(path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_only_temporary_files_are_removed(tmp_path):
    for name in (".0123456789ab.png", ".tmpabc123", ".hidden", "a.png"):
        (tmp_path / name).touch()
    remove_temporary_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".hidden", "a.png"}


def test_a_suffix_is_returned_in_lower_case_or_refused_with_a_name_that_fits():
    assert require_suffix("a.GIF", ".gif", ".mp4") == ".gif"
    with pytest.raises(
        UnnoiseError, match=r"'a\.webp' is not a name that ends in \.gif or \.mp4\. Call it 'a\.gif'"
    ):
        require_suffix("a.webp", ".gif", ".mp4")


@pytest.mark.parametrize("kind", ["file", "missing file", "folder", "missing folder", "link to a link"])
def test_a_link_stays_and_what_it_points_to_is_written(tmp_path, kind):
    """Of whatever kind: the result lies behind the link, which still points there."""
    real, link = tmp_path / "real" / "a.csv", tmp_path / "link.csv"
    if "folder" in kind:
        link = tmp_path / "link"
        link.symlink_to("real")
    else:
        link.symlink_to(Path("real") / "a.csv")
    if "missing" not in kind:
        real.parent.mkdir()
        real.write_text("older")
    if kind == "link to a link":
        (tmp_path / "second.csv").symlink_to("link.csv")
        link = tmp_path / "second.csv"
    target = link / "a.csv" if "folder" in kind else link
    before = {path.name for path in tmp_path.iterdir()}
    check_writable(target)
    assert {path.name for path in tmp_path.iterdir()} == before
    with atomic_write(target) as temporary:
        temporary.write_text("newer")
    assert link.is_symlink()
    assert real.read_text() == "newer"
    assert list(real.parent.iterdir()) == [real]


def test_a_link_to_itself_cannot_be_written(tmp_path):
    path = tmp_path / "a.csv"
    path.symlink_to("a.csv")
    with pytest.raises(WriteError, match=r"Cannot write .*a\.csv: too many levels of symbolic links"):
        check_writable(path)
    with pytest.raises(WriteError, match="Cannot write"), atomic_write(path):
        pass
    assert path.is_symlink()
