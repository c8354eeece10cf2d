"""Tasks that explain and examine: the forward process, schedules, and the data doctor."""

from typing import Any

from unnoise import api
from unnoise.api.doctor_report import cost_facts, picture_facts, plan_facts
from unnoise.app.worker.drawing import open_run
from unnoise.app.worker.editing import input_picture
from unnoise.app.worker.folder import TaskFolder
from unnoise.app.workspace import Workspace

_SHOWN_FINDINGS, _SHOWN_PICTURES, _SIDE = 20, 6, 96


def forward(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """A picture with noise of one level, and what the run predicts there."""
    run, request = open_run(task, workspace), task.request
    picture = input_picture(task, run)
    words = {
        "time": request.get("time", 0.5),
        "seed": request.get("seed", 0),
        "label": request.get("label") or None,
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
    request = task.request
    if request.get("run"):
        return api.schedule_curve(open_run(task, workspace))._asdict()
    rates = {name: request.get(name) for name in ("min_signal_rate", "max_signal_rate")}
    return api.schedule_curve(request.get("schedule", "offset_cosine"), **rates)._asdict()


def checkup(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """What the data doctor finds, with thumbnails, and what it proposes."""
    request = task.request
    words = {
        "size": request.get("size"),
        "minutes": request.get("minutes", 10.0),
        "measure": not request.get("busy"),
    }
    found = api.checkup(request["pictures"], **words, progress=task.progress)
    examined, images = found.examined, found.examined.images
    found.sheet().save(task.add("sheet.png"))
    places = {name: place for place, name in enumerate(examined.names)}
    findings = []
    for number, finding in enumerate(examined.findings[:_SHOWN_FINDINGS]):
        known = [places[name] for name in finding.names if name in places][:_SHOWN_PICTURES]
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
