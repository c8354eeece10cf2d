"""Calls of the command line in tests: of what succeeds, and of what is refused."""

from unnoise.cli import run as command_line


def ok(*arguments: object) -> None:
    """Runs a command that has to succeed."""
    assert command_line([str(argument) for argument in arguments]) == 0


def refused(capsys, *arguments: object) -> str:
    """The one sentence with which a command is refused."""
    capsys.readouterr()
    assert command_line([str(argument) for argument in arguments]) == 2
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unnoise: ")]
    return sentence
