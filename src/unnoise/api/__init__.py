"""The front door in Python: train, open a run, draw, edit, measure and export.

    import unnoise as un

    run = un.open("runs/mine")
    run.generate(16, seed=1).save("drawn.png")

The command line calls these functions, with the same words and defaults. They take paths as text or `Path`,
raise `UnnoiseError` in one sentence, warn by Python's warnings, and tell their progress to whatever `progress=`
names. Nothing heavy is imported until it is used.
"""

from unnoise.api.averaging import ema
from unnoise.api.demonstration import demo
from unnoise.api.distilling import distill
from unnoise.api.drawing import Animation, Drawing
from unnoise.api.effects import refuse_without_effect
from unnoise.api.explaining import forward_step, reverse_steps, schedule_curve
from unnoise.api.exporting import TARGETS, export
from unnoise.api.generating import generate, reverse
from unnoise.api.importing import import_pipeline
from unnoise.api.inpainting import inpaint
from unnoise.api.measuring import Evaluation, evaluate
from unnoise.api.morphing import morph
from unnoise.api.opening import OpenRun, open_run
from unnoise.api.outpainting import outpaint
from unnoise.api.output_paths import ANIMATIONS, check_animation, check_edited
from unnoise.api.pages import compare, report
from unnoise.api.pictures import Checkup, Pictures, checkup, load
from unnoise.api.preset_table import presets
from unnoise.api.pushing import push
from unnoise.api.redrawing import redraw
from unnoise.api.reporting import tell, tell_output, tell_result
from unnoise.api.restoring import restore
from unnoise.api.run_facts import is_run, run_facts
from unnoise.api.shown import Findings
from unnoise.api.solving import restore_sampler, solve
from unnoise.api.train_run import Training, planned, resume, tell_config, train, training
from unnoise.api.varying import invert, vary

__all__ = [
    "ANIMATIONS",
    "TARGETS",
    "Animation",
    "Checkup",
    "Drawing",
    "Evaluation",
    "Findings",
    "OpenRun",
    "Pictures",
    "Training",
    "check_animation",
    "check_edited",
    "checkup",
    "compare",
    "demo",
    "distill",
    "ema",
    "evaluate",
    "export",
    "forward_step",
    "generate",
    "import_pipeline",
    "inpaint",
    "invert",
    "is_run",
    "load",
    "morph",
    "open_run",
    "outpaint",
    "planned",
    "presets",
    "push",
    "redraw",
    "refuse_without_effect",
    "report",
    "restore",
    "restore_sampler",
    "resume",
    "reverse",
    "reverse_steps",
    "run_facts",
    "schedule_curve",
    "solve",
    "tell",
    "tell_config",
    "tell_output",
    "tell_result",
    "train",
    "training",
    "vary",
]
