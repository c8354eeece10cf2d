"""Benchmarks: scripts that measure what the pages in docs/ say, `python -m benchmarks.NAME`."""
