"""Entry of the speedrun: unnoise with its default recipe, by the clock.

python unnoise_default.py DATA.npz SEED PICTURES.npy
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import unnoise as un

MINUTES = {28: 2.5, 32: 60.0, 64: 10.0}
"""Of training, by the side of the pictures: as few as reach the target; at 32 pixels nobody has tried."""
COUNT = 1000


def main() -> None:
    """Trains, draws, and writes the pictures as bytes (N, H, W, C)."""
    data, seed, out = un.load(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        minutes = MINUTES[data.images.height]
        run = un.train(data, minutes=minutes, held_out=0, seed=seed, out=Path(folder) / "run")
        drawn = run.generate(COUNT, seed=seed)
    pictures = (drawn.tensor * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    np.save(out, pictures.numpy())


if __name__ == "__main__":
    main()
