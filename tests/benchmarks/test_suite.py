"""Tests of `python -m benchmarks`: the list of benchmarks, and running them."""

import argparse
import importlib
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as harness
from benchmarks import suite
from benchmarks.suite import BENCHMARKS, Benchmark

DOCS = Path(__file__).parents[2] / "docs"


class ParsedError(Exception):
    """Carries the parsed options out of `main`."""


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("one", BENCHMARKS, ids=[one.module for one in BENCHMARKS])
def test_every_benchmark_accepts_the_options_that_it_is_run_with(monkeypatch, tmp_path, one, quick):
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, *arguments, **named):
        raise ParsedError(parse(self, *arguments, **named))

    module = importlib.import_module(f"benchmarks.{one.module}")
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [one.module, *one.options(tmp_path, tmp_path / "docs", quick=quick)])
    with pytest.raises(ParsedError) as stopped:
        module.main()
    assert stopped.value.args[0].docs == tmp_path / "docs"


def test_benchmarks_are_chosen_by_name():
    assert suite.chosen([]) == list(BENCHMARKS)
    assert [one.module for one in suite.chosen(["growth", "sampling"])] == ["growth", "sampling"]
    with pytest.raises(ValueError, match="no benchmark 'speed': choose from precision, "):
        suite.chosen(["speed"])
    assert "  startup " in suite.listing()


def test_a_benchmark_that_fails_is_named_and_the_others_go_on(monkeypatch, tmp_path, capsys):
    called = []

    def run(command, check):
        called.append(command[3:])
        return argparse.Namespace(returncode="benchmarks.one" in command)

    monkeypatch.setattr(harness.subprocess, "run", run)
    some = [Benchmark("one", "One?", 1.0), Benchmark("two", "Two?", 2.0, full=("{work}/run",), trains=True)]
    assert harness.run_all(some, Path("work"), tmp_path, quick=False) == ["one"]
    train = ["-m", "unnoise", "train", "fashion-mnist", "--out", "work/run", "--minutes", "10"]
    two = ["-m", "benchmarks.two", "work/run", "--docs", str(tmp_path)]
    assert called == [["-m", "benchmarks.one", "--docs", str(tmp_path)], train, two]
    assert "[2 of 2] two: Two? (about 2 minutes, 2 for all that are left)" in capsys.readouterr().out


def run_quickly(monkeypatch, text, *names, failing=""):
    """Runs `python -m benchmarks --quick` with benchmarks that only write this page."""
    seen = []

    def run(one, work, docs, *, quick):
        seen.append((one.module, quick))
        assert docs.resolve() != DOCS
        docs.mkdir(parents=True, exist_ok=True)
        (docs / one.file).write_text(text)
        return one.module != failing

    monkeypatch.setattr(harness, "run", run)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", *names])
    harness.main()
    return seen


PAGE = "# Title\n\nPurpose.\n\nResult.\n\n```sh\npython -m benchmarks.startup\n```\n"


def test_a_quick_run_leaves_docs_alone_and_prints_its_overview(monkeypatch, capsys):
    assert run_quickly(monkeypatch, PAGE, "startup", "growth") == [("startup", True), ("growth", True)]
    assert "| [Title](growth.md) | Result. | `python -m benchmarks.startup` |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="These benchmarks failed: growth"):
        run_quickly(monkeypatch, PAGE, "startup", "growth", failing="growth")


def test_a_page_without_a_command_is_named_when_the_overview_fails(monkeypatch):
    with pytest.raises(SystemExit, match=r"Cannot write the overview: .*startup\.md does not name the command"):
        run_quickly(monkeypatch, "# Title\n\nPurpose.\n\nResult.\n", "startup")
