"""Pictures to train on: read in one shape, with what was found; in a notebook they show themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unnoise.api.drawing import png_bytes
from unnoise.api.effects import is_given
from unnoise.api.loading import load_pictures
from unnoise.api.output_paths import check_sheet
from unnoise.api.reporting import Progress, count, progress_bar, reporter, reporting
from unnoise.api.shown import Findings
from unnoise.api.train_options import train_options
from unnoise.api.words import Colour, Range, Size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from unnoise.data import ImageSet
    from unnoise.diffusion.tensors import Pixels
    from unnoise.reports.doctor import Checkup as Examined
    from unnoise.reports.doctor import Finding

_SHOWN = 48
_OF_LOAD = frozenset({"source", "progress"})
_OF_CHECKUP = frozenset({"source", "device", "measure", "out", "progress"})


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one shape, as `load` read them.

    Args:
        source: where they come from.
        images: the pictures, decoded.
        words: how they were read, as `load` was told.
    """

    source: str
    images: "ImageSet"
    words: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: "NDArray[np.integer] | Sequence[int]") -> "Pixels":
        """The pictures with these indices: uint8 (B, C, H, W)."""
        return self.images.take(indices)

    @property
    def labels(self) -> "NDArray[np.int64] | None":
        """The class of each picture, (N,), as an index into `class_names`; None if no labels were asked for.

        A picture without a class has the index `len(class_names)`.
        """
        return self.images.labels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.images.class_names

    def sheet(self) -> "Image":
        """A contact sheet of up to 48 of the pictures, chosen at random."""
        import numpy as np

        from unnoise import pictures

        chosen = np.sort(np.random.default_rng(0).permutation(len(self))[:_SHOWN])
        return pictures.grid(self.take(chosen).float() / 255)

    def checkup(self, *, minutes: float = 10.0, measure: bool = False) -> "Checkup":
        """What the data doctor finds; see `checkup`."""
        return checkup(self.source, minutes=minutes, measure=measure, **self.words)

    def __repr__(self) -> str:
        images = self.images
        facts = [
            f"{count(len(images), 'picture')} of {images.height} x {images.width}, "
            f"{count(images.channels, 'channel')}, from {self.source}"
        ]
        if images.class_names:
            without = f", {images.without_class:,} without one" if images.without_class else ""
            facts.append(f"{count(len(images.class_names), 'class')}{without}".replace("classs", "classes"))
        if images.skipped:
            facts.append(f"{count(len(images.skipped), 'file')} could not be read")
        facts += [sentence for sentence in (images.left_out, *images.notes) if sentence]
        return "\n".join(facts)

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        return {"text/plain": repr(self), "image/png": png_bytes(self.sheet())}


def load(
    source: str | Path,
    *,
    size: Size | None = None,
    channels: int | None = None,
    fit: Literal["crop", "pad"] | None = None,
    background: Colour | None = None,
    range: Range = (),  # noqa: A002 (that is its name)
    layout: str | None = None,
    labels: str | Path | bool | None = None,
    strict_labels: bool = False,
    split_folders: bool = False,
    progress: Progress | None = None,
) -> Pictures:
    """Reads pictures in one shape; they are decoded once, and then cached.

    Args:
        source: a folder of pictures (with its subfolders), a .zip, .npy, .npz or IDX file, or one of the names
            digits and fashion-mnist.
        size, channels, fit, background, range, layout, labels, strict_labels, split_folders: as for `train`.
        progress: called with the fraction that is done, and what is being done.

    Raises:
        UnnoiseError: for pictures that can't be read, and words that do not apply to them.
    """
    words = {name: value for name, value in locals().items() if name not in _OF_LOAD and is_given(value)}
    if labels is True or isinstance(labels, Path):  # False is no word, and leaves them out
        words["labels"] = "auto" if labels is True else str(labels)
    with reporting(progress):
        return Pictures(str(source), load_pictures(str(source), train_options(words)), words)


class Checkup(Findings):
    """Tables of what the data doctor found, and a sheet of the pictures that they speak of."""

    def __init__(self, examined: "Examined") -> None:
        from unnoise.api.doctor_report import checkup_parts

        super().__init__(checkup_parts(examined))
        self.examined = examined

    def sheet(self) -> "Image":
        """Pictures as training would see them, and duplicates."""
        from unnoise.reports.doctor import checkup_sheet

        return checkup_sheet(self.examined)

    def places_of(self, finding: "Finding") -> list[int]:
        """The indices of the pictures that a finding is about, of copies the first two of each group.

        None of those that could not be read.
        """
        copies = {"exact copies": self.examined.copies.exact, "near copies": self.examined.copies.near}
        if finding.kind in copies:
            return [place for group in copies[finding.kind] for place in group[:2]]
        known = {name: place for place, name in enumerate(self.examined.names)}
        return [known[name] for name in finding.names if name in known]


def checkup(
    source: str | Path,
    *,
    minutes: float = 10.0,
    size: Size | None = None,
    channels: int | None = None,
    batch_size: int | None = None,
    preset: str | None = None,
    device: str = "auto",
    devices: int = 1,
    fit: Literal["crop", "pad"] | None = None,
    background: Colour | None = None,
    range: Range = (),  # noqa: A002 (that is its name)
    layout: str | None = None,
    flip: bool = False,
    split_folders: bool = False,
    labels: str | Path | None = None,
    strict_labels: bool = False,
    measure: bool = True,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Checkup:
    """Examines pictures before training on them.

    Counts, formats and sizes; pictures that are unreadable, blank, odd or duplicates; memory, disk and time on
    this machine, by training for a second.

    Args:
        source: as for `train`.
        minutes: How long you would train, in minutes.
        devices: How many such devices train together, by torchrun.
        measure: whether to train for the second, without which time and memory stay unknown.
        out: Where to write a sheet of pictures as training would see them, and of duplicates.
        size, channels, batch_size, preset, device, fit, background, range, layout, flip, labels: as for
            `train`.
        split_folders, strict_labels: as for `train`.
        progress: called with the fraction that is done, and what is being done.

    Raises:
        UnnoiseError: for pictures that can't be read, and options that cannot be met.
    """
    words = {name: value for name, value in locals().items() if name not in _OF_CHECKUP and is_given(value)}
    from unnoise.pictures import save_png

    sheet = None if out is None else check_sheet(Path(out))
    with reporting(progress):
        found = Checkup(_examined(str(source), words, device, measure=measure))
    if sheet is not None:
        save_png(found.sheet(), sheet)
    return found


def _examined(source: str, words: dict[str, Any], device: str, *, measure: bool) -> "Examined":
    """What the data doctor knows, with a progress bar."""
    from unnoise.data import summarize
    from unnoise.reports.doctor import examine

    options = train_options(words)
    summary = summarize(source, layout=options.layout, progress=reporter().reading)
    images = load_pictures(source, options)  # as training will, which then finds them in the cache
    with progress_bar("Examining", 1.0) as bar:

        def follow(task: str, part: float) -> None:
            bar.update(part or 0.0, task)

        return examine(summary, images, options, device=device, measure=measure, progress=follow)
