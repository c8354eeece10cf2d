"""`unnoise train`: train a model on a folder of pictures."""

from contextlib import suppress
from typing import Annotated

from tyro.conf import Positional, arg

from unnoise import UnnoiseError, api
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes
from unnoise.cli.streams import guarded_output


@takes(
    api.train,
    ("pictures",),
    **cli.READING,
    out=cli.option("DIR", "runs/ and the name of PICTURES"),
    minutes=cli.option("N", "10"),
    steps=cli.option("N"),
    images=cli.option("N"),
    batch_size=cli.BATCH_SIZE,
    preset=cli.PRESET,
    seed=cli.option("N", "0"),
    device=cli.DEVICE,
    resume=cli.FLAG,
    init=Annotated[str | None, cli.option("RUN", "new weights")],
    flip=cli.FLAG,
    noise_shift=Annotated[str | None, cli.option("X|size", "the preset's")],
    held_out=cli.option("N", "one in 20, at most 1,000"),
    precision=cli.option(None, "what suits the device"),
    accumulate=cli.option("N", "1; more where a CPU's memory is too small"),
    deterministic=cli.FLAG,
    checkpoint_activations=cli.FLAG,
    until_converged=cli.FLAG,
    set=Annotated[tuple[str, ...], cli.option("PATH=VALUE ...", "no changes")],
    profile=cli.FLAG,
)
def train(
    source: Annotated[str, Positional, arg(metavar="PICTURES")],
    /,
    dry_run: cli.Flag = False,
    compile: Annotated[cli.Flag, cli.option(None, "on a GPU where it pays")] = False,  # noqa: A002 (its name)
    no_compile: cli.Flag = False,
    **options: object,
) -> None:
    """Train a diffusion model on your pictures, from scratch.

    Writes a folder, the run, with the weights, sheets of samples, the loss curve and a TensorBoard log. Ctrl-C
    (or SIGTERM, SIGUSR1 or SIGHUP) saves and stops; the same command with --resume goes on where it stopped.

      unnoise train photos --minutes 30
      unnoise train photos --minutes 60 --resume
      unnoise train photos --size 64 --flip --labels auto --out runs/animals

    Args:
        source: A folder of pictures (with its subfolders), a .zip, .npy, .npz or IDX file, or one of the names
            digits and fashion-mnist.
        dry_run: Print the settings (config.json) and stop, without training.
        compile: Compile the network first. On a GPU steps are then faster, after minutes of compiling the first
            time; on a CPU they were slower.
        no_compile: Never compile the network. Without either, a run on a CUDA GPU compiles where the budget is
            long enough for that to pay.
    """
    if dry_run:
        unused = {"compile": compile, "no_compile": no_compile}
        api.tell_config(api.planned(source, unused=unused, **options))
        return
    if compile and no_compile:
        raise UnnoiseError("--compile and --no-compile contradict each other: keep one of them.")
    # A run is worth more than what is printed about it. Stopped before its first step, it has said so.
    with guarded_output(needed=False), suppress(KeyboardInterrupt):
        api.train(source, **options, compile=True if compile else False if no_compile else None)  # type: ignore[arg-type]
