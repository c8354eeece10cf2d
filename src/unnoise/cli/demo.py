"""`unnoise demo`: two minutes from nothing to drawn digits."""

from pathlib import Path

from unnoise.cli.console import result, say
from unnoise.errors import require


def demo(out: Path = Path("demo"), minutes: float = 2.0, seed: int = 0, device: str = "auto") -> None:
    """Learns to draw digits from 1,797 handwritten ones, and shows how.

    Leaves a contact sheet, an animation of the reverse process, and one of digits that turn into one another.

    Args:
        out: The folder for all of it; an earlier demo there is replaced.
        minutes: How long to train.
        seed: Of the training.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.checkpoint import Run
    from unnoise.cli.generate import generate_with_bar, save_images, save_reverse_process
    from unnoise.cli.morph import save_morph
    from unnoise.cli.train import run_training
    from unnoise.config import Budget
    from unnoise.plan import Wishes
    from unnoise.training import choose_device

    path = out / "run"
    if (path / "config.json").exists():
        earlier = Run.open(path)
        require(
            earlier.config.data.source == "digits",
            f"{path} holds a run on {earlier.config.data.source}, which a demo won't replace: name another.",
        )
        earlier.remove()
    # At twice their 8 x 8 pixels the same digits are far easier to read, and patches cost nothing more.
    wishes = Wishes(size=(16, 16), seed=seed, budget=Budget(unit="minutes", amount=minutes))
    run = run_training("digits", path, wishes, device=device)
    assert run is not None, "only a dry run makes none"
    diffusion, steps = run.load(choose_device(device)), run.config.recipe.num_steps
    say("Drawing ...")
    sheet, reverse, loop = out / "digits.png", out / "reverse.gif", out / "morph.gif"
    save_images(generate_with_bar(diffusion, diffusion.noises(range(100))(), steps), sheet, 0)
    save_reverse_process(diffusion, range(16), steps, reverse)
    save_morph(diffusion, tuple(range(6)), 90, steps, loop)
    result("contact sheet", sheet)
    result("reverse process", reverse)
    result("morph", loop)
