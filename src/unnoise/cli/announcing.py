"""Before a step is spent, a person reads what training will do, and with what."""

from typing import TYPE_CHECKING

from unnoise.cli.console import count, say

if TYPE_CHECKING:
    from unnoise.data import ImageSet
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.plan import Wishes

_NAMED = 10


def announce(images: "ImageSet", run: "Run", device: str) -> None:
    """What was read and what was left out, what will be trained, and what the data doctor minds."""
    from unnoise.utils.files import atomic_write

    for skipped in images.skipped[:_NAMED]:
        say(f"Skipped {skipped.name}: {skipped.reason}")
    if images.skipped:
        with atomic_write(run.path / "skipped.txt") as file:
            file.write_text("".join(f"{one.name}: {one.reason}\n" for one in images.skipped), "utf-8")
    if len(images.skipped) > _NAMED:
        left = count(len(images.skipped) - _NAMED, "file")
        say(f"... and {left} more that could not be read: {run.path / 'skipped.txt'} names them all.")
    config = run.config
    classes = f", {len(config.data.classes):,} classes" if config.data.classes else ""
    say(
        f"{count(len(images), 'picture')} of {images.height} x {images.width}, "
        f"{count(images.channels, 'channel')}, {config.data.held_out:,} of them held out"
        f"{classes}; "
        f"preset {config.preset} on {device} for {config.budget.amount:g} {config.budget.unit}, into {run.path}"
    )
    if not run.states():  # a run that goes on has been told
        from unnoise.reports.doctor import in_brief

        for sentence in in_brief(images, config):
            say(sentence)


def announce_choice(images: "ImageSet", wishes: "Wishes", device_type: str) -> None:
    """Why this preset, where none was named."""
    from unnoise.runs.plan import chosen_preset

    choice = chosen_preset(images, wishes, device_type)
    if choice is not None:
        say(f"Preset {choice.name}: {choice.why}")
