"""The local web app: a page on this computer to train, watch, draw, play and understand.

The server keeps no state: it reads the folders of the runs, writes requests beside them, and starts processes,
the trainer (the very command line) and the worker (which draws). It imports no PyTorch.
"""
