r"""Walks of a finished run: where its probability flow leads, for another network to learn to jump there.

A walk begins at pure noises and takes K calls of the run. For any two of its noisy images, x_t and the later
x_s, there are an image and noises that mix to both of them,

    x_0 = (sin t x_s - sin s x_t) / sin(t - s),        eps = (cos s x_t - cos t x_s) / sin(t - s)

with the angles t and s of their levels (see `mean_velocity`). In place of pictures and random noises, the
velocity of such a pair is the mean velocity itself, up to the error of the solver: nothing has to be known
first at lower noise levels, and no target changes on the way (Luhman, 2101.02388, for whole walks).
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.guidance import Guidance
from unnoise.diffusion.mean_velocity import MeanVelocity, Walking, angles, pair_through, rates_of_angles
from unnoise.diffusion.noising import NoisedBatch
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.seeds import host_seed
from unnoise.diffusion.tensors import Classes, Images, Trajectory, mix
from unnoise.optim.process_group import BatchPart

Numbers: TypeAlias = Float[Tensor, " whole"]
"""A number for each pair of the batch of all processes."""


@dataclass(frozen=True)
class Walks:
    """Walks of a run, and pairs of their noisy images to learn from.

    Args:
        run: with the weights of the run, which do not change.
        learned: how long walks are, and which pairs are taken of them.
    """

    run: Denoiser
    learned: MeanVelocity

    @property
    def walking(self) -> Walking:
        """How it walks."""
        return self.learned.walking or Walking()

    def sampling(self, calls: int | None = None) -> Sampling:
        """How the run walks in so many calls: DPM-Solver++ 2M, in even steps of the log-SNR."""
        guidance = Guidance(scale=self.learned.guidance)
        return Sampling(
            sampler="dpmpp_2m", num_steps=calls or self.walking.calls, spacing="log_snr", guidance=guidance
        )

    @torch.no_grad()
    def walk(self, noises: Images, classes: Classes | None = None, *, calls: int | None = None) -> Trajectory:
        """The noisy images at every level, and the result: (calls + 1, B, C, H, W), normalised."""
        sampling, found = self.sampling(calls), list[Images]()
        rates = zip(*sampling.grid(self.run.schedule), strict=True)
        for prediction in self.run.reverse_diffusion(noises, sampling=sampling, classes=classes):
            level = (rate.to(noises).expand(len(noises), 1, 1, 1) for rate in next(rates))
            found.append(mix(prediction.images, prediction.noises, *level))
        return torch.stack([*found, prediction.images])

    def draw(self, count: int, generator: torch.Generator, part: BatchPart | None = None) -> NoisedBatch:
        """Pairs of noisy images of new walks, `count` of them, or this part of those of all processes.

        Walks of a batch take equally many calls, from `calls` to one and a half times as many, so that the
        network meets many noise levels. Each class is as likely as the others, and as none.
        """
        first, whole = (part.first, part.whole) if part else (0, count)
        device, each = self.run.device, self.walking.pairs
        walks = -(-whole // each)
        where, num_classes, classes = generator.device, self.run.abilities.num_classes, None
        noises = torch.randn((walks, *self.run.image_shape), generator=generator, device=where)
        kinds, parts = torch.rand(2, whole, generator=generator, device=where)
        calls = self.walking.calls + host_seed(generator) % (self.walking.calls // 2 + 1)
        if num_classes:
            classes = torch.randint(num_classes + 1, (walks,), generator=generator, device=where).to(device)
        mine = slice(first // each, -(-(first + count) // each))
        found = self.walk(noises[mine].to(device), None if classes is None else classes[mine], calls=calls)
        return self._pairs(found, classes, kinds, parts, slice(first, first + count))

    def _pairs(
        self,
        walked: Trajectory,
        classes: Int[Tensor, " walks"] | None,
        kinds: Numbers,
        parts: Numbers,
        mine: slice,
    ) -> NoisedBatch:
        """The pairs of these places of the batch, from the walks that they belong to."""
        calls = len(walked) - 1
        begins, ends = (level[mine].to(walked.device) for level in self._levels(calls, kinds, parts))
        walks = torch.arange(mine.start, mine.stop, device=walked.device) // self.walking.pairs
        here = walks - walks[0]
        noisier, later = walked[begins, here], walked[ends, here]
        heights = self._angles(calls).to(walked)
        begin, end = heights[begins].view(-1, 1, 1, 1), heights[ends].view(-1, 1, 1, 1)
        images, noises = pair_through(noisier, later, begin, end)
        told = None if classes is None else classes[walks]
        return NoisedBatch(images, noises, *rates_of_angles(begin), told, False, lengths=begin - end)

    def _angles(self, calls: int) -> Float[Tensor, " levels"]:
        """The angles of the levels of a walk, the last of which is the image's, 0."""
        found = angles(*self.sampling(calls).grid(self.run.schedule)).flatten()
        found[-1] = 0
        return found

    def _levels(
        self, calls: int, kinds: Numbers, parts: Numbers
    ) -> tuple[Int[Tensor, " whole"], Int[Tensor, " whole"]]:
        """The levels at which steps begin and end, from uniform numbers."""
        learned, walking = self.learned, self.walking
        anywhere = (kinds - walking.from_noise) / (1 - walking.from_noise + 1e-9) * calls
        begins = anywhere.long().clamp(0, calls - 1)
        along = (parts - learned.to_image) / (1 - learned.to_image + 1e-9)
        ends = begins + 1 + (along * (calls - begins)).long()
        return begins, torch.where(parts < learned.to_image, calls, ends.clamp(max=calls))
