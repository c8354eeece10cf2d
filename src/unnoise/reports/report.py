"""Report page of one run: verdicts, samples, curves, scores, and how it was trained."""

import shlex
from pathlib import Path

from unnoise.reports.curves import best_quality, kid_name, levels_chart, loss_chart, quality_chart
from unnoise.reports.evaluation_tables import colours, likelihood, memorisation, scores
from unnoise.reports.number_text import between, count, duration, number, percent
from unnoise.reports.page import (
    Cell,
    Chart,
    Code,
    Details,
    Facts,
    Heading,
    Page,
    Picture,
    PictureRow,
    Section,
    Table,
    Text,
    Tone,
    Verdict,
    Verdicts,
)
from unnoise.reports.run_folder import RunFolder
from unnoise.reports.settings import train_command

_RISEN = 1.05
"""A last held-out loss of more than this times the lowest is called overfitting."""


def report(folder: RunFolder) -> Page:
    """The report page of a run."""
    sections: list[Section] = []
    found = verdicts(folder)
    if found:
        sections.append(Verdicts(tuple(found)))
    measured = folder.evaluation
    parts = {
        "Samples": _samples(folder),
        "Training": _charts(loss_chart(folder), levels_chart(folder)),
        "Quality": [*scores(measured.quality), *_charts(quality_chart(folder)), *_quality_table(folder)],
        "Likelihood": likelihood(measured.bits_per_dim),
        "Copies": memorisation(measured.memorisation, folder),
        "Colours": colours(measured.colours),
        "Not measured yet": _missing(folder),
        "How it was trained": _training_settings(folder),
    }
    for title, part in parts.items():
        if part:
            sections += [Heading(title), *part]
    return Page(folder.name, _lead(folder), tuple(sections))


def described(folder: RunFolder) -> str:
    """Source, size and colour of a run's pictures, in a few words."""
    data = folder.run.config.data
    kinds = {1: "grey", 2: "grey with transparency", 3: "colour", 4: "colour with transparency"}
    kind = kinds.get(data.channels, f"{data.channels} channels")
    return f"{Path(data.source).name or data.source or 'none yet'}, {data.height} × {data.width} pixels, {kind}"


def _lead(folder: RunFolder) -> str:
    start = f"{described(folder)}; preset {folder.run.config.preset}"
    if folder.last is None:
        return f"{start}; not trained yet."
    last = folder.last
    return f"{start}; {count(last.step, 'step')}, {count(last.images, 'image')}, {duration(last.seconds)}."


def verdicts(folder: RunFolder) -> list[Verdict]:
    """Main findings about a run: loss, quality, copies and colours, as far as measured."""
    known = folder.evaluation
    found = [_loss(folder), _training_quality(folder), _score(folder)]
    if known.memorisation and known.memorisation.verdict:
        found.append(Verdict("Copies", known.memorisation.verdict, _tone(known.memorisation.verdict)))
    if known.colours and known.colours.verdict:
        found.append(Verdict("Colours", known.colours.verdict))
    return [verdict for verdict in found if verdict is not None]


def _tone(sentence: str) -> Tone:
    # Sentences of the evaluation begin with "No sign of copying: ..." or "It copies: ...".
    start = sentence.lower()
    return "good" if start.startswith("no ") else "bad" if start.startswith("it copies") else "plain"


def _loss(folder: RunFolder) -> Verdict | None:
    if not folder.held_out:
        return None
    (_, last), (best, lowest) = folder.held_out[-1], min(folder.held_out, key=lambda pair: pair[1])
    if last <= lowest or len(folder.held_out) == 1:
        when = "the lowest so far" if len(folder.held_out) > 1 else "measured once"
        return Verdict("Held-out loss", f"{number(last)}, {when}.", "good" if last <= lowest else "plain")
    text = f"{number(last)}; its lowest was {number(lowest)}, after {count(best.step, 'step')}"
    if last - lowest < (_RISEN - 1) * abs(lowest):  # a loss with uncertainties may be below 0
        return Verdict("Held-out loss", f"{text}: it has levelled off.")
    learned = "the walks that it learns from" if folder.run.config.distilled else "its pictures"
    return Verdict("Held-out loss", f"{text}: the model now memorises {learned}.", "bad")


def _training_quality(folder: RunFolder) -> Verdict | None:
    if not folder.quality:
        return None
    last, best = folder.quality[-1], best_quality(folder.quality)
    title = f"{kid_name(last.extractor)} during training"
    if last.kid <= best.kid:
        return Verdict(title, f"{number(last.kid)} at the end, the best so far.", "good")
    text = f"{number(best.kid)} at its best, after {count(best.step, 'step')}; {number(last.kid)} at the end"
    # The difference may be chance where the last interval contains the best value.
    chance = last.low <= best.kid
    return Verdict(
        title,
        f"{text}{', which may be chance' if chance else ', which is worse'}.",
        "plain" if chance else "bad",
    )


def _score(folder: RunFolder) -> Verdict | None:
    quality = folder.evaluation.quality
    if quality is None or not quality.scores:
        return None
    first = quality.scores[0]
    interval = between(first.low, first.high)
    interval = f" ({interval})" if interval else ""
    real = f"; real pictures reach {number(first.real)}" if first.real is not None else ""
    return Verdict(first.name, f"{number(first.value)}{interval}{real}.")


