"""`unnoise push`: upload a run to the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from unnoise import api
from unnoise.api import tell_result
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(
    api.push,
    ("repository",),
    private=cli.FLAG,
    license=cli.option("ID", "a line to fill in"),
    dry_run=cli.FLAG,
    out=cli.option("FOLDER", "RUN/hub"),
)
def push(
    run: cli.Run, repository: Annotated[str, Positional, arg(metavar="OWNER/NAME")], /, **options: object
) -> None:
    """Upload a run to the Hugging Face Hub: averaged weights, config, samples, and a card of what was measured.

    Log in before with hf auth login, or set HF_TOKEN. No path of this machine and no training picture is
    uploaded. Who downloads the folder draws with unnoise generate FOLDER.

      unnoise push runs/photos me/photos --dry-run
      unnoise push runs/photos me/photos --private

    Args:
        repository: Where it goes. The repository is made if it is not there.
    """
    place = api.push(api.open_run(run), repository, **options)  # type: ignore[arg-type]
    if options["dry_run"]:
        tell_result("folder", Path(place))
