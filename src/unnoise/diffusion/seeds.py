"""Seeded noises: one random generator for each image, so that a seed gives one picture in any batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

import torch

from unnoise.diffusion.tensors import Images, Rates
from unnoise.utils.errors import require


def require_seeds(seeds: Sequence[int]) -> None:
    """Raises `UnnoiseError` for a seed outside 0 ... 2^63 - 1."""
    for seed in seeds:
        require(0 <= seed < 2**63, f"A seed is a whole number from 0 to 2^63 - 1, but got {seed}.")


def host_seed(generator: torch.Generator) -> int:
    """The next random number below 2^62 of a generator, on the host, without waiting for its device.

    On the CPU it is drawn. Elsewhere it is a hash of the generator's state, which the host keeps, and a number
    is drawn on the device, so that the state moves on.
    """
    if generator.device.type == "cpu":
        return int(torch.randint(2**62, (), generator=generator))
    state = generator.get_state().numpy().tobytes()
    torch.rand((), generator=generator, device=generator.device)
    return int.from_bytes(blake2b(state, digest_size=8).digest()) >> 2


def host_coin(generator: torch.Generator) -> bool:
    """The next toss of a coin of a generator, on the host, without waiting for its device."""
    if generator.device.type == "cpu":
        return bool(torch.rand((), generator=generator) < 0.5)
    return host_seed(generator) % 2 == 0


@contextmanager
def seeded_global_generator(generator: torch.Generator, part: int = 0) -> Iterator[None]:
    """Context in which PyTorch's global generator, as used by dropout, is seeded from this generator.

    Afterwards the global generator is as before. Processes with the same generator give different values of
    `part` to draw different numbers.
    """
    where = [generator.device] if generator.device.type == "cuda" else []
    seed = host_seed(generator)
    with torch.random.fork_rng(devices=where):
        torch.manual_seed(seed + part)
        yield


class SeededNoises:
    """Gaussian noises from one random generator for each image.

    The generators are on the CPU, so that a seed gives the same numbers on every device.

    Args:
        seeds: one integer for each image.
        shape: (channels, height, width) of an image.
        device: of the noises.

    Raises:
        UnnoiseError: for a seed outside 0 ... 2^63 - 1.
    """

    def __init__(
        self, seeds: Sequence[int], shape: tuple[int, int, int], device: torch.device | str = "cpu"
    ) -> None:
        require_seeds(seeds)
        self.shape = shape
        self.device = device
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self) -> Images:
        """The next noises, (len(seeds), C, H, W); the first are the initial noises of sampling."""
        drawn = [torch.randn(self.shape, generator=generator) for generator in self.generators]
        return torch.stack(drawn).to(self.device)

    def uniforms(self) -> Rates:
        """The next uniform number in [0, 1) for each image, (len(seeds), 1, 1, 1), on the CPU."""
        return torch.stack([torch.rand((1, 1, 1), generator=generator) for generator in self.generators])
