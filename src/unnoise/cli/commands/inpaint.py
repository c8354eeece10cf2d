"""`unnoise inpaint`: a part of a picture, drawn anew."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from unnoise.cli.editing import (
    BACKGROUND_GREY,
    Editor,
    ImageFiles,
    Label,
    RunFolder,
    Save,
    Steps,
    check_places,
    finish,
    save_results,
    watch,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unnoise.diffusion.editing import Masks

Mask = Annotated[Path | None, arg(metavar="MASK", help_behavior_hint="(default: the middle is drawn anew)")]


def inpaint(
    run: RunFolder,
    images: ImageFiles = (),
    /,
    mask: Mask = None,
    held_out: int = 0,
    num_steps: Steps = None,
    repeats: int = 3,
    jump_length: int = 5,
    label: Label = None,
    seed: int = 0,
    out: Annotated[Path | None, arg(metavar="PNG", help_behavior_hint="(default: RUN/inpainted.png)")] = None,
    save: Save = None,
    device: str = "auto",
) -> None:
    """Draws what a mask hides, so that it fits; every pixel that the mask shows stays exactly as it is.

    Args:
        run: The folder that unnoise train made.
        images: Picture files, or .npy and .npz arrays of them; cut and scaled as the run's own were.
        mask: A picture of the same size: white stays, black is drawn anew.
        held_out: Instead of images, so many of the run's own pictures that it was not trained on.
        num_steps: Of the way from noise to picture.
        repeats: How often each step is taken; more fits better, and takes longer.
        jump_length: How many steps are taken together before they are repeated.
        label: The class, for a run that was trained with --labels.
        seed: Of the first picture's noises; other seeds draw other fillings.
        out: The sheet.
        save: An .npz (array images, uint8, N x H x W x C), or a folder of PNGs.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.diffusion import editing

    editor = Editor.open(run, num_steps, device)
    sheet = check_places(out or run / "inpainted.png", save)
    names, pixels = editor.given(images, held_out, seed)
    known = chosen_mask(editor, mask, images)
    draw = editor.noises(seed, len(names))
    walk = editing.inpaint(
        editor.of_class(label),
        editor.normalized(pixels),
        known.expand(len(names), -1, -1, -1).to(editor.denoiser.device),
        draw(),
        editor.num_steps,
        editor.schedule,
        jump_length=jump_length,
        repeats=repeats,
        times=editor.times,
        draw_noises=draw,
    )
    drawn = editor.shown(watch(walk, repeats * editor.num_steps, "Inpainting").images)
    before = pixels.float() / 255
    after = drawn.where(~known, before)  # exact also after normalizing there and back
    finish("inpainted", {"before": before, "mask": before.where(known, BACKGROUND_GREY), "after": after}, sheet)
    save_results(save, names, after)


def chosen_mask(editor: Editor, path: Path | None, images: "Sequence[Path]") -> "Masks":
    """What is kept, (1, 1, H, W): the white of the file, or all but the middle, half as high and as wide."""
    import torch

    from unnoise.data import picture_size, read_mask

    height, width = editor.settings.known_size()
    if path is None:
        known = torch.ones(1, 1, height, width, dtype=torch.bool)
        known[..., height // 4 : height - height // 4, width // 4 : width - width // 4] = False
        return known
    drawn_over = [picture_size(image) for image in images if image.suffix.lower() not in {".npy", ".npz"}]
    own = (height, width)
    # A mask that was drawn over one picture fits all others only if these are as large.
    sizes = [drawn_over[0], own] if len(set(drawn_over)) == 1 else [own]
    return torch.from_numpy(read_mask(path, editor.settings, sizes)).view(1, 1, height, width)
