"""Folders that pictures may come from: what is shown of them, and that nothing outside is."""

import os
import sys
import time

import pytest

from helpers.app_server import served
from helpers.data_files import plain, save_many
from unnoise.app import folders
from unnoise.app.errors import NotFoundError, RequestError
from unnoise.app.folders import find_place, find_source, listing, named, place_id
from unnoise.app.workspace import Workspace, require_name
from unnoise.utils.errors import UnnoiseError


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace.open(tmp_path / "work")
    colours = dict.fromkeys(("photos/a.png", "photos/cats/b.JPG", "photos/cats/deep/c.png"), (1, 2, 3))
    save_many(workspace.root, {**colours, "photos/.hidden/d.png": (1, 2, 3), "pictures/set/e.png": (1, 2, 3)})
    for name in ("photos/notes.txt", "photos/many.zip", "photos/array.NPY", "photos/.secret.zip"):
        (workspace.root / name).write_text("x")
    save_many(workspace.root, {"runs/first/sheet.png": (1, 2, 3), "trash/old/sheet.png": (1, 2, 3)})
    save_many(tmp_path, {"outside/f.png": (1, 2, 3)})
    return workspace


def names(entries):
    return [entry["name"] for entry in entries]


def test_the_workspace_shows_folders_of_pictures_alone(workspace):
    told = listing(workspace, workspace.root)
    assert told["id"] == ""
    assert told["parents"] == []
    assert [(one["name"], one["pictures"], one["more"]) for one in told["folders"]] == [
        ("photos", 3, False),
        ("pictures", 1, False),
    ]
    assert told["files"] == []


def test_a_folder_shows_what_is_above_and_in_it(workspace):
    told = listing(workspace, workspace.root / "photos" / "cats")
    assert told["name"] == "cats"
    assert told["pictures"] == 2
    assert names(told["parents"]) == ["work", "photos"]
    assert names(told["folders"]) == ["deep"]
    assert [find_place(workspace, one["id"]) for one in told["parents"]] == [
        workspace.root,
        workspace.root / "photos",
    ]
    assert names(listing(workspace, workspace.root / "photos")["files"]) == ["array.NPY", "many.zip"]


def test_links_are_left_out_wherever_they_stand(workspace, tmp_path):
    photos = workspace.root / "photos"
    before = listing(workspace, photos)
    (photos / "linked").symlink_to(tmp_path / "outside")
    (photos / "linked.png").symlink_to(tmp_path / "outside" / "f.png")
    (photos / "linked.zip").symlink_to(photos / "many.zip")
    (photos / "loop").symlink_to(photos / "loop")
    (photos / "cats" / "up").symlink_to(photos)
    assert listing(workspace, photos) == before


@pytest.mark.parametrize("link", ["photos", "photos/cats"])
def test_an_id_of_what_became_a_link_leads_nowhere(workspace, tmp_path, link):
    number = place_id(workspace, workspace.root / "photos" / "cats")
    assert find_place(workspace, number) == workspace.root / "photos" / "cats"
    (workspace.root / link).rename(tmp_path / "outside" / "cats")
    (workspace.root / link).symlink_to(tmp_path / "outside" / "cats")
    (tmp_path / "outside" / "cats" / "cats").mkdir(exist_ok=True)
    with pytest.raises(NotFoundError):
        find_place(workspace, number)


def test_an_id_of_another_workspace_leads_nowhere(workspace, tmp_path):
    other = Workspace.open(tmp_path / "other")
    save_many(other.root, {"photos/a.png": (1, 2, 3)})
    with pytest.raises(NotFoundError):
        find_place(workspace, place_id(other, other.root / "photos"))


@pytest.mark.parametrize("number", [None, 7, [], {"a": 1}, "a.b", "\udcff", "é"])
def test_what_is_no_id_leads_nowhere(workspace, number):
    with pytest.raises(NotFoundError):
        find_place(workspace, number)


def test_a_source_may_hold_no_links_which_the_trainer_would_follow(workspace, tmp_path):
    photos = workspace.root / "photos"
    number = place_id(workspace, photos)
    assert find_source(workspace, number) == photos
    (photos / ".hidden" / "out.png").symlink_to(tmp_path / "outside" / "f.png")
    with pytest.raises(RequestError, match=r"'photos/.hidden/out.png' is a link"):
        find_source(workspace, number)
    assert find_source(workspace, place_id(workspace, photos / "many.zip")) == photos / "many.zip"
    with pytest.raises(RequestError, match="not the whole of it"):
        find_source(workspace, "")


@pytest.mark.parametrize(
    "text", ["photos/cats", " photos/cats/ ", "./photos/../photos/cats", "{root}/photos/cats"]
)
def test_a_typed_path_is_found(workspace, text):
    assert named(workspace, text.format(root=workspace.root)) == workspace.root / "photos" / "cats"


def test_a_typed_path_may_go_through_links_to_the_workspace_itself(workspace, tmp_path, monkeypatch):
    (tmp_path / "way").symlink_to(workspace.root)
    assert named(workspace, str(tmp_path / "way" / "photos")) == workspace.root / "photos"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named(workspace, f"~/{workspace.root.name}/photos") == workspace.root / "photos"
    assert named(workspace, str(workspace.root)) == workspace.root


