"""Training of a run: the loop, what it records, its guards, and measurements along the way."""
