"""A report tells all about one run: what became of it first, how it was made last."""

import shlex
from pathlib import Path

from unnoise.reports.curves import levels_chart, loss_chart, quality_chart
from unnoise.reports.figures import between, count, duration, number, percent
from unnoise.reports.folders import Folder
from unnoise.reports.measures import colours, likelihood, memorisation, scores
from unnoise.reports.page import (
    Beside,
    Cell,
    Chart,
    Code,
    Facts,
    Folded,
    Heading,
    Page,
    Picture,
    Section,
    Table,
    Text,
    Verdicts,
)
from unnoise.reports.settings import command
from unnoise.reports.verdicts import verdicts


def report(folder: Folder) -> Page:
    """The page of one run."""
    sections: list[Section] = []
    said = verdicts(folder)
    if said:
        sections.append(Verdicts(tuple(said)))
    measured = folder.evaluation
    parts = {
        "Samples": _samples(folder),
        "Training": _charts(loss_chart(folder), levels_chart(folder)),
        "Quality": [*scores(measured.quality), *_charts(quality_chart(folder)), *_quality_table(folder)],
        "Likelihood": likelihood(measured.bits_per_dim),
        "Copies": memorisation(measured.memorisation, folder),
        "Colours": colours(measured.colours),
        "Not measured": _missing(folder),
        "How it was made": _made(folder),
    }
    for title, part in parts.items():
        if part:
            sections += [Heading(title), *part]
    return Page(folder.name, _lead(folder), tuple(sections))


def described(folder: Folder) -> str:
    """The pictures of a run in a few words."""
    data = folder.run.config.data
    kinds = {1: "grey", 2: "grey with transparency", 3: "colour", 4: "colour with transparency"}
    kind = kinds.get(data.channels, f"{data.channels} channels")
    return f"{Path(data.source).name or data.source}, {data.height} × {data.width} pixels, {kind}"


def _lead(folder: Folder) -> str:
    start = f"{described(folder)}; preset {folder.run.config.preset}"
    if folder.last is None:
        return f"{start}; not trained yet."
    last = folder.last
    return f"{start}; {count(last.step, 'step')}, {count(last.images, 'image')}, {duration(last.seconds)}."


def _samples(folder: Folder) -> list[Section]:
    shown: list[Picture] = []
    drawn = folder.picture("evaluation/samples.png")
    if drawn is not None:
        alt = f"A sheet of the samples by which {folder.name} was evaluated."
        shown.append(Picture(drawn, alt=alt, caption="Drawn by the evaluation."))
    newest = folder.newest_sheet
    sheet = folder.picture(newest.relative_to(folder.run.path)) if newest else None
    if newest and sheet is not None:
        when = f"after {count(int(newest.stem), 'step')}" if newest.stem.isdecimal() else "in training"
        caption = f"Drawn {when}: the same seeds all along the training."
        shown.append(Picture(sheet, alt=f"A sheet of samples of {folder.name} {when}.", caption=caption))
    return [Beside(tuple(shown))] if shown else []


def _charts(*charts: Chart | None) -> list[Section]:
    return [chart for chart in charts if chart is not None]


def _quality_table(folder: Folder) -> list[Section]:
    """The numbers of the chart."""
    if not folder.quality:
        return []
    rows = []
    for row in folder.quality:
        cost = (f"{row.step:,}", f"{row.images:,}", duration(row.seconds))
        quality = (number(row.kid), between(row.low, row.high))
        rows.append(tuple(map(Cell, (*cost, *quality, percent(row.copied), number(row.nearer)))))
    titles = ("step", "images", "time", "KID", "95% interval", "copies", "nearer")
    return [Folded("The numbers of this chart", (Table(titles, tuple(rows)),))]


def _missing(folder: Folder) -> list[Section]:
    """One line for whatever is missing: how to get it."""
    path = folder.run.path
    known, lines = folder.evaluation, list[Section]()
    parts = {
        "scores": known.quality,
        "bits/dim": known.bits_per_dim,
        "whether it copies": known.memorisation,
        "colours": known.colours,
    }
    absent = [name for name, part in parts.items() if not part]
    if absent:
        lines.append(Text(f"{_listed(absent)}:", shlex.join(["unnoise", "evaluate", str(path)])))
    on_the_way = {
        "loss": folder.history,
        "samples on the way": folder.newest_sheet,
        "KID in training": folder.quality,
        "loss at each noise level": folder.levels,
    }
    absent = [name for name, part in on_the_way.items() if not part]
    if absent:
        budget, source = folder.run.config.budget, folder.run.config.data.source
        more = [f"--{budget.unit}", f"{2 * budget.amount:g}"]
        words = ["unnoise", "train", source, "--out", str(path), "--resume", *more]
        lines.append(Text(f"{_listed(absent)}, measured where training takes long enough:", shlex.join(words)))
    return lines


def _listed(names: list[str]) -> str:
    text = ", ".join(names)
    return text[0].upper() + text[1:]


def _made(folder: Folder) -> list[Section]:
    config = folder.run.config
    recipe, data = config.recipe, config.data
    facts = [
        ("pictures", described(folder)),
        ("held out", count(data.held_out, "picture")),
        (
            "network",
            f"{type(recipe.network).__name__.removesuffix('Config')}, {folder.parameters:,} parameters",
        ),
        ("schedule", type(recipe.schedule).__name__),
        ("predicts", f"{recipe.objective.predicts}, compared as {recipe.objective.compares}"),
        ("optimizer", f"{recipe.optimizer.name}, learning rate {number(recipe.optimizer.learning_rate)}"),
        ("batch", count(recipe.batch_size, "image")),
        ("sampling", f"{recipe.sampling.sampler}, {count(recipe.sampling.num_steps, 'step')}"),
        ("seed", str(config.seed)),
    ]
    if data.classes:
        facts.insert(1, ("classes", f"{len(data.classes):,}"))
    if folder.last is not None and folder.last.seconds > 0:
        facts.append(("speed", f"{folder.last.images / folder.last.seconds:,.0f} images/s"))
    return [
        Facts(tuple(facts)),
        Text("The same again:"),
        Code(command(config), wraps=True),
        Folded("config.json", (Code(config.to_json()),)),
    ]
