"""A stand-in for the Hugging Face Hub on 127.0.0.1: the endpoints that an upload in one commit uses."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_" + "a" * 34


class Hub:
    """What the server was sent; `refusals` maps a part of a path to the status with which it is refused."""

    def __init__(self) -> None:
        self.address = ""
        self.refusals: dict[str, int] = {}
        self.tokens: dict[str, str | None] = {}
        self.created: list[dict] = []
        self.objects: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.exists = False
        self.private = True

    def answer(self, path: str, body: bytes) -> tuple[int, dict]:
        for part, status in self.refusals.items():
            if part in path:
                return status, {"error": "refused"}
        if "/upload/" in path:
            self.objects[path.rpartition("/")[2]] = body
            return 200, {}
        if "/commit/" in path:
            return 200, self.commit(body)
        values = json.loads(body) if body else {}
        if path.endswith("whoami-v2"):
            return 200, {"name": "me", "type": "user"}
        if path.endswith("repos/create"):
            self.created.append(values)
            url = {"url": f"{self.address}/me/digits", "id": "me/digits"}
            return (409, {"error": "it exists", **url}) if self.exists else (200, url)
        if "/preupload/" in path:
            modes = {True: "lfs", False: "regular"}
            files = [
                {
                    "path": one["path"],
                    "uploadMode": modes["." in one["path"] and not one["path"].endswith((".md", "json"))],
                }
                for one in values["files"]
            ]
            return 200, {"files": [{**one, "shouldIgnore": False} for one in files]}
        if path.endswith("/objects/batch"):
            actions = [
                {**one, "actions": {"upload": {"href": f"{self.address}/upload/{one['oid']}"}}}
                for one in values["objects"]
            ]
            return 200, {"transfer": "basic", "objects": actions}
        if path.endswith("validate-yaml"):
            return 200, {"errors": [], "warnings": []}
        return 200, {"id": "me/digits", "private": self.private, "siblings": [], "tags": []}

    def commit(self, body: bytes) -> dict:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                content = self.objects[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                self.files[value["path"]] = content
        return {"commitUrl": f"{self.address}/me/digits/commit/1", "commitOid": "1" * 40, "success": True}


@contextmanager
def hub_server():
    """Serves a `Hub` until the block ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            chunked = self.headers.get("Transfer-Encoding") == "chunked"
            body = self._chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            hub.tokens[path] = self.headers.get("Authorization")
            status, values = hub.answer(path, body)
            text = json.dumps(values).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _chunks(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 (names of the base class)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
