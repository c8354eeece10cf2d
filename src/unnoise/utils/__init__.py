"""General utilities: errors, files, tables, timers and device speed. They know nothing of diffusion."""
