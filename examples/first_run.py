"""First run: from 1,797 handwritten digits to new ones, in three lines.

python examples/first_run.py 3          trains for three minutes; writes first_run.png and first_run.gif
"""

import sys

import unnoise as un

MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 else 3

run = un.train("digits", size=16, minutes=MINUTES, out="runs/first")
run.generate(64, seed=1).save("first_run.png")  # a seed always gives the same picture
run.reverse(16, seed=1).save("first_run.gif")  # the same, as they come out of noise
