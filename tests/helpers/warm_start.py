"""Does once, in the process that imports this last, what every child forked from it would do again.

The converter of configs is built. The heap is frozen: a garbage collection in a child would touch, and so copy,
all that PyTorch's modules hold: a third of its whole time.
"""

import gc

from unnoise.runs.conversion import plain, structured
from unnoise.runs.presets import recipe
from unnoise.runs.recipe import Recipe

structured(plain(recipe("nano", 1, 8, 8)), Recipe, "nano")
gc.collect()
gc.freeze()
