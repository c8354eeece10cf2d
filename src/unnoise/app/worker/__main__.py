"""Entry point of the worker: it reads the ids of tasks from its standard input, one a line."""

import sys
from pathlib import Path

from unnoise.app.worker.loop import work

work(Path(sys.argv[1]), sys.stdin.buffer)
