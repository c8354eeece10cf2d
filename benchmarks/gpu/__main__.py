"""unnoise on a GPU: agreement with the CPU, bfloat16, speed, memory and growth.

    python -m benchmarks.gpu [--rehearse]      (or: make gpu, make gpu REHEARSE=1)

Runs on one CUDA device, within 25 minutes: what does not fit is left out, and named. Compiled steps come last,
since they take longest. A rehearsal does all of it with tiny amounts on the CPU, in a minute, and writes its
page into a temporary folder: its numbers mean nothing, but it shows that everything runs.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from benchmarks.gpu import charts, checks, speed
from benchmarks.report import MADE, made, publish
from unnoise.api.reporting import progress_bar, tell, tell_result
from unnoise.api.terminal import print_error
from unnoise.pictures import save_png
from unnoise.pictures.charts import painted

MINUTES = 25.0
NO_DEVICE = (
    "There is no CUDA device here: the page of GPUs is measured on a machine with one. Try everything but the "
    "figures on this machine by `make gpu REHEARSE=1`."
)
_CHARTS: dict[str, tuple[charts.Chart, tuple[float, float]]] = {
    "gpu-speed": (charts.draw_speed, (9.0, 4.2)),
    "gpu-growth": (charts.draw_growth, (9.0, 4.2)),
}


def measured_speeds(
    cases: list[speed.Case], amount: speed.Amount, device: torch.device, ends: float
) -> dict[speed.Case, speed.Speed | None]:
    """The speed of each case; None for those that did not fit into the time or the memory."""
    found: dict[speed.Case, speed.Speed | None] = {}
    with progress_bar("Training steps", len(cases)) as bar:
        for number, case in enumerate(cases, start=1):
            in_time = time.monotonic() < ends
            found[case] = speed.measure(case, amount, device) if in_time else None
            bar.update(number, f"{case.preset}, {case.side} px, {case.kind}")
    return found


@contextmanager
def place(folder: Path | None) -> Iterator[Path]:
    """The folder of the page, or a temporary one."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with nullcontext(folder) if folder is not None else tempfile.TemporaryDirectory() as where:
        yield Path(where)


def write(docs: Path, blocks: dict[str, str], found: dict[speed.Case, speed.Speed | None]) -> None:
    """Writes the page and its charts."""
    publish("gpu", __doc__, blocks, docs)
    for name, (draw, inches) in _CHARTS.items():
        path = docs / f"{name}.png"
        save_png(painted(lambda figure, draw=draw: draw(found, figure), inches), path)  # type: ignore[misc]
        tell_result("chart", path)


def measure_all(work: Path, docs: Path, *, rehearsal: bool) -> int:
    """Measures everything and writes the page; returns the exit code, 1 where a check failed."""
    started = time.monotonic()
    device = torch.device("cpu" if rehearsal else "cuda")
    amount = speed.REHEARSAL if rehearsal else speed.FULL
    training = checks.REHEARSAL if rehearsal else checks.FULL
    tell(f"Tests that need a GPU, on {device}:")
    tests = checks.device_tests("tests/diffusion/test_diffusion.py" if rehearsal else "tests")
    tell("Training in two precisions:")
    runs = checks.trained(work, training, device)
    agreement = checks.same_seeds(runs[0].run, device)
    # A rehearsal calls the functions of the compiler, which then compiles nothing.
    with torch.compiler.set_stance("force_eager") if rehearsal else nullcontext():
        found = measured_speeds(speed.cases(amount), amount, device, started + 60 * MINUTES)
    minutes = (time.monotonic() - started) / 60
    how = f"Took {minutes:.0f} minutes. Peak: {speed.peak_sentence(device)}."
    command = "--rehearse" if rehearsal else ""
    blocks = {
        MADE: made("gpu", command, how, device, ("diffusers",)),
        "tests": tests.sentence,
        "same-seeds": checks.agreement_table(agreement),
        "precision": checks.precision_table(runs),
        "speed": speed.speed_table(found),
        "growth": speed.growth_table(found),
    }
    write(docs, blocks, found)
    return 0 if tests.passed else 1


def main() -> None:
    """Refuses where there is no CUDA device, or measures and writes the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rehearse", action="store_true", help="everything but the figures, on the CPU")
    parser.add_argument("--docs", type=Path, help="folder of the page (default: docs; rehearsing: none)")
    options = parser.parse_args()
    if not options.rehearse and not torch.cuda.is_available():
        sys.exit(print_error(NO_DEVICE))
    folder = options.docs or (None if options.rehearse else Path("docs"))
    with tempfile.TemporaryDirectory() as work, place(folder) as docs:
        code = measure_all(Path(work), docs, rehearsal=options.rehearse)
    sys.exit(code)


if __name__ == "__main__":
    main()
