"""`unnoise restore`: larger, coloured or sharp, as the run's pictures are."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from unnoise.cli.console import say
from unnoise.cli.editing import (
    Editor,
    ImageFiles,
    Label,
    RunFolder,
    Save,
    Steps,
    check_places,
    difference,
    finish,
    save_results,
    watch,
)
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.data import Settings
    from unnoise.diffusion.editing import Operator
    from unnoise.diffusion.tensors import Images

Task = Literal["upscale", "colourise", "deblur"]


def restore(
    run: RunFolder,
    images: ImageFiles = (),
    /,
    task: Task = "upscale",
    factor: int = 4,
    sigma: float = 1.5,
    spoil: bool = False,
    held_out: int = 0,
    num_steps: Steps = None,
    num_solves: int = 3,
    noise: float = 0.005,
    label: Label = None,
    seed: int = 0,
    out: Annotated[Path | None, arg(metavar="PNG", help_behavior_hint="(default: RUN/restored.png)")] = None,
    save: Save = None,
    device: str = "auto",
) -> None:
    """Draws what a small, grey or blurred picture may have been, in agreement with all that is left of it.

    Args:
        run: The folder that unnoise train made.
        images: What is left: picture files, or .npy and .npz arrays of them.
        task: upscale (of small pictures), colourise (of grey ones), or deblur (of blurred ones).
        factor: Of upscale: how many times higher and wider the run's pictures are.
        sigma: Of deblur: how wide the blur is, in pixels.
        spoil: The images are whole: make them small, grey or blurred first, and compare.
        held_out: Instead of images, so many of the run's own pictures that it was not trained on, spoilt first.
        num_steps: Of the way from noise to picture.
        num_solves: How exactly each step weighs what is left; each is a pass back through the network.
        noise: How far what is left may be off, as a part of the full range; more for noisy pictures.
        label: The class, for a run that was trained with --labels.
        seed: Of the first picture's noises; other seeds draw other answers.
        out: The sheet.
        save: An .npz (array images, uint8, N x H x W x C), or a folder of PNGs.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.diffusion import editing

    editor = Editor.open(run, num_steps, device)
    loss = Loss.of(editor, task, factor, sigma)
    sheet = check_places(out or run / "restored.png", save)
    whole = spoil or held_out > 0
    names, pixels = editor.given(images, held_out, seed, None if whole else loss.settings)
    before = pixels.float() / 255
    left = (255 * loss.shown(before)).round() / 255 if whole else before
    draw = editor.noises(seed, len(names))
    measured, std = loss.measured(left).to(editor.denoiser.device), noise / loss.scale
    denoise = editing.conditioned(
        editor.of_class(label), loss.normalized, measured, measured_std=std, num_solves=num_solves
    )
    walk = editor.sampler(draw)(denoise, draw(), editor.num_steps, editor.schedule, times=editor.times)
    restored = editor.shown(watch(walk, editor.num_steps, "Restoring").images)
    say(f"What is left of the restored pictures differs by {difference(loss.shown(restored), left)}.")
    if whole:
        say(f"The restored pictures themselves differ by {difference(restored, before)}.")
    columns = {"before": before} if whole else {}
    finish("restored", {**columns, loss.name: enlarged(left, restored), "restored": restored}, sheet)
    save_results(save, names, restored)


def enlarged(left: "Images", like: "Images") -> "Images":
    """What is left in the size and channels of other pictures, pixel by pixel."""
    from torch.nn.functional import interpolate

    size = (like.shape[2], like.shape[3])
    return interpolate(left, size).expand_as(like)


@dataclass(frozen=True)
class Loss:
    """What happened to the pictures.

    Args:
        name: what they are now.
        shown: what happened, to pictures in [0, 1].
        normalized: the same, to normalised pictures.
        settings: how what is left is read.
        scale: of normalised numbers, in the range of pixels.
        means, stds: from the pixels that are left to normalised numbers.
    """

    name: str
    shown: "Operator"
    normalized: "Operator"
    settings: "Settings"
    scale: float
    means: tuple[float, ...]
    stds: tuple[float, ...]

    @classmethod
    def of(cls, editor: Editor, task: Task, factor: int, sigma: float) -> "Loss":
        """That of a task.

        Raises:
            UnnoiseError: for a factor that does not divide the pictures, a sigma that is no width, or a run
                whose pictures have no colours to find.
        """
        from unnoise.diffusion.editing import LUMA, Blur, Downsample, Grey

        channels, height, width = editor.denoiser.image_shape
        own, normalizer = editor.settings, editor.denoiser.normalizer
        means, stds = (
            values * channels if len(values) == 1 else values for values in (normalizer.mean, normalizer.std)
        )
        scale = sum(stds) / len(stds)
        if task == "upscale":
            smaller = Downsample(factor)
            smaller.require_fits(height, width)
            size = (height // factor, width // factor)
            return cls("small", smaller, smaller, replace(own, size=size), scale, means, stds)
        if task == "deblur":
            blur = Blur(sigma)
            return cls("blurred", blur, blur, own, scale, means, stds)
        if channels != 3:
            raise UnnoiseError(
                f"A picture is coloured by a run that knows red, green and blue, but this one's have "
                f"{channels} channel{'s' * (channels > 1)}: choose upscale or deblur."
            )
        weights = tuple(weight * std for weight, std in zip(LUMA, stds, strict=True))
        mean = sum(weight * value for weight, value in zip(LUMA, means, strict=True))
        return cls("grey", Grey(LUMA), Grey(weights), replace(own, channels=1), 1.0, (mean,), (1.0,))

    def measured(self, left: "Images") -> "Images":
        """What is left, in [0, 1], in the numbers that `normalized` gives."""
        mean, std = (left.new_tensor(values).view(1, -1, 1, 1) for values in (self.means, self.stds))
        measured: Images = (left - mean) / std
        return measured
