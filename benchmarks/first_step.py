"""`unnoise train` that ends after its first step, so that all of its time is start-up.

    python -m benchmarks.first_step train digits --out RUN

Imports nothing for this: `train_step` is replaced when the command itself imports it. Ends with the exit code
`DONE` after the step, which tells it from a command that ends otherwise.
"""

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

DONE = 77
MODULE, METHOD = "unnoise.diffusion.diffusion", "train_step"


class FirstStepLoader(Loader):
    """Loads as another loader does, then makes `train_step` end the process."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the other loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module, then replaces `train_step`."""
        self._loader.exec_module(module)
        step = getattr(module.Diffusion, METHOD)

        def first(*arguments: Any, **named: Any) -> None:  # noqa: ANN401
            result = step(*arguments, **named)
            float(result.loss)  # waits for the device
            os._exit(DONE)

        setattr(module.Diffusion, METHOD, first)


class FirstStepFinder(MetaPathFinder):
    """Finds the module with `train_step`, and no other."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module, with a `FirstStepLoader`; None for any other."""
        if name != MODULE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = FirstStepLoader(spec.loader)
        return spec


def main() -> None:
    """Runs the command."""
    sys.meta_path.insert(0, FirstStepFinder())
    from unnoise.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
