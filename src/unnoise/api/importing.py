"""Import of pipelines of diffusers, as runs."""

from pathlib import Path

from unnoise.api.opening import OpenRun
from unnoise.api.reporting import count, tell
from unnoise.api.words import Size, parse_size


def import_pipeline(folder: str | Path, out: str | Path, *, size: Size | None = None) -> OpenRun:
    """Makes a run of a pipeline of diffusers that draws pixels: DDPMPipeline or DDIMPipeline.

    Args:
        folder: Folder of the pipeline, with model_index.json in it.
        out: Folder of the new run.
        size: Height, or height x width, of the pictures in pixels.

    Raises:
        UnnoiseError: for a folder that is no such pipeline, or one that holds a run.
    """
    shape, place = parse_size(size), Path(out)
    from unnoise.export import diffusers_import
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.lock import lock_run

    Run.refuse_existing(place)
    pipeline = diffusers_import.read_pipeline(Path(folder), shape)
    with lock_run(place):
        run = diffusers_import.import_pipeline(pipeline, place)
    data, sampling = run.config.data, run.config.recipe.sampling
    tell(
        f"Pictures of {data.height} x {data.width}, {count(data.channels, 'channel')}, drawn by "
        f"{sampling.sampler} in {sampling.num_steps:,} steps."
    )
    for note in pipeline.notes:
        tell(note)
    return OpenRun(run)
