"""A run on disk: its configuration, presets, checkpoints and stored averages."""
