"""Lists of many runs and pictures: in pages, searched, and with thumbnails that are made once."""

import json
import os

import pytest
from PIL import Image

from unnoise.app.folders import listing
from unnoise.app.records import Remarks, write_remarks
from unnoise.app.runs import PAGE, list_runs
from unnoise.app.thumbnails import SIDE, thumbnail
from unnoise.app.workspace import Workspace

RUNS = 60


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    opened = Workspace.open(tmp_path_factory.mktemp("many") / "workspace")
    config = {
        "budget": {"unit": "minutes", "amount": 5.0},
        "data": {"source": "digits", "height": 8, "width": 8, "channels": 1, "classes": []},
    }
    for number in range(RUNS):
        folder = opened.runs / f"run-{number:02d}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        os.utime(folder / "config.json", (number, number))
    write_remarks(opened.runs / "run-07", Remarks(title="Cats of mine", note="with flips"))
    return opened


def test_pages_hold_all_runs_once_the_newest_first(workspace):
    pages = [list_runs(workspace, page=page) for page in (1, 2, 3)]
    names = [run["folder"] for page in pages for run in page.runs]
    assert names == [f"run-{number:02d}" for number in reversed(range(RUNS))]
    assert [len(page.runs) for page in pages] == [PAGE, PAGE, RUNS - 2 * PAGE]
    assert {(page.pages, page.total) for page in pages} == {(3, RUNS)}
    assert list_runs(workspace, page=99).page == 3  # the last one, where there are fewer


@pytest.mark.parametrize("search", ["cats", "CATS mine", "flips", "run-07", "digits 07"])
def test_a_search_finds_names_titles_notes_and_pictures(workspace, search):
    (found,) = list_runs(workspace, search).runs
    assert (found["folder"], found["name"]) == ("run-07", "Cats of mine")


def test_a_search_for_what_is_nowhere_finds_nothing(workspace):
    assert list_runs(workspace, "cats dogs").total == 0


def test_ten_thousand_pictures_are_a_count_not_a_list(workspace):
    folder = workspace.root / "photos"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number:05d}.png").touch()
    found = listing(workspace, workspace.root)
    (photos,) = [one for one in found["folders"] if one["name"] == "photos"]
    assert photos["more"]  # it was looked at as far as is needed
    inside = listing(workspace, folder)
    assert len(json.dumps(inside)) < 2000
    assert inside["files"] == []


def test_a_thumbnail_is_made_once_and_again_for_a_new_picture(workspace):
    picture = workspace.runs / "run-00" / "sheet.png"
    Image.new("RGB", (1000, 500), "red").save(picture)
    small = thumbnail(workspace, picture)
    with Image.open(small) as opened:
        assert opened.size == (SIDE, SIDE // 2)
    made = small.stat().st_mtime_ns
    assert thumbnail(workspace, picture) == small
    assert small.stat().st_mtime_ns == made
    Image.new("RGB", (1000, 500), "blue").save(picture)
    os.utime(picture, (1, 1))
    assert thumbnail(workspace, picture) != small
