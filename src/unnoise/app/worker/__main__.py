"""Entry point of the worker: it reads the ids of tasks from its standard input, one a line."""

import os
import sys
from pathlib import Path

from unnoise.app.worker.loop import work

root = Path(sys.argv[1]).resolve()
os.chdir(root)  # tasks name pictures as one types them there
work(root, sys.stdin.buffer)
