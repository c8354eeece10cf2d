"""Own folder: looks at your pictures before training, trains on them, and goes on where it stopped.

python examples/own_folder.py photos 30       trains for 30 minutes in two halves; writes own_folder.png
"""

import sys

import unnoise as un

FOLDER = sys.argv[1] if len(sys.argv) > 1 else "photos"
MINUTES = float(sys.argv[2]) if len(sys.argv) > 2 else 30

pictures = un.load(FOLDER, size=32)
print(pictures)  # how many, and what is odd about them; a notebook shows a sheet of them
run = un.train(pictures, minutes=MINUTES / 2, out="runs/own")
run = run.resume(minutes=MINUTES / 2)  # so many minutes more
run.morph([1, 2, 3], frames=24).save("own_folder.gif")
run.generate(36, seed=1).save("own_folder.png")
