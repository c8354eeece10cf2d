r"""Times at which the network is worst are drawn more often, and count less for it, so nothing is favoured.

    p_k ~ sqrt(E[L_k^2]),    loss = L_k / (K p_k)                   (Improved DDPM, 2102.09672, eq. 18)

That choice of p has the least variance of all that give the same expected loss.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unnoise.diffusion.noise_levels import LossAware
from unnoise.diffusion.tensors import PerImage, Rates


class LossHistory(nn.Module):
    """The last losses in each of K equal slices of time; what `LossAware` learns from.

    A module only for its `state_dict`, which a run keeps.
    """

    losses: Tensor
    counts: Tensor

    def __init__(self, levels: LossAware) -> None:
        super().__init__()
        self.levels = levels
        self.register_buffer("losses", torch.zeros(levels.num_slices, levels.memory))
        self.register_buffer("counts", torch.zeros(levels.num_slices, dtype=torch.int64))

    def probabilities(self) -> Float[Tensor, " slices"]:
        """Of the slices; equal until each has a full memory."""
        slices, floor = self.levels.num_slices, self.levels.uniform
        even = torch.full((slices,), 1 / slices)
        if int(self.counts.min()) < self.levels.memory:
            return even
        wanted = self.losses.square().mean(1).sqrt()
        return torch.lerp(wanted / wanted.sum().clamp(min=1e-12), even, floor)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Rates, PerImage]:
        """Times (count, 1, 1, 1) on the generator's device, and the weights of their losses (count,)."""
        chances = self.probabilities().to(generator.device)
        chosen = torch.multinomial(chances, count, replacement=True, generator=generator)
        inside = torch.rand(count, generator=generator, device=generator.device)
        times = (chosen + inside) / self.levels.num_slices
        return times.view(-1, 1, 1, 1), 1 / (self.levels.num_slices * chances[chosen])

    def record(self, times: PerImage | Rates, losses: PerImage) -> None:
        """Remembers the unweighted losses at these times, in place of the oldest; none that is not finite."""
        slices = (times.flatten() * self.levels.num_slices).long().clamp(0, self.levels.num_slices - 1).cpu()
        for place, loss in zip(slices.tolist(), losses.detach().float().cpu().tolist(), strict=True):
            if not math.isfinite(loss):
                continue
            self.losses[place, int(self.counts[place]) % self.levels.memory] = loss
            self.counts[place] += 1
