"""`unnoise`, but its process ends where the first step of training is done: all its time is that of the start.

    python -m benchmarks.first_step train digits --out RUN

Nothing is imported for it: the step is watched once the command has imported what it needs, when it does.
Ends with the code `DONE` after the step, so that a command that ends otherwise is told from it.
"""

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

DONE = 77
WATCHED, METHOD = "unnoise.diffusion.diffusion", "train_step"


class _Watching(Loader):
    """Loads as another loader does, and ends the process after the first step."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        step = getattr(module.Diffusion, METHOD)

        def first(*arguments: Any, **named: Any) -> None:  # noqa: ANN401
            result = step(*arguments, **named)
            float(result.loss)  # which waits until the device is done
            os._exit(DONE)

        setattr(module.Diffusion, METHOD, first)


class _Finder(MetaPathFinder):
    """Finds the watched module, and no other."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != WATCHED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Watching(spec.loader)
        return spec


def main() -> None:
    """Watches, and runs the command."""
    sys.meta_path.insert(0, _Finder())
    from unnoise.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
