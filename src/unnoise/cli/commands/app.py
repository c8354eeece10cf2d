"""`unnoise app`: train, watch, draw and play in the browser."""

from pathlib import Path
from typing import Annotated

from unnoise import UnnoiseError
from unnoise.cli import arguments as cli


def app(
    workspace: Annotated[Path, cli.option("DIR", "this folder")] = Path(),
    port: Annotated[int | None, cli.option("N", "the first free one from 8765 on")] = None,
    host: Annotated[str, cli.option("ADDRESS", "127.0.0.1")] = "127.0.0.1",
    no_browser: cli.Flag = False,
) -> None:
    """Train, watch, draw and play in the browser.

    Serves pages on this computer, for this computer alone. A training goes on when the page, the browser or the
    app is closed, and is found again. It needs the extra app: pip install 'unnoise[app]'.

      unnoise app
      unnoise app --workspace ~/pictures --host 0.0.0.0

    Args:
        workspace: The folder that the app works in: it sees pictures in it, and writes runs into its folder
            runs. It reads and writes nothing outside of it.
        port: Port to listen on.
        host: Address to listen on. Others than 127.0.0.1 let other devices in, such as a phone, that have the
            token which is printed as an address and as a QR code.
        no_browser: Open no browser.
    """
    if port is not None and not 0 <= port < 65536:
        raise UnnoiseError(f"--port is from 0 to 65,535, but got {port}.")
    try:
        from unnoise.app.serving import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"starlette", "uvicorn", "itsdangerous", "segno"}:
            raise
        raise UnnoiseError(
            f"The app needs the package {error.name}: install it with pip install 'unnoise[app]'."
        ) from None
    serve(workspace, port=port, host=host, browser=not no_browser)
