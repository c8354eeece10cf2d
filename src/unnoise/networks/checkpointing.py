"""Activation checkpointing (Chen et al., 1604.06174): less memory in training, for a second forward pass.

The backward pass needs the activations of every layer. With checkpointing only the inputs of the blocks are
kept, and each block is computed again when its turn comes in the backward pass, with the same dropout masks.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint, noop_context_fn

Caller = Callable[..., torch.Tensor]
"""`(module, *inputs) -> module(*inputs)`."""


def block_caller(network: nn.Module) -> Caller:
    """How a network calls its blocks: checkpointed where it asks for that and learns, else plainly."""
    learns = network.training and torch.is_grad_enabled()
    return _checkpointed if learns and network.checkpointing else _plain


def _plain(module: nn.Module, *inputs: torch.Tensor | None) -> torch.Tensor:
    output: torch.Tensor = module(*inputs)
    return output


def _checkpointed(module: nn.Module, *inputs: torch.Tensor | None) -> torch.Tensor:
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    contexts = noop_context_fn
    if norms:

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _frozen_statistics(norms)

    output: torch.Tensor = checkpoint(module, *inputs, use_reentrant=False, context_fn=contexts)
    return output


@contextmanager
def _frozen_statistics(norms: list[_BatchNorm]) -> Iterator[None]:
    """Context in which BatchNorm's running statistics, which moved in the first pass, do not move again."""
    kept = [(norm, name, buffer) for norm in norms for name, buffer in norm.named_buffers(recurse=False)]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)
