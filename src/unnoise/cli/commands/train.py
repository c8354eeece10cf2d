"""`unnoise train`: train a model on a folder of pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from unnoise.cli import arguments as cli
from unnoise.cli.effects import refuse_without_effect
from unnoise.cli.stopping import StopSignals
from unnoise.cli.training import Invocation, run_training, silence_profiler
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.runs.config import Budget


def train(
    source: Annotated[str, Positional, arg(metavar="PICTURES")],
    out: Annotated[Path | None, cli.option("DIR", "runs/ and the name of PICTURES")] = None,
    minutes: Annotated[float | None, cli.option("N", "10")] = None,
    steps: Annotated[int | None, cli.option("N", "")] = None,
    images: Annotated[int | None, cli.option("N", "")] = None,
    size: cli.Size = None,
    channels: cli.Channels = None,
    batch_size: cli.BatchSize = None,
    preset: cli.Preset = None,
    seed: Annotated[int | None, cli.option("N", "0")] = None,
    device: cli.Device = "auto",
    resume: cli.Flag = False,
    init: Annotated[str | None, cli.option("RUN", "new weights")] = None,
    fit: cli.Fit = None,
    background: cli.Background = None,
    range: cli.Range = (),  # noqa: A002 (that is its name)
    layout: cli.Layout = None,
    flip: cli.Flip = False,
    noise_shift: cli.NoiseShift = None,
    held_out: Annotated[int | None, cli.option("N", "one in 20, at most 1,000")] = None,
    precision: Annotated[Literal["float32", "bfloat16"] | None, cli.option(None, "float32")] = None,
    accumulate: Annotated[int | None, cli.option("N", "1")] = None,
    split_folders: cli.SplitFolders = False,
    deterministic: cli.Flag = False,
    labels: cli.Labels = None,
    strict_labels: cli.StrictLabels = False,
    until_converged: cli.Flag = False,
    set: Annotated[tuple[str, ...], cli.option("PATH=VALUE ...", "no changes")] = (),  # noqa: A002 (that is its name)
    dry_run: cli.Flag = False,
    profile: cli.Flag = False,
    compile: cli.Flag = False,  # noqa: A002 (the same)
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
        out: Folder to write the run into.
        minutes: Train for this many minutes; the learning rate falls to zero by then.
        steps: Train for this many steps instead of minutes.
        images: Train until this many pictures were seen, counting repeats, instead of minutes.
        seed: Seed of the first weights, the order of the pictures and all noise.
        resume: Go on with the run in --out. Repeat the options it was started with, or leave them out.
        init: Start from the averaged weights of this run (fine-tuning) and, without --preset, with its recipe.
        held_out: How many pictures are not trained on, but kept to test with.
        precision: Precision of the network's arithmetic. bfloat16 is faster on GPUs that support it.
        accumulate: Split each batch into this many parts: the same training in less memory, but slower.
        deterministic: On CUDA, take deterministic kernels alone: equal seeds then give equal bits, but slower.
        until_converged: Stop as soon as neither samples nor the held-out loss improve; --minutes is then the
            longest it may take (480 if left out).
        set: Change settings of the preset, for example objective.loss=l1 network.block=convnext. --dry-run
            shows all of them.
        dry_run: Print the settings (config.json) and stop, without training.
        profile: Measure some early steps: where their time goes, and a trace to look at in ui.perfetto.dev.
        compile: Compile the network first. Steps are then faster, but compiling takes minutes the first time.
    """
    silence_profiler()
    if dry_run:
        unused = {"resume": resume, "profile": profile, "compile": compile}
        refuse_without_effect(unused, "with --dry-run, which shows a new run and trains nothing")
    shape = {"size": cli.parse_size(size), "channels": channels, "fit": fit, "labels": labels, "layout": layout}
    cost = {"batch_size": batch_size, "precision": precision, "accumulate": accumulate, "seed": seed}
    cost["deterministic"] = deterministic or None
    data = {"flip": flip or None, "held_out": held_out, "background": cli.parse_colour(background)}
    groups = {"split_folders": split_folders or None, "strict_labels": strict_labels or None}
    with StopSignals(graceful=False) as stop:  # before anything slow, such as importing PyTorch
        what = {"preset": preset, "changes": set or None, "init": init}
        values = {"ranges": cli.parse_range(range), "noise_shift": cli.parse_noise_shift(noise_shift)}
        from unnoise.runs.plan import TrainOptions

        budget = _budget(minutes, steps, images)
        ending = {"budget": budget, "until_converged": until_converged or None}
        options = TrainOptions(**shape, **cost, **data, **groups, **values, **what, **ending)  # type: ignore[arg-type]
        run_training(source, out, options, stop, Invocation(device, resume, dry_run, profile, compile))


def _budget(minutes: float | None, steps: int | None, images: int | None) -> "Budget | None":
    from unnoise.runs.config import Budget

    amounts: dict[Literal["minutes", "steps", "images"], float | None]
    amounts = {"minutes": minutes, "steps": steps, "images": images}
    given = [Budget(unit=unit, amount=float(n)) for unit, n in amounts.items() if n is not None]
    if len(given) > 1:
        named = " and ".join(f"--{budget.unit} {budget.amount:g}" for budget in given)
        raise UnnoiseError(f"A run has one budget, but got {named}: keep one of them.")
    return given[0] if given else None
