"""What it takes to get batches out of one file of pictures, told by a process that does nothing else.

    python -m benchmarks.growing_pictures PICTURES.npy SECONDS

Prints seconds to the first batch, batches a second, and the MB that came on top of what the imports take.
"""

import json
import sys
import time
from statistics import median

from benchmarks.children import own_peak
from unnoise.data import load
from unnoise.data.batches import Batches, held_out_count, split

BATCH, TURNS = 64, 5


def main() -> None:
    """Opens, takes batches for a while, and tells."""
    source, seconds = sys.argv[1], float(sys.argv[2])
    imported, started = own_peak(), time.perf_counter()
    images = load(source)
    training = split(len(images), held_out_count(len(images)), 0).training
    batches = Batches(images, training, BATCH, 0)
    batches[0]
    first = time.perf_counter() - started
    rates, number = [], 1
    for _ in range(TURNS):
        begun, before = time.perf_counter(), number
        while time.perf_counter() - begun < seconds / TURNS:
            batches[number]
            number += 1
        rates.append((number - before) / (time.perf_counter() - begun))
    print(json.dumps({"first_batch": first, "batches": median(rates), "peak": own_peak() - imported}))


if __name__ == "__main__":
    main()
