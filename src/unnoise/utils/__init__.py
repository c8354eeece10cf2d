"""General utilities, which know nothing of diffusion."""
