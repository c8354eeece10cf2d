"""Help of the command line lists every command and explains every option."""

import inspect
import re

import pytest

from helpers.command_line import ok
from unnoise import __version__
from unnoise.api.words import parse_colour, parse_size
from unnoise.cli import COMMANDS, HELP, command_function, run
from unnoise.cli.arguments import explained
from unnoise.utils.errors import UnnoiseError


def test_help_lists_every_command(capsys):
    for arguments in ([], ["--help"]):
        ok(*arguments)
        assert capsys.readouterr().out == HELP
    assert all(f"unnoise {command}" in HELP for command in COMMANDS)


def test_the_version_is_that_of_the_package(capsys):
    ok("--version")
    assert capsys.readouterr().out == f"unnoise {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_explains_every_option(capsys, command):
    with pytest.raises(SystemExit) as leaving:
        run([command, "--help"])
    assert leaving.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: unnoise {command}" in shown
    assert "(default: None)" not in shown
    function = command_function(command)
    explanations = explained(inspect.unwrap(function))
    for name, parameter in inspect.signature(function).parameters.items():
        shared = any(
            getattr(extra, "help", None) for extra in getattr(parameter.annotation, "__metadata__", ())
        )
        assert shared or re.search(rf"^\s*{name}: \w", explanations, re.MULTILINE), name


def test_train_has_the_options_that_scripts_rely_on(capsys):
    with pytest.raises(SystemExit):
        run(["train", "--help"])
    shown = capsys.readouterr().out
    names = "out minutes steps images size channels batch-size preset seed device resume"
    assert all(f"--{name}" in shown for name in names.split())


def test_sizes_and_colours_are_parsed():
    assert parse_size(None) is None
    assert parse_size("32") == (32, 32)
    assert parse_size("24x40") == parse_size(" 24 X 40 ") == (24, 40)
    assert parse_colour(None) is None
    assert parse_colour("white") == (255, 255, 255)
    assert parse_colour("#8899aa") == (0x88, 0x99, 0xAA)
    with pytest.raises(UnnoiseError, match="H or HxW"):
        parse_size("big")
