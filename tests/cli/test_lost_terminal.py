"""Standard output and error that cannot be written: results that are lost are an error, messages are not."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.runs import digits
from unnoise.api.stopping import SIGNALS, StopSignals

SHOW = ("--help", "info {run}", "train --help", "train digits --dry-run")


def shell(line: str) -> subprocess.CompletedProcess:
    """A line of bash, in which `unnoise` stands for this Python's."""
    line = line.replace("unnoise ", f"{sys.executable} -m unnoise ")
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("command", SHOW)
def test_a_reader_that_needs_no_more_ends_a_command_quietly(trained, command):
    """With the exit code of a program that SIGPIPE ended."""
    if "digits" in command:
        digits()  # into the cache, so that the command need not import scikit-learn
    done = shell(f"unnoise {command.format(run=trained)} | true; echo ${{PIPESTATUS[0]}}")
    assert done.stdout == "141\n"
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr


@pytest.mark.slow
def test_results_on_a_full_disk_are_an_error(trained):
    done = shell(f"unnoise info {trained} > /dev/full")
    assert done.returncode == 2
    assert "Cannot write to standard output: no space left on device." in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("where", ["2>/dev/full", "2> >(true)", ">&- 2>&-"])
def test_lost_messages_do_not_end_a_command(trained, where):
    done = shell(f"unnoise generate {trained} --num-images 2 --num-steps 1 --out x.png {where}")
    assert done.returncode == 0
    assert Path("x.png").exists()


@pytest.mark.slow
def test_training_goes_on_without_a_terminal():
    digits()  # into the cache
    done = shell("unnoise train digits --preset nano --steps 2 --out r >&- 2>&-")
    assert done.returncode == 0
    assert Path("r/training/0000000002.safetensors").exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_each_signal_asks_to_stop_once(number, capsys):
    with StopSignals() as stop:
        signal.raise_signal(number)
        assert stop.received
    assert "Finishing this step and saving" in capsys.readouterr().err


def test_the_end_of_the_terminal_is_ignored_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.received
    finally:
        signal.signal(signal.SIGHUP, before)
