"""Entry point of the command `unnoise`, and of `python -m unnoise`."""

import sys

from unnoise.cli import run
from unnoise.cli.streams import occupy_standard_descriptors


def main() -> None:
    """Runs the command line, and exits with its code."""
    occupy_standard_descriptors()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
