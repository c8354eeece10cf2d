"""Reporter of Python: prints in a terminal, and shows pictures in a notebook."""

from unnoise.api.reporting import Reporter
from unnoise.api.terminal import TerminalReporter


def python_reporter() -> Reporter:
    """The reporter where a script or a notebook calls."""
    return TerminalReporter(results=False)
