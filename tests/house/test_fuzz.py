"""Fuzzing: mutated files of every kind are read or refused with a message, by Hypothesis and by Atheris.

With FUZZ_EXAMPLES=5000 in the environment so many random examples are tried; without it, the same 120 each
time.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from fuzz.mutations import damaged, rewritten
from fuzz.targets import TARGETS

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
BOUNDED = settings(
    max_examples=EXAMPLES or 120,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_read_or_refused_with_a_message(name):
    target = TARGETS[name]
    found = target.seeds()

    @BOUNDED
    @given(damaged(found))
    def reads(data):
        target.read(data)

    reads()


@pytest.mark.parametrize("name", TARGETS)
def test_undamaged_files_are_read(name):
    for data in TARGETS[name].seeds():
        TARGETS[name].read(data)


def test_rewritten_configs_are_read_or_refused_with_a_message():
    @BOUNDED
    @given(rewritten(TARGETS["config"].seeds()))
    def reads(data):
        TARGETS["config"].read(data)

    reads()


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_libfuzzer_finds_nothing_in_a_few_inputs():
    paths = os.pathsep.join(["src", "tests", *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "all", "--runs", "2000"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert int(executed[1]) >= 2000
