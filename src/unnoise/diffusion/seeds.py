"""Every picture has a seed of its own, so seed 7 is the same picture in any batch, on any device."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from unnoise.diffusion.tensors import Images, Rates
from unnoise.utils.errors import require


def require_seeds(seeds: Sequence[int]) -> None:
    """Raises `UnnoiseError` unless every seed is from 0 to 2^63 - 1."""
    for seed in seeds:
        require(0 <= seed < 2**63, f"A seed is a whole number from 0 to 2^63 - 1, but got {seed}.")


@contextmanager
def global_numbers_from(generator: torch.Generator, part: int = 0) -> Iterator[None]:
    """Inside, PyTorch's global numbers, which dropout draws, follow this generator; outside nothing changes.

    Those who share a generator but not a part of the batch get other numbers.
    """
    where = [generator.device] if generator.device.type == "cuda" else []
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=where):
        torch.manual_seed(seed + part)
        yield


class SeededNoises:
    """Gaussian noise from one random generator for each image.

    The generators live on the CPU, where a seed gives the same numbers whatever the device of the network.

    Args:
        seeds: one integer for each image.
        shape: (channels, height, width) of an image.
        device: where the noises are put.
    """

    def __init__(
        self, seeds: Sequence[int], shape: tuple[int, int, int], device: torch.device | str = "cpu"
    ) -> None:
        require_seeds(seeds)
        self.shape = shape
        self.device = device
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self) -> Images:
        """The next noises, (len(seeds), C, H, W): first those that sampling starts from."""
        drawn = [torch.randn(self.shape, generator=generator) for generator in self.generators]
        return torch.stack(drawn).to(self.device)

    def uniforms(self) -> Rates:
        """The next number in [0, 1) of each image, (len(seeds), 1, 1, 1), on the CPU."""
        return torch.stack([torch.rand((1, 1, 1), generator=generator) for generator in self.generators])
