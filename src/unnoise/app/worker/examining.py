"""Tasks that explain and examine: the forward process, schedules, and the data doctor."""

from typing import Any

from unnoise import api
from unnoise.api.doctor_report import cost_facts, picture_facts, plan_facts
from unnoise.app.worker.drawing import open_run
from unnoise.app.worker.editing import input_picture
from unnoise.app.worker.folder import TaskFolder
from unnoise.app.workspace import Workspace
from unnoise.pictures import save_png

_SHOWN_FINDINGS, _SHOWN_PICTURES = 20, 6


def forward(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """A picture with noise of one level, and what the run predicts there."""
    run = open_run(task, workspace)
    picture = input_picture(task, run)
    words = {
        "time": task.word("time", 0.5),
        "seed": task.word("seed", 0),
        "label": task.word("label"),
        "best": task.word("best", False),
    }
    step = api.forward_step(run, picture, **words)
    difference = 0.5 + (step.predicted - step.clean) / 2
    shown = {
        "clean": step.clean,
        "noise": step.noise,
        "noisy": step.noisy,
        "predicted": step.predicted,
        "predicted_noise": step.predicted_noise,
        "difference": difference,
    }
    for name, images in shown.items():
        task.save_pictures(images, [name])
    numbers = ("time", "noise_rate", "signal_rate", "error", "noise_error")
    return {name: getattr(step, name) for name in numbers}


def schedules(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """A schedule as curves."""
    if task.word("run"):
        return api.schedule_curve(open_run(task, workspace))._asdict()
    rates = {name: task.word(name) for name in ("min_signal_rate", "max_signal_rate")}
    return api.schedule_curve(task.word("schedule", "offset_cosine"), **rates)._asdict()


def checkup(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """What the data doctor finds, with thumbnails, and what it proposes."""
    words = {
        "size": task.word("size"),
        "minutes": task.word("minutes", 10.0),
        "measure": not task.word("busy"),
    }
    found = api.checkup(str(task.needed("pictures")), **words, progress=task.progress)
    examined, images = found.examined, found.examined.images
    save_png(found.sheet(), task.add("sheet.png"))
    findings = []
    for number, finding in enumerate(examined.findings[:_SHOWN_FINDINGS]):
        known = found.places_of(finding)[:_SHOWN_PICTURES]
        files = [f"finding-{number}-{place}" for place in range(len(known))]
        saved = task.save_pictures(images.take(known).float() / 255, files) if known else []
        findings.append(
            {"kind": finding.kind, "text": finding.text, "serious": finding.serious, "pictures": saved}
        )
    data = examined.config.data
    proposal = {
        "height": data.height,
        "width": data.width,
        "channels": data.channels,
        "preset": examined.config.preset,
        "why": [list(fact) for fact in plan_facts(examined).items()],
    }
    return {
        "facts": [list(fact) for fact in picture_facts(examined).items()],
        "findings": findings,
        "proposal": proposal,
        "speed": examined.speed.images_per_second if examined.speed else None,
        "forecast": [list(fact) for fact in cost_facts(examined).items()],
    }