def _samples(folder: RunFolder) -> list[Section]:
    shown: list[Picture] = []
    drawn = folder.picture("evaluation/samples.png")
    if drawn is not None:
        alt = f"A sheet of the samples by which {folder.name} was evaluated."
        shown.append(Picture(drawn, alt=alt, caption="Samples of the evaluation."))
    newest = folder.newest_sheet
    sheet = folder.picture(newest.relative_to(folder.run.path)) if newest else None
    if newest and sheet is not None:
        when = f"after {count(int(newest.stem), 'step')}" if newest.stem.isdecimal() else "during training"
        caption = f"Samples {when}; every sheet shows the same seeds."
        shown.append(Picture(sheet, alt=f"A sheet of samples of {folder.name} {when}.", caption=caption))
    return [PictureRow(tuple(shown))] if shown else []


def _charts(*charts: Chart | None) -> list[Section]:
    return [chart for chart in charts if chart is not None]


def _quality_table(folder: RunFolder) -> list[Section]:
    """The numbers of the chart of the kernel distance, folded away."""
    if not folder.quality:
        return []
    rows = []
    for row in folder.quality:
        cost = (f"{row.step:,}", f"{row.images:,}", duration(row.seconds))
        quality = (number(row.kid), between(row.low, row.high))
        rows.append(tuple(map(Cell, (*cost, *quality, percent(row.copied), number(row.nearer)))))
    titles = ("step", "images", "time", "KID", "95% interval", "copies", "nearer")
    return [Details("Numbers of this chart", (Table(titles, tuple(rows)),))]


def _missing(folder: RunFolder) -> list[Section]:
    """What was not measured, with the command that measures it."""
    path = folder.run.path
    known, lines = folder.evaluation, list[Section]()
    parts = {
        "scores": known.quality,
        "bits/dim": known.bits_per_dim,
        "copies": known.memorisation,
        "colours": known.colours,
    }
    unknown = [] if folder.run.config.data.source else ["PICTURES"]  # of an imported run
    config = folder.run.config
    if config.jumps:  # which knows no likelihood
        del parts["bits/dim"]
    absent = [name for name, part in parts.items() if not part]
    if absent:
        lines.append(
            Text(f"Measure {', '.join(absent)}:", shlex.join(["unnoise", "evaluate", str(path), *unknown]))
        )
    in_training = {
        "loss": folder.history,
        "samples": folder.newest_sheet,
        "KID during training": folder.quality,
        "loss at each noise level": folder.levels,
    }
    if config.distilled:  # it learns jumps along walks, and no loss at a noise level
        del in_training["loss at each noise level"]
    absent = [name for name, part in in_training.items() if not part]
    if absent:
        budget, source = config.budget, config.data.source
        more = [f"--{budget.unit}", f"{2 * budget.amount:g}"]
        words = ["unnoise", "train", source or "PICTURES", "--out", str(path), "--resume", *more]
        lines.append(Text(f"Train longer to measure {', '.join(absent)}:", shlex.join(words)))
    return lines


def _training_settings(folder: RunFolder) -> list[Section]:
    config = folder.run.config
    recipe, data = config.recipe, config.data
    facts = [
        ("pictures", described(folder)),
        ("held out", count(data.held_out, "picture") + (" by their folders" if data.held_out_ranges else "")),
        (
            "network",
            f"{type(recipe.network).__name__.removesuffix('Config')}, {folder.parameters:,} parameters",
        ),
        ("schedule", type(recipe.schedule).__name__),
        ("prediction", f"{recipe.objective.predicts}, loss on {recipe.objective.compares}"),
        ("optimizer", f"{recipe.optimizer.name}, learning rate {number(recipe.optimizer.learning_rate)}"),
        ("batch", count(recipe.batch_size, "image")),
        ("sampling", f"{recipe.sampling.sampler}, {count(recipe.sampling.num_steps, 'step')}"),
        ("seed", str(config.seed)),
    ]
    if recipe.autoguidance != 1:
        drawn = recipe.drawn(guided=True)
        how = f"scale {number(recipe.autoguidance)}, {drawn.sampler}, {count(drawn.num_steps, 'step')}"
        facts.append(("autoguidance", how))
    if recipe.sampling.polish:
        facts.append(("polish", number(recipe.sampling.polish)))
    if recipe.noise_shift != 1:
        facts.append(("noise shift", number(recipe.noise_shift)))
    if data.classes:
        facts.insert(1, ("classes", f"{len(data.classes):,}"))
    if config.num_clusters:
        facts.insert(1, ("clusters of similar pictures", str(config.num_clusters)))
    if folder.last is not None and folder.last.seconds > 0:
        facts.append(("speed", f"{folder.last.images / folder.last.seconds:,.0f} images/s"))
    return [
        Facts(tuple(facts)),
        Text("Command to train it again:"),
        Code(train_command(config), wraps=True),
        Details("config.json", (Code(config.to_json()),)),
    ]
