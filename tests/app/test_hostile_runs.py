"""Folders of runs that somebody else made: lists and pages answer, and nothing leads outside."""

import json
import shutil
import threading

import pytest

from helpers.app_server import served, tree_hash
from helpers.data_files import png_chunk, save_many
from unnoise.app.workspace import Workspace, run_id

CONFIG = {
    "preset": "nano",
    "budget": {"unit": "minutes", "amount": 1},
    "data": {"source": "digits", "height": 8, "width": 8, "channels": 1, "classes": []},
}
DISTILLED = {"recipe": {"mean_velocity": {"walking": {"calls": 8}}}}
HISTORY = "step,images,seconds,learning_rate,training_loss,noise_loss,image_loss,held_out_loss\n"


def changed(path: str, value: object) -> str:
    """The settings with one of them changed."""
    config = json.loads(json.dumps(CONFIG))
    *above, last = path.split(".")
    place = config
    for name in above:
        place = place[name]
    place[last] = value
    return json.dumps(config)


FILES = {
    "an abyss of brackets": ("config.json", "[" * 100_000),
    "an abyss of objects": ("config.json", '{"a":' * 100_000),
    "a list": ("config.json", "[]"),
    "no UTF-8": ("config.json", "\udcff"),
    "half a surrogate": ("config.json", changed("data.source", "\ud800")),
    "a source that is a number": ("config.json", changed("data.source", 7)),
    "data that are a list": ("config.json", changed("data", [])),
    "no height": ("config.json", changed("data", {"source": "digits"})),
    "markup": ("config.json", changed("data.source", "</script><script>alert(1)</script>")),
    "a budget of nothing": ("config.json", changed("budget.amount", 0)),
    "a budget of a text": ("config.json", changed("budget.amount", "1")),
    "a budget that is not finite": ("config.json", changed("budget.amount", float("nan"))),
    "a budget in bananas": ("config.json", changed("budget.unit", "bananas")),
    "a budget in a list": ("config.json", changed("budget.unit", ["minutes"])),
    "a preset that is an object": ("config.json", changed("preset", {"a": [1]})),
    "a recipe that is a list": ("config.json", json.dumps(CONFIG | {"recipe": []})),
    "a walk that is a number": ("config.json", json.dumps(CONFIG | {"recipe": {"mean_velocity": 3}})),
    "an origin that is a list": ("config.json", json.dumps(CONFIG | {**DISTILLED, "init": [1]})),
    "losses that are not finite": (
        "history.csv",
        HISTORY + "1,16,1,0.1,nan,inf,-inf,1e308\n2,32,2,0.1,,,,nan\n",
    ),
    "a table of nothing": ("history.csv", "\0" * 1000),
    "times that are not finite": ("history.csv", HISTORY + "1,16,nan,0.1,1,1,1,1\n2,32,inf,0.1,1,1,1,1\n"),
    "scores that are not finite": (
        "quality.csv",
        "step,images,seconds,kid,low,high,copied,nearer,extractor\n1,16,1,nan,0,inf,0,0,x\n",
    ),
    "events of control characters": ("events.csv", "step,kind,cause,action\n1,\x1b[31m,a\x07,b\n"),
    "a title that is an object": ("app.json", '{"title": {"a": 1}, "favourites": [1, {"a": [[[]]]}, null]}'),
    "a title of surrogates": ("app.json", '{"title": "\\ud800", "note": "\\udfff"}'),
    "favourites that are no list": ("app.json", '{"favourites": 5}'),
    "progress of an abyss": ("progress.jsonl", "[" * 2040),
    "progress that is not finite": (
        "progress.jsonl",
        '{"step": 1, "spent": NaN}\n{"step": 1, "spent": 1e999}\n',
    ),
    "a holder of the wrong kinds": (
        ".lock.json",
        '{"host": 1, "pid": "a", "started": [], "since": {}, "file": null}',
    ),
    "a holder of an abyss": (".lock.json", "[" * 100_000),
    "a request of an abyss": ("control.json", "[" * 5000),
    "a sheet of another name": ("samples/²²²²²²²²²².png", "x"),
    "a sheet of a negative step": ("samples/-000000001.png", "x"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace of one good run and one for each hostile file."""
    place = tmp_path_factory.mktemp("place")
    for number, (name, text) in enumerate([("app.json", "{}"), *FILES.values()]):
        run = place / "work" / "runs" / f"run{number}"
        (run / "samples").mkdir(parents=True)
        (run / "config.json").write_text(json.dumps(CONFIG))
        (run / "history.csv").write_text(HISTORY + "1,16,1,0.1,1,1,1,1\n")
        (run / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    return place


@pytest.fixture(scope="module")
def client(place):
    with served(Workspace.open(place / "work")) as client:
        yield client


@pytest.mark.parametrize("title", FILES)
def test_a_run_with_a_hostile_file_is_shown(client, title):
    number = 1 + list(FILES).index(title)
    answer = client.ask("GET", f"/api/runs/{run_id(f'run{number}')}")
    assert answer.status == 200
    assert answer.words["folder"] == f"run{number}"
    assert "NaN" not in answer.body.decode()
    assert "Infinity" not in answer.body.decode()
    answer.body.decode("utf-8")
    found = client.ask("GET", f"/api/runs?search=run{number}")
    assert f"run{number}" in [run["folder"] for run in found.words["runs"]]


def test_what_a_distilled_run_cannot_do_is_not_offered(place, client):
    weights = place / "work" / "runs" / "run0" / "model.safetensors"
    weights.touch()
    number = 1 + list(FILES).index("an origin that is a list")
    shutil.copy(weights, place / "work" / "runs" / f"run{number}")
    for run, distilled in (("run0", False), (f"run{number}", True)):
        draw, play = (
            client.ask("GET", f"/run/{run_id(run)}/{page}").body.decode() for page in ("draw", "play")
        )
        assert ("<option>consistency</option>" in draw) == distilled
        assert ("<option>heun</option>" in draw) != distilled
        assert ("Use the run that it was distilled from" in play) == distilled
        assert ('class="card closed" id="own"' in play) == distilled


def test_the_list_and_its_pages_hold_them_all(client):
    pages = [client.ask("GET", f"/api/runs?page={page}") for page in (1, 2)]
    assert [page.status for page in pages] == [200, 200]
    assert sum(len(page.words["runs"]) for page in pages) == 1 + len(FILES)
    assert client.ask("GET", "/api/runs?page=" + "9" * 5000).words["page"] == 2
    assert client.ask("GET", "/api/status").status == 200


def test_a_sheet_that_is_a_bomb_is_not_unpacked(place, client):
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", b"\0\1\0\0\0\1\0\0\x08\2\0\0\0") + png_chunk(b"IDAT", b"x")
    (place / "work" / "runs" / "run0" / "samples" / "0000000005.png").write_bytes(bomb)
    answer = client.ask("GET", f"/files/runs/{run_id('run0')}/sheet/5?small=1")
    assert answer.status == 404


def test_a_note_goes_to_no_other_place(place, client, tmp_path):
    number, run = run_id("run0"), place / "work" / "runs" / "run0"
    assert client.ask("POST", f"/api/runs/{number}/note", {"text": "mine"}).status == 200
    outside = save_many(tmp_path / "outside", {"0000000001.png": (1, 2, 3)})
    (outside / "app.json").write_text("{}")
    (run / "app.json").unlink()
    (run / "app.json").symlink_to(outside / "app.json")
    before = tree_hash(outside)
    for action, words in {"note": {"text": "a"}, "rename": {"name": "a"}, "resume": {}, "pause": {}}.items():
        answer = client.ask("POST", f"/api/runs/{number}/{action}", words)
        assert answer.status == 403
        assert answer.words["error"].startswith("The run holds a link, app.json: ")
    assert tree_hash(outside) == before
    listed = client.ask("GET", "/api/runs?search=run0").words["runs"]
    assert "run0" not in [run["folder"] for run in listed]
    (run / "app.json").unlink()


def test_runs_that_are_asked_for_at_once_have_folders_of_their_own(client):
    """No two trainings share a folder, and each waits or runs once."""
    answers = []

    def ask():
        words = {"pictures": "known:digits", "name": "same", "minutes": 1}
        answers.append(client.ask("POST", "/api/runs", words))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [201] * 12
    assert len({answer.words["id"] for answer in answers}) == 12
    assert len(client.ask("GET", "/api/status").words["queue"]) == 12