OUTSIDE = [
    "",
    "..",
    "../outside",
    "/",
    "{root}/..",
    "{root}2",
    "out",
    "out/f.png",
    "loop",
    "photos\0",
    "~nobody-here/a",
]
NOT_SHOWN = [
    "photos/a.png",
    "photos/none",
    "runs",
    "RUNS/first",
    "trash",
    ".unnoise",
    "photos/.hidden",
    ".secret.zip",
]


@pytest.mark.parametrize("text", [*OUTSIDE, *NOT_SHOWN])
def test_a_typed_path_that_leads_elsewhere_is_not_found(workspace, tmp_path, text):
    (workspace.root / "out").symlink_to(tmp_path / "outside")
    (workspace.root / "loop").symlink_to(workspace.root / "loop")
    with pytest.raises(
        NotFoundError, match=r"^There is no such folder or file of pictures in the workspace\.$"
    ):
        named(workspace, text.format(root=workspace.root))


def test_the_answers_over_http_have_ids_and_no_paths(workspace):
    with served(workspace) as client:
        top = client.ask("GET", "/api/folders").words
        photos = client.ask("GET", f"/api/folders?id={top['folders'][0]['id']}")
        assert photos.words["name"] == "photos"
        assert str(workspace.root.parent) not in photos.body.decode()
        typed = client.ask("GET", "/api/folders/named?text=photos/many.zip").words
        assert typed["name"] == "photos"
        assert find_source(workspace, typed["chosen"]) == workspace.root / "photos" / "many.zip"
        assert client.ask("GET", "/api/folders/named?text=.").words["chosen"] == ""
        assert client.ask("GET", "/api/folders?page=x").words["page"] == 1


@pytest.mark.skipif(sys.platform == "darwin", reason="names are text there")
def test_names_that_are_no_text_are_shown_and_found(workspace):
    os.mkdir(os.fsencode(workspace.root) + b"/\xff\x1b[31m")  # noqa: PTH102 - a name of bytes
    with served(workspace) as client:
        told = client.ask("GET", "/api/folders").words["folders"][-1]
        assert told["name"] == r"\udcff\x1b[31m"
        assert client.ask("GET", f"/api/folders?id={told['id']}").status == 200


def test_many_pictures_are_counted_up_to_a_bound(workspace, monkeypatch):
    monkeypatch.setattr(folders, "_MOST_COUNTED", 4)
    assert folders.count(workspace.root / "photos" / "cats") == folders.Count(2, more=False)
    found = folders.count(workspace.root / "photos")
    assert found.more
    assert found.pictures <= 3


def test_many_folders_come_in_pages(workspace):
    for number in range(130):
        (workspace.root / "photos" / f"{number:03}").mkdir()
    told = [listing(workspace, workspace.root / "photos", page) for page in (1, 2, 3, 4)]
    assert [len(one["folders"]) for one in told] == [60, 60, 11, 0]
    assert {one["pages"] for one in told} == {3}
    assert len({name for one in told for name in names(one["folders"])}) == 131


def test_a_folder_of_ten_thousand_pictures_is_listed_quickly(workspace):
    first = workspace.root / "photos" / "a.png"
    for number in range(10_000):
        os.link(first, workspace.root / "photos" / f"{number}.png")
    start = time.monotonic()
    told = listing(workspace, workspace.root)
    assert time.monotonic() - start < 2
    assert told["folders"][0]["more"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_shown_as_empty(workspace):
    (workspace.root / "photos" / "cats").chmod(0)
    assert listing(workspace, workspace.root / "photos")["folders"][0]["pictures"] == 0


@pytest.mark.parametrize("name", ["", "runs", "trash", "pictures", ".unnoise", ".unnoise/tasks"])
def test_a_workspace_of_links_is_refused(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    work = tmp_path / "work"
    if name:
        (work / name).parent.mkdir(parents=True)
    (work / name if name else work).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnnoiseError, match="is a link"):
        Workspace.open(work)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_secret_is_for_its_owner_alone(workspace):
    assert len(workspace.secret) == 64
    assert (workspace.hidden / "secret").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "name", ["a/b", "..", ".a", "-a", "a.", " a", "a\n", "a\0", "CON", "com1.png", "a" * 61, "a:b"]
)
def test_a_name_that_some_system_does_not_take_is_refused(name):
    with pytest.raises(UnnoiseError, match="cannot be a name"):
        require_name(name)


@pytest.mark.parametrize("name", ["cats", "My cats 2", "고양이", "a.b-c_d", "console"])
def test_a_plain_name_is_taken(name):
    assert require_name(name) == name


def test_pictures_that_are_written_meanwhile_do_not_disturb(workspace, monkeypatch):
    entries = folders._entries

    def vanishing(folder, **options):
        found = list(entries(folder, **options))
        for path in workspace.root.rglob("b.JPG"):
            path.unlink()
        plain().save(workspace.root / "photos" / "new.png")
        return iter(found)

    monkeypatch.setattr(folders, "_entries", vanishing)
    assert listing(workspace, workspace.root)["folders"][0]["name"] == "photos"
