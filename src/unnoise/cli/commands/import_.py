"""`unnoise import`: make a run of a pipeline of diffusers."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from unnoise import api
from unnoise.api import tell_result
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(
    api.import_pipeline,
    ("folder",),
    out=Annotated[Path, arg(metavar="RUN")],
    size=cli.size_option("what the network's config says"),
)
def import_(folder: Annotated[Path, Positional, arg(metavar="FOLDER")], /, **options: object) -> None:
    """Make a run of a pipeline of diffusers that draws pixels: DDPMPipeline or DDIMPipeline.

    The folder is one that save_pretrained wrote, with weights in .safetensors. The run draws the same pictures
    from the same noises, and goes on training with unnoise train PICTURES --out RUN --resume.

      unnoise import ddpm-cifar10-32 --out runs/cifar10
      unnoise generate runs/cifar10
    """
    tell_result("run", api.import_pipeline(folder, **options).path)  # type: ignore[arg-type]
