"""`unnoise train`: train a model on a folder of pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from unnoise.api.effects import refuse_without_effect
from unnoise.api.profile_report import silence_profiler
from unnoise.api.stopping import StopSignals
from unnoise.api.training import Invocation, run_training
from unnoise.cli import arguments as cli
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.runs.config import Budget
    from unnoise.runs.plan import TrainOptions
    from unnoise.trainer.compiler import CompileChoice


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
    precision: cli.Precision = None,
    accumulate: Annotated[int | None, cli.option("N", "1")] = None,
    split_folders: cli.SplitFolders = False,
    deterministic: cli.Flag = False,
    checkpoint_activations: cli.Flag = False,
    labels: cli.Labels = None,
    strict_labels: cli.StrictLabels = False,
    until_converged: cli.Flag = False,
    set: Annotated[tuple[str, ...], cli.option("PATH=VALUE ...", "no changes")] = (),  # noqa: A002 (that is its name)
    dry_run: cli.Flag = False,
    profile: cli.Flag = False,
    compile: Annotated[cli.Flag, cli.option(None, "on a GPU where it pays")] = False,  # noqa: A002 (the same)
    no_compile: cli.Flag = False,
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
        accumulate: Split each batch into this many parts: the same training in less memory, but slower. Where
            memory runs out, a run doubles it by itself.
        deterministic: On CUDA, take deterministic kernels alone: equal seeds then give equal bits, but slower.
        checkpoint_activations: Compute activations again in the backward pass instead of keeping them: the same
            training in much less memory, for about a third more time. For deep networks and large pictures.
        until_converged: Stop as soon as neither samples nor the held-out loss improve; --minutes is then the
            longest it may take (480 if left out).
        set: Change settings of the preset, for example objective.loss=l1 network.block=convnext. --dry-run
            shows all of them.
        dry_run: Print the settings (config.json) and stop, without training.
        profile: Measure some early steps: where their time goes, and a trace to look at in ui.perfetto.dev.
        compile: Compile the network first. Steps are then faster, but compiling takes minutes the first time.
        no_compile: Never compile the network. Without either, a run on a CUDA GPU compiles where the budget is
            long enough for that to pay.
    """
    silence_profiler()
    if dry_run:
        unused = {"resume": resume, "profile": profile, "compile": compile, "no_compile": no_compile}
        refuse_without_effect(unused, "with --dry-run, which shows a new run and trains nothing")
    if labels is None and not resume:
        refuse_without_effect({"strict_labels": strict_labels}, "without --labels", cli.LABELS_REMEDY)
    shape = {"size": cli.parse_size(size), "channels": channels, "labels": labels, "batch_size": batch_size}
    data = {"flip": flip, "held_out": held_out, "layout": layout, "background": cli.parse_colour(background)}
    groups = {"split_folders": split_folders, "strict_labels": strict_labels, "deterministic": deterministic}
    use = {"accumulate": accumulate, "checkpoint_activations": checkpoint_activations, "precision": precision}
    with StopSignals(graceful=False) as stop:  # before anything slow, such as importing PyTorch
        what = {"preset": preset, "changes": set, "init": init, "fit": fit, "ranges": cli.parse_range(range)}
        shift = {"noise_shift": cli.parse_noise_shift(noise_shift)}
        ends = {"budget": _budget(minutes, steps, images), "until_converged": until_converged, "seed": seed}
        chosen = _options(shape, use, data, groups, what, shift, ends)
        faster = _choice(asked=compile, refused=no_compile)
        run_training(source, out, chosen, stop, Invocation(device, resume, dry_run, profile, faster))


def _options(*parts: Mapping[str, object]) -> "TrainOptions":
    """The options that were given: a flag that was not, and an empty list, leave the choice to the run."""
    from unnoise.runs.plan import TrainOptions

    pairs = [pair for part in parts for pair in part.items()]
    given = {name: value for name, value in pairs if value is not False and value != ()}
    return TrainOptions(**given)  # type: ignore[arg-type]


def _choice(*, asked: bool, refused: bool) -> "CompileChoice":
    require(not (asked and refused), "--compile and --no-compile contradict each other: keep one of them.")
    return "always" if asked else "never" if refused else "auto"


def _budget(minutes: float | None, steps: int | None, images: int | None) -> "Budget | None":
    from unnoise.runs.config import Budget

    amounts: dict[Literal["minutes", "steps", "images"], float | None]
    amounts = {"minutes": minutes, "steps": steps, "images": images}
    given = [Budget(unit=unit, amount=float(n)) for unit, n in amounts.items() if n is not None]
    if len(given) > 1:
        named = " and ".join(f"--{budget.unit} {budget.amount:g}" for budget in given)
        raise UnnoiseError(f"A run has one budget, but got {named}: keep one of them.")
    return given[0] if given else None
