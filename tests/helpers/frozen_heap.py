"""Freezes the heap of the process that imports this last, so that forked children do not search it for garbage.

A collection in a child would touch, and so copy, all that PyTorch's modules hold: a third of its whole time.
"""

import gc

gc.collect()
gc.freeze()
