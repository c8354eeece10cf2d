"""Classes and guidance: one network for ten classes, and a number that makes pictures more typical of theirs.

Classifier-free guidance (Ho and Salimans, 2207.12598) moves each prediction away from that without a class:
images = without + scale * (with - without). A column of the sheet is a class, a row a scale.

    python examples/classes_and_guidance.py 5     trains for five minutes; writes classes_and_guidance.png
"""

import sys

import torch

import unnoise as un
from unnoise import pictures

MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 else 5

digits = un.load("digits", size=16, labels="auto")
run = un.train(digits, minutes=MINUTES, out="runs/classes")
classes = run.config.data.classes
same = {"seed": 7, "labels": classes, "autoguidance": 1}  # classifier-free guidance alone
rows = [run.generate(len(classes), guidance=scale, **same).tensor for scale in (0, 1, 2, 4)]
pictures.save_png(pictures.grid(torch.cat(rows), columns=len(classes)), "classes_and_guidance.png")
