"""`unnoise presets`: list the presets with their cost and quality."""

from typing import Annotated

from unnoise import api
from unnoise.api import tell_output
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(
    api.presets,
    size=Annotated[str, cli.option("H[xW]", "32")],
    channels=cli.option("N", "3"),
    minutes=cli.option("MINUTES", "10.0"),
    device=cli.DEVICE,
    devices=cli.option("N", "1"),
)
def presets(**options: object) -> None:
    """List the presets: what each is for, what it costs, how good it got, and which one suits you.

    All figures are for pictures of the given size. Parameters and GFLOP (of one picture, forward through the
    network) are counted. Speed and memory were measured where they stand alone, and are forecast where a ~
    stands before them: the speed on the same machine, the memory of a process that trains on a CPU in float32.

      unnoise presets --size 64 --minutes 60
    """
    tell_output(*api.presets(**options).parts)  # type: ignore[arg-type]
