"""`unnoise info`: examine pictures before training, or show what a run holds."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from unnoise import api
from unnoise.api import tell_output, tell_result
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(
    api.checkup,
    ("source", "measure"),
    explained_by=api.train,
    **cli.READING,
    minutes=cli.option("MINUTES", "10"),
    batch_size=cli.BATCH_SIZE,
    preset=cli.PRESET,
    device=cli.DEVICE,
    devices=cli.option("N", "1"),
    flip=cli.FLAG,
    out=cli.option("PNG", "no sheet"),
)
def info(
    what: Annotated[str, Positional, arg(metavar="PICTURES|RUN")],
    /,
    no_measure: cli.Flag = False,
    **options: object,
) -> None:
    """Examine pictures before training on them, or show how far a run has come.

    Of pictures it prints counts, formats and sizes, names those that are unreadable, blank, odd or duplicates,
    and estimates memory, disk and time on this machine by training for a second. It ends with the command to
    train, and writes nothing but the sheet.

      unnoise info photos --minutes 60 --out sheet.png
      unnoise info runs/photos

    Args:
        what: Anything that unnoise train takes, or the folder of a run, to which no options apply.
        no_measure: Skip the second of training, and with it the estimates of time and memory.
    """
    if api.is_run(what):
        changed = cli.changed(api.checkup, options)
        where, remedy = f"for a run such as {what}", f"unnoise report {what} shows what it has learned."
        api.refuse_without_effect({"out": changed.pop("out", None)}, where, remedy)
        api.refuse_without_effect(changed | {"no_measure": no_measure}, where)
        tell_output(*api.run_facts(api.open_run(what)).parts)
        return
    tell_output(*api.checkup(what, measure=not no_measure, **options).parts)  # type: ignore[arg-type]
    if options["out"] is not None:
        tell_result("sheet", Path(str(options["out"])))
