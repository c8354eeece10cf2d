"""Who may send requests to the app: hosts, origins, tokens, rates, bodies, and hostile requests."""

import asyncio
import re
import time

import pytest
from itsdangerous import URLSafeSerializer
from starlette.responses import HTMLResponse

from helpers.app_server import served, tree_hash
from helpers.data_files import save_many
from unnoise.app.folders import place_id
from unnoise.app.security import SANDBOX, Access, SecurityMiddleware, TokenBucket
from unnoise.app.workspace import Workspace, run_id

TOKEN = "token-é-123"  # noqa: S105
ID = "0123456789abcdef"
RUN, LINKED = run_id("first"), run_id("linked")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with secrets, in which there is a workspace with links that lead out of it."""
    place = tmp_path_factory.mktemp("place")
    (place / "outside").mkdir()
    (place / "outside" / "secret.txt").write_text("SECRET")
    (place / "outside" / "secret.zip").write_text("SECRET")
    save_many(place / "outside", {"private.png": (1, 2, 3)})
    save_many(place / "work" / "photos", {"a.png": (255, 0, 0), "cats/b.png": (0, 255, 0)})
    (place / "work" / "leads out").symlink_to(place / "outside")
    (place / "work" / "photos" / "out.zip").symlink_to(place / "outside" / "secret.zip")
    (place / "work" / "runs" / "first" / "samples").mkdir(parents=True)
    linked = place / "work" / "runs" / "linked"
    linked.mkdir()
    (linked / "app.json").symlink_to(place / "outside" / "app.json")
    (linked / "config.json").symlink_to(place / "outside" / "config.json")
    (linked / "samples").symlink_to(place / "outside")
    (place / "outside" / "app.json").write_text('{"title": "SECRET", "note": "SECRET"}')
    (place / "outside" / "config.json").write_text('{"data": {"source": "SECRET"}, "preset": "SECRET"}')
    save_many(place / "outside", {f"{5:010d}.png": (1, 2, 3)})
    return place


@pytest.fixture(scope="module")
def workspace(place):
    workspace = Workspace.open(place / "work")
    assert workspace.secret
    return workspace


@pytest.fixture(scope="module")
def client(workspace):
    with served(workspace) as client:
        yield client


def signed(workspace: Workspace, path: str, *, secret: str | None = None, salt: str = "place") -> str:
    return URLSafeSerializer(secret or workspace.secret, salt=salt).dumps(path)


def upload(name="a.png", size=100, into: object = "cats"):
    return ("POST", "/api/uploads", {"name": name, "size": size, "set": into}, {})


def get(path, **headers):
    return ("GET", path, None, headers)


def start(**words):
    known = {"pictures": "known:digits", "name": "a", "minutes": 1} | words
    return ("POST", "/api/runs", {name: value for name, value in known.items() if value is not None}, {})


REQUESTS = {
    # paths
    "a path that climbs": get("/api/../../outside/secret.txt"),
    "an encoded path that climbs": get("/static/%2e%2e/%2e%2e/outside/secret.txt"),
    "an encoded slash": get("/api/uploads/..%2f..%2f..%2foutside%2fsecret.txt"),
    "a path encoded twice": get("/static/%252e%252e/%252e%252e/outside/secret.txt"),
    "overlong UTF-8 for a dot": get("/static/%c0%ae%c0%ae/secret.txt"),
    "backslashes": get("/static/..%5c..%5coutside%5csecret.txt"),
    "a zero byte": get("/api/uploads/a%00.png"),
    "a line break in a path": get("/api/folders%0d%0aSet-Cookie:%20a=b"),
    "two slashes": get("//evil.example/api/folders"),
    "an absolute path in the request line": get("/etc/passwd"),
    "a very long path": get("/" + "a" * 5000),
    "a very long query": get("/api/folders?id=" + "a" * 9000),
    # ids
    "an id that is not there": get(f"/api/uploads/{ID}"),
    "an id that is a path": get("/api/folders?id=../outside"),
    "an absolute path as an id": get("/api/folders?id=/etc"),
    "an id of another alphabet": get("/api/uploads/０１２３４５６７８９abcdef".encode().decode("latin-1")),
    "an upload's id with a line break": get(f"/api/uploads/{ID}%0a"),
    # typed paths
    "a typed path that climbs": get("/api/folders/named?text=../outside"),
    "a typed absolute path": get("/api/folders/named?text=/etc"),
    "a typed home of another": get("/api/folders/named?text=~root"),
    "a typed path by way of a link": get("/api/folders/named?text=leads%20out"),
    "a typed link to a file": get("/api/folders/named?text=photos/out.zip"),
    "a typed path to the runs": get("/api/folders/named?text=runs"),
    "a typed path to the secret": get("/api/folders/named?text=.unnoise/secret"),
    "a typed path by way of ..": get("/api/folders/named?text=photos/../.unnoise"),
    "a typed zero byte": get("/api/folders/named?text=photos%00"),
    "a very long typed path": get("/api/folders/named?text=" + "a" * 5000),
    "a typed tower of folders": get("/api/folders/named?text=" + "a/" * 2000),
    # names of uploads
    "an upload that climbs": upload("../../outside/a.png"),
    "an upload of an absolute path": upload("/etc/cron.d/a.png"),
    "an upload with backslashes": upload("..\\..\\a.png"),
    "an upload of a drive": upload("C:\\a.png"),
    "an upload with a zero byte": upload("a.png\0.zip"),
    "an upload with line breaks": upload("a\r\nSet-Cookie: b.png"),
    "an upload named as a device": upload("CON.png"),
    "an upload named as a numbered device": upload("lpt1.jpeg.png"),
    "an upload of a very long name": upload("a" * 300 + ".png"),
    "an upload with half a surrogate": upload("\ud800.png"),
    "an upload of a program": upload("a.exe"),
    "an upload of a pickle": upload("a.pkl"),
    "an upload of a page": upload("a.html"),
    "an upload without suffix": upload("passwd"),
    "an upload whose name is a number": upload(7),
    "an upload whose name is a list": upload(["a.png"]),
    # their sets
    "a set that climbs": upload(into="../../outside"),
    "a set that is ..": upload(into=".."),
    "a set of an absolute path": upload(into="/etc"),
    "a hidden set": upload(into=".unnoise"),
    "a set named as a device": upload(into="NUL"),
    "a set with a line break": upload(into="a\r\nb"),
    "a set of a very long name": upload(into="a" * 100),
    "a set that is a number": upload(into=3),
    "an empty set": upload(into=""),
    # their sizes
    "an upload of 5 GB": upload("a.zip", 5 * 2**30),
    "a single picture of 65 MB": upload(size=65 * 2**20, into=None),
    "a single picture that is a zip": upload("a.zip", into=None),
    "an upload of no bytes": upload(size=0),
    "an upload of fewer than no bytes": upload(size=-1),
    "a size in words": upload(size="100"),
    "a size that is true": upload(size=True),
    "a size with a fraction": upload(size=1.5),
    # bodies
    "no JSON": ("POST", "/api/uploads", b"name=a.png", {}),
    "a list in place of an object": ("POST", "/api/uploads", b"[]", {}),
    "an abyss of brackets": ("POST", "/api/uploads", b"[" * 60_000, {}),
    "infinity": ("POST", "/api/uploads", b'{"name": "a.png", "size": Infinity}', {}),
    "a number beyond all": ("POST", "/api/uploads", b'{"name": "a.png", "size": 1e999}', {}),
    "a number of 60,000 digits": ("POST", "/api/uploads", b'{"size": ' + b"9" * 60_000 + b"}", {}),
    "bytes that are no UTF-8": ("POST", "/api/uploads", b'{"name": "\xff.png"}', {}),
    "a body of 70 kB": ("POST", "/api/uploads", bytes(70_000), {}),
    "a piece of 5 MB": ("PUT", f"/api/uploads/{ID}?offset=0", bytes(5 * 2**20), {}),
    "a piece for no upload": ("PUT", f"/api/uploads/{ID}?offset=0", b"x", {}),
    "a piece without its offset": ("PUT", f"/api/uploads/{ID}", b"x", {}),
    "a piece at a negative offset": ("PUT", f"/api/uploads/{ID}?offset=-1", b"x", {}),
    "a piece at an offset beyond all": ("PUT", f"/api/uploads/{ID}?offset=" + "9" * 5000, b"x", {}),
    "the end of no upload": ("POST", f"/api/uploads/{ID}/finish", {}, {}),
    "to cancel no upload": ("DELETE", f"/api/uploads/{ID}", None, {}),
    # runs and tasks
    "a run that is not there": get("/api/runs/0123456789ab"),
    "a run by a path": get("/api/runs/..%2f..%2foutside"),
    "a run by its name": get("/api/runs/first"),
    "a page of a run that is not there": get("/run/0123456789ab/draw"),
    "the stream of a run that is not there": get("/api/runs/0123456789ab/events"),
    "a sheet of a step of 300 digits": get(f"/files/runs/{RUN}/sheet/" + "9" * 300),
    "a sheet of a run that leads out": get(f"/files/runs/{LINKED}/sheet/5"),
    "a run that leads out": get(f"/api/runs/{LINKED}"),
    "to compare with a run that leads out": get(f"/compare?run={LINKED}"),
    "a note on a run that leads out": ("POST", f"/api/runs/{LINKED}/note", {"text": "a"}, {}),
    "to resume a run that leads out": ("POST", f"/api/runs/{LINKED}/resume", {}, {}),
    "to draw by a run that leads out": ("POST", "/api/tasks", {"kind": "draw", "run": LINKED}, {}),
    "to do what is not done": ("POST", f"/api/runs/{RUN}/explode", {}, {}),
    "to delete what is not there": ("POST", "/api/runs/0123456789ab/delete", {}, {}),
    "to restore what is not there": ("POST", f"/api/runs/{RUN}/restore", {}, {}),
    "a note that is no text": ("POST", f"/api/runs/{RUN}/note", {"text": 1}, {}),
    "a note of 50 kB": ("POST", f"/api/runs/{RUN}/note", {"text": "a" * 50_000}, {}),
    "a title with control characters": ("POST", f"/api/runs/{RUN}/rename", {"name": "\x1b[31m"}, {}),
    "a start without pictures": start(pictures=None),
    "a start on a path": start(pictures="/etc"),
    "a start on a path that climbs": start(pictures="../outside"),
    "a start on a known set that is a path": start(pictures="known:../outside"),
    "a start with a name that climbs": start(name="../../outside/run"),
    "a start with a name that is an option": start(name="--help"),
    "a start with a preset that is an option": start(preset="--out=/elsewhere"),
    "a start with a preset that is a path": start(preset="../../etc/passwd"),
    "a start with a size that is an option": start(size="--out"),
    "a start for no time": start(minutes=0),
    "a start for ever": start(minutes=1e12),
    "a start with a word of its own": start(out="/etc"),
    "a start with a list for a seed": start(seed=[1]),
    "a task that is not there": get(f"/api/tasks/{ID}"),
    "a task by a path": get("/api/tasks/..%2f..%2frequest"),
    "a file of a task by a path": get(f"/files/tasks/{ID}/..%2frequest.json"),
    "a file of a task that is not there": get(f"/files/tasks/{ID}/state.json"),
    "to end a task that is not there": ("DELETE", f"/api/tasks/{ID}", None, {}),
    "a task of no kind": ("POST", "/api/tasks", {"run": RUN}, {}),
    "a task of a kind that is a list": ("POST", "/api/tasks", {"kind": ["draw"], "run": RUN}, {}),
    "a task of an unknown kind": ("POST", "/api/tasks", {"kind": "../draw", "run": RUN}, {}),
    "a task with a word of its own": ("POST", "/api/tasks", {"kind": "draw", "run": RUN, "out": "/etc"}, {}),
    "a million pictures": ("POST", "/api/tasks", {"kind": "draw", "run": RUN, "number": 10**6}, {}),
    "a picture by a path": ("POST", "/api/tasks", {"kind": "vary", "run": RUN, "picture": "/etc/passwd"}, {}),
    "a picture of a task by a path": (
        *("POST", "/api/tasks"),
        {"kind": "vary", "run": RUN, "picture": {"task": "../../../outsi", "name": "private"}},
        {},
    ),
    "to save a task by a path": ("POST", "/api/tasks", {"kind": "save", "task": "..", "format": "png"}, {}),
    "to save no task": ("POST", "/api/tasks", {"kind": "save", "format": "png"}, {}),
    "a mask of 3 MB": ("POST", "/api/tasks", {"kind": "inpaint", "run": RUN, "mask": "a" * (3 * 2**20)}, {}),
    "a file beside the static ones": get("/static/../server.py"),
    "a static file that is a folder": get("/static/js"),
    # where requests come from
    "another host": get("/api/folders", Host="evil.example"),
    "this host at another port": get("/api/folders", Host="127.0.0.1:1"),
    "no host": get("/api/folders", Host=None),
    "an empty host": get("/api/folders", Host=""),
    "a host of a rebinding name": get("/api/folders", Host="127.0.0.1.nip.io"),
    "another origin": (*upload()[:3], {"Origin": "http://evil.example"}),
    "the null origin": (*upload()[:3], {"Origin": "null"}),
    "the origin of another port": (*upload()[:3], {"Origin": "http://127.0.0.1:1"}),
    "a fetch by another origin": get("/api/folders", Origin="http://evil.example"),
    "a form on another site": (*upload()[:3], {"Sec-Fetch-Site": "cross-site"}),
    "a form on the same site": (*upload()[:3], {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}),
    "a picture on another page": get("/api/folders", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="image"),
    "a frame on another page": get(
        "/api/folders", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe"
    ),
    "no X-Unnoise": (*upload()[:3], {"X-Unnoise": None}),
    "another X-Unnoise": (*upload()[:3], {"X-Unnoise": "0"}),
    # methods
    "TRACE": ("TRACE", "/api/folders", None, {}),
    "OPTIONS, as before a foreign request": ("OPTIONS", "/api/uploads", None, {}),
    "PATCH": ("PATCH", f"/api/uploads/{ID}", b"x", {}),
    "a method that does not exist": ("BREW", "/api/folders", None, {}),
    "a method in a header": ("GET", f"/api/uploads/{ID}", None, {"X-HTTP-Method-Override": "DELETE"}),
    "POST where GET is meant": ("POST", "/api/folders", {}, {}),
    "GET where POST is meant": get(f"/api/uploads/{ID}/finish"),
    "an upgrade to a WebSocket": get("/api/folders", Connection="Upgrade", Upgrade="websocket"),
}


def require_refused(answer):
    """A status of 4xx and one sentence, without a traceback, a path of the machine or a secret."""
    assert 400 <= answer.status < 500, (answer.status, answer.body)
    text = answer.body.decode()
    if answer.headers.get("content-type") == "application/json":
        assert set(answer.words) == {"error"}
        text = answer.words["error"]
    assert text.strip()
    assert "\n" not in text.strip() or text.startswith("<!doctype html>")
    assert not re.search(r"Traceback|SECRET|File \"|/tmp/|site-packages", text)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("title", REQUESTS)
def test_a_hostile_request_is_refused_and_changes_nothing(place, workspace, client, title):
    method, path, body, headers = REQUESTS[title]
    before = tree_hash(place), sorted(workspace.hidden.rglob("*"))
    answer = client.ask(method, path, body, **headers)
    require_refused(answer)
    if answer.headers.get("server") is None:
        assert answer.headers.get("x-content-type-options") == "nosniff" or b"Invalid HTTP" in answer.body
    assert (tree_hash(place), sorted(workspace.hidden.rglob("*"))) == before


def test_the_sentences_are_json_under_api_and_a_page_elsewhere(client):
    assert client.ask("GET", "/api/nowhere").words == {"error": "There is nothing at this address."}
    page = client.ask("GET", "/<nowhere>")
    assert page.headers["content-type"].startswith("text/html")
    assert b"<p>There is nothing at this address.</p>" in page.body


@pytest.mark.parametrize("path", ["..", "../outside", "/etc", "leads out", "runs", ".unnoise", "photos/../.."])
def test_a_signed_id_of_what_may_not_be_shown_is_refused(workspace, client, path):
    require_refused(client.ask("GET", f"/api/folders?id={signed(workspace, path)}"))


def test_a_forged_or_altered_id_is_refused(workspace, client):
    good = place_id(workspace, workspace.root / "photos")
    assert client.ask("GET", f"/api/folders?id={good}").words["name"] == "photos"
    for bad in (
        signed(workspace, "photos", secret="0" * 64),
        signed(workspace, "photos", salt="other"),
        good[:-2] + ("A" if good[-2] != "A" else "B") + good[-1],
        "A" + good[1:],
        good.rpartition(".")[0],
        "." + good,
        "é",
    ):
        require_refused(client.ask("GET", f"/api/folders?id={bad.encode().decode('latin-1')}"))


CHUNKED = b"Host: HOST\r\nX-Unnoise: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /api/uploads HTTP/1.1\r\n" + CHUNKED + 20 * (b"1000\r\n" + bytes(4096) + b"\r\n"), 413),
        (b"GET /api/folders HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 403),
        (b"GET /api/folders HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 403),
        (b"POST /api/uploads HTTP/1.1\r\nHost: HOST\r\nX-Unnoise: 1\r\nContent-Length: -1\r\n\r\n", 400),
        (
            b"POST /api/uploads HTTP/1.1\r\nHost: HOST\r\nX-Unnoise: 1\r\nContent-Length: 99999999999\r\n\r\n",
            413,
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
def test_requests_that_no_library_sends_are_refused(place, client, data, status):
    before = tree_hash(place)
    found = client.raw(data)
    assert found.startswith(f"HTTP/1.1 {status} ".encode()) or (status == 403 and found[9:12] == b"400"), found
    assert b"Traceback" not in found
    assert tree_hash(place) == before


def test_a_body_that_does_not_arrive_in_time_is_refused(workspace):
    with served(workspace, patience=0.2) as client:
        start = time.monotonic()
        head = b"POST /api/uploads HTTP/1.1\r\nHost: HOST\r\nX-Unnoise: 1\r\nContent-Length: 100\r\n\r\n{"
        found = client.raw(head)
        assert found.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive within 0.2 seconds" in found
        assert time.monotonic() - start < 5


def test_a_client_that_asks_too_often_is_told_to_wait(workspace):
    with served(workspace, rate=1, burst=5) as client:
        answers = [client.ask("GET", "/api/folders") for _ in range(8)]
        assert [answer.status for answer in answers[:5]] == [200] * 5
        assert answers[-1].status == 429
        assert answers[-1].headers["retry-after"] == "1"
        require_refused(answers[-1])


def test_a_bucket_fills_again_and_forgets_clients(monkeypatch):
    now = 0.0
    monkeypatch.setattr("unnoise.app.security.time.monotonic", lambda: now)
    bucket = TokenBucket(rate=2, burst=2)
    assert [bucket.take("a") for _ in range(3)] == [True, True, False]
    assert bucket.take("b")
    now = 0.5
    assert [bucket.take("a") for _ in range(2)] == [True, False]
    now = 100
    for number in range(30_000):
        bucket.take(str(number))
    assert len(bucket._left) <= 10_001


@pytest.fixture(scope="module")
def guarded(workspace):
    with served(workspace, token=TOKEN) as client:
        yield client


def quoted(token: str) -> str:
    return token.replace("é", "%C3%A9")


def test_a_request_without_the_token_is_refused(guarded):
    for headers in ({}, {"Cookie": f"unnoise-{guarded.port}=wrong"}, {"Cookie": "\xff=;;=\x22"}):
        for path in ("/api/folders", "/", "/static/app.css", "/api/folders?token=wrong", "/?token="):
            answer = guarded.ask("GET", path, **headers)
            assert answer.status == 401
            require_refused(answer)
    assert guarded.ask("GET", f"/?token={quoted(TOKEN)}&token=wrong").status == 401
    assert guarded.ask("POST", f"/api/uploads?token={quoted(TOKEN)}", {}).status == 401


def test_the_token_becomes_a_cookie_and_leaves_the_address(guarded):
    arrived = guarded.ask("GET", f"/api/folders?page=1&token={quoted(TOKEN)}")
    assert arrived.status == 303
    assert arrived.headers["location"] == "/api/folders?page=1"
    cookie = arrived.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    entered = guarded.ask("GET", "/api/folders", Cookie=f"other=1; {cookie.partition(';')[0]}")
    assert entered.status == 200
    assert TOKEN not in entered.body.decode()


def test_a_link_on_another_site_enters_by_a_page_that_refreshes_itself(guarded):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    arrived = guarded.ask("GET", f"/?token={quoted(TOKEN)}", **link)
    assert arrived.status == 200
    assert arrived.headers["refresh"] == "0; url=/"
    assert "set-cookie" in arrived.headers


def test_the_token_leads_to_no_other_host(guarded):
    for path in ("//evil.example", "/\\evil.example", "/%2f/evil.example", "/%0d%0aLocation:%20a"):
        answer = guarded.ask("GET", f"{path}?token={quoted(TOKEN)}")
        assert answer.status == 400
        assert "location" not in answer.headers


def test_pages_of_the_app_may_ask(client):
    own = {"Origin": f"http://{client.host}", "Sec-Fetch-Site": "same-origin"}
    assert client.ask("GET", "/api/folders", **own).status == 200
    assert client.ask("GET", "/api/folders", Host=f"LOCALHOST:{client.port}").status == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.ask("GET", "/api/folders", **link).status == 200
    assert client.ask("HEAD", "/api/folders").status == 200
    begun = client.ask("POST", "/api/uploads", {"name": "a.png", "size": 9, "set": "cats"}, **own)
    assert begun.status == 201
    assert client.ask("DELETE", f"/api/uploads/{begun.words['id']}", **own).status == 200


def test_every_response_says_what_browsers_may_do_with_it(client):
    headers = client.ask("GET", "/api/folders").headers
    policy = headers["content-security-policy"]
    assert {"default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} <= set(
        policy.split("; ")
    )
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def through(app, scope, access):
    """What a server would be told to send for a request that goes through the middleware."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError

    asyncio.run(SecurityMiddleware(app, access)(scope, receive, send))
    return sent


def test_a_page_made_of_what_people_wrote_keeps_its_sandbox():
    scope = {"type": "http", "method": "GET", "path": "/a", "query_string": b"", "headers": [(b"host", b"a:1")]}
    sent = through(HTMLResponse("<script>", headers=SANDBOX), scope, Access(frozenset({"a:1"})))
    policies = [text for name, text in sent[0]["headers"] if name == b"content-security-policy"]
    assert policies == [b"sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_a_websocket_is_closed():
    sent = through(HTMLResponse("open"), {"type": "websocket"}, Access(frozenset()))
    assert sent == [{"type": "websocket.close", "code": 1008}]
