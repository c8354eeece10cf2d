"""Model card of a run: README.md of a repository on the Hugging Face Hub, made of what was measured."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace

from unnoise.evaluation.results import evaluated_weights
from unnoise.reports.evaluation_tables import colours, likelihood, memorisation, scores
from unnoise.reports.number_text import count, duration, number
from unnoise.reports.page import Cell, Facts, Section, Table, Text
from unnoise.reports.records import SampleScores
from unnoise.reports.run_folder import RunFolder
from unnoise.runs.autoguidance import own_sampling, own_scale
from unnoise.utils.text import printable

_TASK = "unconditional-image-generation"
_PATH = re.compile(r"""(^|[\s"'(=])(~?[/\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\])""")
_KINDS = {1: "grey", 2: "grey with transparency", 3: "colour", 4: "colour with transparency"}
_LICENCE = "# license: fill in the licence of these weights, for example mit or cc-by-4.0"


def model_card(
    folder: RunFolder, repository: str, *, licence: str | None, num_pictures: int | None, sheet: bool
) -> str:
    """Markdown with YAML metadata: samples, data, use, scores with intervals, copies, cost, limits.

    It names no path: sentences and facts of the evaluation that hold one are left out.

    Args:
        folder: the run.
        repository: OWNER/NAME.
        licence: its identifier on the hub; None leaves a line to fill in.
        num_pictures: how many pictures the run has, held-out ones among them; None where they are not found.
        sheet: whether samples.png lies beside the card.
    """
    name = repository.partition("/")[2]
    parts = [
        f"# {name}",
        *(["![Samples, drawn by this model](samples.png)"] if sheet else []),
        f"A diffusion model of pictures, {_shape(folder)}, {_made(folder)}.",
        "## What it was trained on",
        _data(folder, num_pictures),
        "## How to draw with it",
        _use(repository),
        "## Scores",
        *_measured(folder, _scores(folder)),
        "## Copies of training pictures",
        *_measured(folder, _copies(folder)),
        "## What it cost",
        _markdown(_cost(folder)),
        "## Limits",
        _limits(folder),
    ]
    return f"{_metadata(folder, name, licence)}\n" + "\n\n".join(parts) + "\n"


def _metadata(folder: RunFolder, name: str, licence: str | None) -> str:
    """The front matter; JSON, which YAML contains, after each key."""
    values: dict[str, object] = {
        "library_name": "unnoise",
        "pipeline_tag": _TASK,
        "tags": ["unnoise", "diffusion", "pytorch", "image-generation"],
    }
    metrics = _metrics(folder)
    if metrics:
        dataset = {"name": "pictures of its owner", "type": "images"}
        results = [{"task": {"type": _TASK}, "dataset": dataset, "metrics": metrics}]
        values["model-index"] = [{"name": name, "results": results}]
    lines = [f"{key}: {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(["---", f"license: {licence}" if licence else _LICENCE, *lines, "---", ""])


def _metrics(folder: RunFolder) -> list[dict[str, object]]:
    known = folder.evaluation
    pairs = [(score.name, score.value) for score in known.quality.scores] if known.quality else []
    if "total" in known.bits_per_dim:
        pairs.append(("bits/dim", known.bits_per_dim["total"].mean))
    return [
        {"type": re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"), "name": name, "value": value}
        for name, value in pairs
        if value is not None and number(value) != number(None)
    ]


def _shape(folder: RunFolder) -> str:
    data = folder.run.config.data
    kind = _KINDS.get(data.channels, f"{data.channels} channels")
    return f"{data.height} × {data.width} pixels, {kind}"


def _made(folder: RunFolder) -> str:
    config = folder.run.config
    if not config.distilled:
        return "trained from scratch with unnoise"
    calls = count(config.recipe.sampling.calls(config.schedule), "call")
    return f"trained from scratch with unnoise, and then distilled to draw in {calls} of its network"


def _data(folder: RunFolder, num_pictures: int | None) -> str:
    data = folder.run.config.data
    facts = [
        ("pictures", "not known here" if num_pictures is None else f"{num_pictures:,}"),
        ("held out of training", count(data.held_out, "picture")),
        ("size", _shape(folder)),
        ("channels", str(data.channels)),
    ]
    if data.classes:
        facts.append(("classes", f"{len(data.classes):,}: {', '.join(data.classes)}"))
    if folder.run.config.num_clusters:
        facts.append(("clusters of similar pictures, found by k-means", str(folder.run.config.num_clusters)))
    return _markdown([Facts(tuple(facts))])


def _use(repository: str) -> str:
    name = repository.partition("/")[2]
    lines = ("pip install unnoise 'huggingface_hub[cli]'", f"hf download {repository} --local-dir {name}")
    commands = "\n".join([*lines, f"unnoise generate {name} --num-images 16 --out grid.png"])
    return f"```sh\n{commands}\n```"


def _measured(folder: RunFolder, sections: list[Section]) -> list[str]:
    text = _markdown(sections)
    own = "" if folder.run.config.data.source else " PICTURES"
    return [
        text or f"This was not measured. `unnoise evaluate RUN{own}` does, on the machine that holds the run."
    ]


def _scores(folder: RunFolder) -> list[Section]:
    known = folder.evaluation
    return [*scores(_public(known.quality)), *likelihood(known.bits_per_dim), *colours(known.colours)]


def _public(quality: SampleScores | None) -> SampleScores | None:
    """The scores without where the pictures are that they were measured with."""
    if quality is None:
        return None
    facts = {name: value for name, value in quality.facts.items() if name != "source" and not _has_path(value)}
    return replace(quality, facts=facts)


def _copies(folder: RunFolder) -> list[Section]:
    found = folder.evaluation.memorisation
    # Without the sheet of closest pairs: it shows training pictures, which stay with their owner.
    return memorisation(replace(found, picture=None) if found else None, folder)


def _cost(folder: RunFolder) -> list[Section]:
    config, last = folder.run.config, folder.last
    network = type(config.recipe.network).__name__.removesuffix("Config")
    facts = [("preset", config.preset), ("network", f"{network}, {folder.parameters:,} parameters")]
    if (folder.run.path / "model.safetensors").is_file():
        weights = evaluated_weights(folder.run)
        facts.append(("weights", f"{weights.words}; after {count(weights.step, 'step')}"))
    if last is not None:
        name = "distillation, without the training before" if config.distilled else "training"
        facts += [(name, duration(last.seconds)), ("images seen", f"{last.images:,}")]
        if last.seconds > 0:
            facts.append(("speed", f"{last.images / last.seconds:,.0f} images/s"))
    facts += [("batch", count(config.recipe.batch_size, "image")), ("precision", config.precision)]
    return [Facts(tuple(facts))]


def _limits(folder: RunFolder) -> str:
    config = folder.run.config
    sampling, guided = own_sampling(folder.run), "" if own_scale(folder.run) == 1 else ", with autoguidance"
    guided += f" and polish {sampling.polish:g}" if sampling.polish else ""
    starts = "" if config.jumps else ", and new runs start from it with `--init`"
    return (
        f"It draws pictures of {_shape(folder)}, like those it was trained on and no others, and repeats their "
        f"biases. It draws by {sampling.sampler} in {count(sampling.num_steps, 'step')}{guided}. Scores hold "
        "for the sampler, samples and references named beside them; those of other models are "
        f"comparable only if measured alike. The folder holds no state of training: it draws{starts}."
    )


def _has_path(value: object) -> bool:
    return isinstance(value, str) and _PATH.search(value) is not None


def _markdown(sections: Iterable[Section]) -> str:
    """Sections of a report as Markdown: texts, facts and tables; pictures stay where they are."""
    parts = []
    for section in sections:
        if isinstance(section, Text) and not _has_path(section.text):
            parts.append(_escaped(section.text))
        elif isinstance(section, Facts):
            parts.append("\n".join(f"- {_escaped(name)}: {_escaped(value)}" for name, value in section.facts))
        elif isinstance(section, Table):
            parts.append(_table(section))
    return "\n\n".join(parts)


def _table(table: Table) -> str:
    marks = [":---" if column in table.words else "---:" for column in range(len(table.titles))]
    rows = [list(map(_escaped, table.titles)), marks, *([_cell(cell) for cell in row] for row in table.rows)]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{lines}\n\n{_escaped(table.caption)}" if table.caption else lines


def _cell(cell: Cell) -> str:
    return _escaped(cell.text) + (f" ({_escaped(cell.beneath)})" if cell.beneath else "")


def _escaped(text: str) -> str:
    """Text in which Markdown and HTML see no marks."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", printable(text))
