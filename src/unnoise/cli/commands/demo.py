"""`unnoise demo`: train on handwritten digits and draw new ones."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

from unnoise import api
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes
from unnoise.cli.streams import guarded_output


@takes(
    api.demo,
    out=Annotated[Path, cli.option("DIR", "demo")],
    minutes=cli.option("MINUTES", "2.3"),
    seed=cli.option("N", "0"),
    device=cli.DEVICE,
)
def demo(**options: object) -> None:
    """Train on 1,797 handwritten digits, and draw new ones: about three minutes in all.

    Writes a sheet of digits, an animation of noise turning into digits, and one of digits that turn into one
    another.

      unnoise demo
    """
    with guarded_output(needed=False), suppress(KeyboardInterrupt):
        api.demo(**options)  # type: ignore[arg-type]
