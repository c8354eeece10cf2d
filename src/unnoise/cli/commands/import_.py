"""`unnoise import`: make a run of a pipeline of diffusers."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from unnoise.api.reporting import count, tell, tell_result
from unnoise.cli import arguments as cli


def import_(
    folder: Annotated[Path, Positional, arg(metavar="FOLDER")],
    /,
    out: Annotated[Path, arg(metavar="RUN")],
    size: Annotated[str | None, cli.option("H[xW]", "what the network's config says")] = None,
) -> None:
    """Make a run of a pipeline of diffusers that draws pixels: DDPMPipeline or DDIMPipeline.

    The folder is one that save_pretrained wrote, with weights in .safetensors. The run draws the same pictures
    from the same noises, and goes on training with unnoise train PICTURES --out RUN --resume.

      unnoise import ddpm-cifar10-32 --out runs/cifar10
      unnoise generate runs/cifar10

    Args:
        folder: Folder of the pipeline, with model_index.json in it.
        out: Folder of the new run.
        size: Height, or height x width, of the pictures in pixels.
    """
    shape = cli.parse_size(size)
    from unnoise.export.diffusers_import import import_pipeline, read_pipeline
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.lock import lock_run

    Run.refuse_existing(out)
    pipeline = read_pipeline(folder, shape)
    with lock_run(out):
        run = import_pipeline(pipeline, out)
    data, sampling = run.config.data, run.config.recipe.sampling
    tell(
        f"Pictures of {data.height} x {data.width}, {count(data.channels, 'channel')}, drawn by "
        f"{sampling.sampler} in {sampling.num_steps:,} steps."
    )
    for note in pipeline.notes:
        tell(note)
    tell_result("run", out)
