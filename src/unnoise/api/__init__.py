"""The front door in Python: train, open a run, draw, edit, measure and export.

    import unnoise as un

    run = un.open("runs/mine")
    run.generate(16, seed=1).save("drawn.png")

The command line calls these functions, with the same words and defaults. They take paths as text or `Path`,
raise `UnnoiseError` in one sentence, warn by Python's warnings, and tell their progress to whatever `progress=`
names. Nothing heavy is imported until it is used.
"""

from unnoise.api.effects import refuse_without_effect
from unnoise.api.generating import generate, reverse
from unnoise.api.morphing import morph
from unnoise.api.opening import OpenRun, open_run
from unnoise.api.output_paths import check_animation
from unnoise.api.pages import report

__all__ = [
    "OpenRun",
    "check_animation",
    "generate",
    "morph",
    "open_run",
    "refuse_without_effect",
    "report",
    "reverse",
]
