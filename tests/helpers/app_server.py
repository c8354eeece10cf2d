"""A real server of the app in a thread, raw requests to it, and a hash of a tree of files."""

import hashlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from unnoise.app import jobs
from unnoise.app.security import Access
from unnoise.app.server import create_app
from unnoise.app.workspace import Workspace

JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    """Status, headers in lower case, and body of a response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def words(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Sends requests as a page of the app does, unless told otherwise."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        """One request; a dict becomes JSON, and a header of None is left out."""
        words = {"Host": self.host, "X-Unnoise": "1", **self.headers}
        words |= {name.replace("_", "-"): text for name, text in headers.items()}
        if isinstance(body, dict):
            body, words = json.dumps(body).encode(), JSON | words
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection._validate_path = lambda url: None
        connection._encode_request = lambda line: line.encode("latin-1")  # hostile paths go as they are
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, text in words.items():
                if text is not None:
                    connection.putheader(name, text)
            if body is not None and "Transfer-Encoding" not in words:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            found = {name.lower(): text for name, text in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """Whatever comes back to these bytes until the server hangs up; HOST stands for its name."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(data.replace(b"HOST", self.host.encode()))
            found = b""
            while chunk := connection.recv(65536):
                found += chunk
            return found


@contextmanager
def served(workspace: Workspace, **access: Any) -> Iterator[Client]:
    """The app in a thread, with the options of `Access`; it starts no process, and advances no queue."""
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
    app = create_app(workspace, Access(hosts, **access))
    with running(app, bound), pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "_launch", _no_process)
        patch.setattr(app.state.worker, "tell", _no_process)
        yield Client(port)


def _no_process(*_: object) -> None:
    """Stands for the start of a process."""


@contextmanager
def running(app: Any, bound: socket.socket) -> Iterator[None]:
    """Runs uvicorn in a thread until the block ends."""
    config = uvicorn.Config(
        app, log_level="critical", proxy_headers=False, server_header=False, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def tree_hash(folder: Path, *, without: Path | None = None) -> str:
    """A hash of all names, kinds, contents and times of change below a folder, but for one folder in it."""
    found = hashlib.sha256()
    for place, folders_, files in os.walk(folder):
        folders_[:] = sorted(name for name in folders_ if Path(place, name) != without)
        for path in sorted(Path(place, name) for name in (*folders_, *files)):
            status = path.lstat()
            found.update(os.fsencode(path) + f"\0{status.st_mode}\0{status.st_mtime_ns}".encode())
            if path.is_symlink():
                found.update(os.fsencode(path.readlink()))
            elif path.is_file():
                found.update(path.read_bytes())
    return found.hexdigest()
