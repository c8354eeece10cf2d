"""The diffusion process: schedules, objectives, the one `denoise`, samplers, and the training step."""
