"""Server process of the app: its address, the token for other devices, and how it ends."""

import errno
import io
import os
import secrets
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psutil
import segno
import uvicorn

from unnoise.api.reporting import tell, tell_result
from unnoise.app.security import Access
from unnoise.app.server import create_app
from unnoise.app.workspace import Workspace
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.files import check_writable

DEFAULT_PORT = 8765
_LOCAL = {"127.0.0.1", "localhost", "::1"}
_TRIES = 20


def serve(workspace: Path, *, port: int | None, host: str, browser: bool) -> None:
    """Serves a workspace until Ctrl-C.

    Args:
        workspace: the folder, made if it is not there.
        port: None takes the first free one from 8765 on.
        host: the address to listen on; others than 127.0.0.1 demand a token.
        browser: whether to open a browser.

    Raises:
        UnnoiseError: for a folder or an address that cannot be used.
    """
    opened = Workspace.open(workspace)
    check_writable(opened.hidden / "secret")
    opened.hidden.mkdir(parents=True, exist_ok=True)
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    local = host in _LOCAL
    token = None if local else secrets.token_urlsafe(16)
    names = _names(host)
    access = Access(frozenset(f"{name}:{port}" for name in names), token)
    address = f"http://{_shown(host, names)}:{port}/" + (f"?token={token}" if token else "")
    server = _Server(
        uvicorn.Config(
            create_app(opened, access),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=200,
            timeout_keep_alive=20,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=16 * 1024,
        )
    )
    _announce(opened, address, token)
    if browser:
        threading.Timer(0.3, webbrowser.open, [address]).start()
    with listening, suppress(KeyboardInterrupt):  # it passes the signal on once it has ended
        server.run(sockets=[listening])
    tell("The app has ended. A run in training goes on; `unnoise app` shows it again.")


class _Server(uvicorn.Server):
    """A server that ends the streams of news on Ctrl-C, which would otherwise never end."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Answers a signal."""
        self.config.app.state.closing.set()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens here; without a port on the first free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for tried in [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + _TRIES):
        made = socket.socket(family)
        if os.name != "nt":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host, tried))
        except (OSError, OverflowError) as error:
            made.close()
            reason = getattr(error, "strerror", None) or str(error)
            if port is None and isinstance(error, OSError) and getattr(error, "errno", 0) == errno.EADDRINUSE:
                continue
            raise UnnoiseError(
                f"Cannot listen on {host}, port {tried}: {reason.lower()}. Choose others by --port or --host."
            ) from None
        return made
    raise UnnoiseError(
        f"The ports {DEFAULT_PORT} to {DEFAULT_PORT + _TRIES - 1} are taken: name a free --port."
    )


def _names(host: str) -> set[str]:
    """The names under which browsers may ask for this computer."""
    if host in _LOCAL:
        return {"127.0.0.1", "localhost", "[::1]"}
    if host not in {"0.0.0.0", "::"}:  # noqa: S104 (compared, not bound)
        return {host.lower() if ":" not in host else f"[{host.lower()}]"}
    found = {
        "127.0.0.1",
        "localhost",
        "[::1]",
        socket.gethostname().lower(),
        f"{socket.gethostname().lower()}.local",
    }
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family == socket.AF_INET:
                found.add(one.address)
            elif one.family == socket.AF_INET6:
                found.add(f"[{one.address.partition('%')[0]}]")
    return found


def _shown(host: str, names: set[str]) -> str:
    """The name that people open: of another computer's view where it listens on all addresses."""
    if host in _LOCAL:
        return "127.0.0.1"
    outside = sorted(name for name in names if name[0].isdigit() and not name.startswith("127."))
    return outside[0] if outside else next(iter(names))


def _announce(workspace: Workspace, address: str, token: str | None) -> None:
    """Says where the app is, with a QR code for phones."""
    tell_result("workspace", workspace.root)
    tell(f"unnoise is at {address} until you press Ctrl-C. Nothing leaves this computer.")
    if token:
        tell(
            "Whoever has this address, with its token, may use the app: give it to nobody else. It is sent "
            "unencrypted, so use it in a network that you trust."
        )
        _print_code(address)


def _print_code(address: str) -> None:
    """Prints an address as a QR code, where the terminal has the characters that it is made of."""
    code = io.StringIO()
    segno.make(address, micro=False).terminal(code, compact=True)
    try:
        code.getvalue().encode(sys.stdout.encoding or "ascii")
    except UnicodeError:
        return
    print(code.getvalue(), flush=True)
