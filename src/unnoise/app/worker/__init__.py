"""The worker: the process that does tasks, beside the server, with PyTorch."""
