"""Everything that only a GPU can show: `make gpu` measures it, and writes docs/gpu.md."""
