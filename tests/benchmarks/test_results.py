"""The page of results is what the pages say, and the harness runs each part as its module wants to be run."""

import argparse
import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import __main__ as harness
from benchmarks import parts, results_page
from benchmarks.parts import PARTS, Part

DOCS = Path(__file__).parents[2] / "docs"
THERE = [part for part in PARTS if part.there]


def written(folder, text):
    path = folder / "page.md"
    path.write_text(text)
    return path


def test_the_page_is_what_the_pages_say():
    drawn = "\n\n".join(text.strip() for text in results_page.page(DOCS)) + "\n"
    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == drawn, (
        "Run: python -m benchmarks.results_page"
    )


def test_every_page_of_a_benchmark_names_its_command():
    pages = {path.name for path in DOCS.glob("*.md") if "python -m benchmarks." in path.read_text()}
    by_file = {part.file: part for part in PARTS}
    assert pages - {"benchmarks.md", "log.md"} <= by_file.keys()
    for path in DOCS.glob("*.md"):
        if path.name in by_file:
            command = results_page.read(path).command
            assert command.split()[:3] == ["python", "-m", f"benchmarks.{by_file[path.name].module}"], path


def test_a_page_is_read_by_its_first_sentence(tmp_path):
    text = "# How fast?\n\nIt takes 1.5 s of\na 2.0 day. More is\nsaid.\n\n"
    text += "```sh\npython -m benchmarks.startup --quick\n```\n"
    found = results_page.read(written(tmp_path, text + "\nOn 2026-01-31, and then on 2026-02-01.\n"))
    assert found == (
        "How fast?",
        "It takes 1.5 s of a 2.0 day.",
        "python -m benchmarks.startup --quick",
        "2026-02-01",
    )
    asking = "# Title\n\nHow fast? Each is timed.\n\n- One: fast.\n- Two: slow.\n\n`python -m benchmarks.x`\n"
    assert results_page.read(written(tmp_path, asking)).headline == "One: fast. Two: slow."
    inside = text.replace("```sh\n", "`").replace("\n```", "` makes it")
    assert results_page.read(written(tmp_path, inside))[2:] == ("python -m benchmarks.startup --quick", "")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("# Title", "Title", "does not open"),
        ("Found.", "| a | b |", "does not open"),
        ("Found.", "- Found.", "does not open"),
        ("Found.", "Found", "does not open"),
        ("Found.", "What was found?", "does not open"),
        ("python -m benchmarks.x", "python -m unnoise", "does not name the command"),
    ],
)
def test_a_page_that_says_less_is_refused(tmp_path, old, new, reason):
    text = "# Title\n\nFound.\n\n```sh\npython -m benchmarks.x\n```\n"
    results_page.read(written(tmp_path, text))
    with pytest.raises(ValueError, match=reason):
        results_page.read(written(tmp_path, text.replace(old, new)))


class ParsedError(Exception):
    """What was asked for, once it was understood."""


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("part", THERE, ids=[part.module for part in THERE])
def test_a_part_knows_the_options_that_it_is_run_with(monkeypatch, tmp_path, part, quick):
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, *arguments, **named):
        raise ParsedError(parse(self, *arguments, **named))

    module = importlib.import_module(f"benchmarks.{part.module}")
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [part.module, *part.options(tmp_path, tmp_path / "docs", quick=quick)])
    with pytest.raises(ParsedError) as stopped:
        module.main()
    assert stopped.value.args[0].docs == tmp_path / "docs"


def test_parts_are_those_that_are_there(monkeypatch):
    assert parts.chosen([]) == THERE
    assert [part.module for part in parts.chosen(["growth", "sampling"])] == ["growth", "sampling"]
    with pytest.raises(ValueError, match="no part 'speed': choose from training_speed, "):
        parts.chosen(["speed"])
    monkeypatch.setattr(
        parts, "find_spec", lambda name: None if name == "benchmarks.growth" else find_spec(name)
    )
    assert [part.module for part in parts.chosen([])] == [
        part.module for part in THERE if part.module != "growth"
    ]
    assert "growth" not in harness.listing()
    assert "  startup " in harness.listing()


def test_a_part_that_fails_is_named_and_the_others_go_on(monkeypatch, tmp_path, capsys):
    called = []

    def run(command, check):
        called.append(command[3:])
        return argparse.Namespace(returncode="benchmarks.one" in command)

    monkeypatch.setattr(harness.subprocess, "run", run)
    some = [Part("one", "One?", 1.0), Part("two", "Two?", 2.0, full=("{work}/run",), trains=True)]
    assert harness.measure_all(some, Path("work"), tmp_path, quick=False) == ["one"]
    train = ["-m", "unnoise", "train", "fashion-mnist", "--out", "work/run", "--minutes", "10"]
    two = ["-m", "benchmarks.two", "work/run", "--docs", str(tmp_path)]
    assert called == [["-m", "benchmarks.one", "--docs", str(tmp_path)], train, two]
    assert "[2 of 2] two: Two? (about 2 minutes; 2 with what follows)" in capsys.readouterr().out


def test_what_is_measured_in_haste_leaves_the_pages_alone(monkeypatch, capsys):
    seen = []

    def measure(part, work, docs, *, quick):
        seen.append((part.module, quick))
        assert docs.resolve() != DOCS
        docs.mkdir(parents=True, exist_ok=True)
        (docs / part.file).write_text("# Title\n\nFound.\n\n```sh\npython -m benchmarks.startup\n```\n")
        return part.module != "growth"

    monkeypatch.setattr(harness, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "startup", "growth"])
    with pytest.raises(SystemExit, match="These parts failed: growth"):
        harness.main()
    assert seen == [("startup", True), ("growth", True)]
    assert "| [Title](growth.md) | Found. | `python -m benchmarks.startup` |" in capsys.readouterr().out


def test_a_page_that_says_nothing_is_named_in_one_sentence(monkeypatch, capsys):
    def measure(part, work, docs, *, quick):
        docs.mkdir(parents=True)
        (docs / part.file).write_text("# Title\n\nFound.\n")
        return True

    monkeypatch.setattr(harness, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "startup"])
    with pytest.raises(SystemExit, match=r"could not be drawn: .*startup\.md does not name the command"):
        harness.main()
