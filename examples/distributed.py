"""Distributed: the same call on several devices, or as here in several processes. They share each batch.

The processes start together; the first reads the pictures and writes the run, the others help.

    torchrun --nproc_per_node 2 examples/distributed.py 3       trains for three minutes; writes distributed.png
"""

import os
import sys

import unnoise as un

MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 else 3

run = un.train("digits", size=16, minutes=MINUTES, out="runs/distributed")
if os.environ.get("RANK", "0") == "0":
    run.generate(64, seed=1).save("distributed.png")
