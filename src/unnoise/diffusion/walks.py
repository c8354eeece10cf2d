r"""Walks: sampling trajectories of a finished run, from which another network learns to draw in few calls.

A walk begins at pure noises and takes K calls of the run. For any two of its noisy images, x_t and the later
x_s, there are an image and noises that mix to both of them,

    x_0 = (sin t x_s - sin s x_t) / sin(t - s),        eps = (cos s x_t - cos t x_s) / sin(t - s)

with the angles t and s of their levels (see `mean_velocity`). The velocity of this image and these noises is
the mean velocity from t to s, up to the error of the solver. So the target is known at once and stays the same,
whereas in training on pictures it is computed with the network itself, which changes. (Luhman and Luhman,
2101.02388, learn whole walks in this way, from noise to image.)

A walk of twelve calls has 78 pairs, so that walks are kept for some time: in blocks of one walk for each
image of a batch. Every few steps a new block takes the place of the oldest. Pairs are taken from all that are
there: from few walks at a time, the network would learn the walks of the moment.
"""

from collections.abc import Iterator
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.guidance import Guidance
from unnoise.diffusion.mean_velocity import MeanVelocity, Walking, angles, pair_through, rates_of_angles
from unnoise.diffusion.noising import NoisedBatch
from unnoise.diffusion.samplers.grid import noisy_images
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.tensors import Classes, Features, Images, PerImage, RatePair, Rates, Trajectory
from unnoise.optim.process_group import BatchPart
from unnoise.utils.errors import require

Numbers: TypeAlias = Float[Tensor, " images"]
"""A number for each image of a batch."""
Places: TypeAlias = Int[Tensor, " images"]

_SMALLEST_LENGTH = 1e-3
_MOST_BYTES, _FEWEST_KEPT = 2**30, 4
"""Memory that blocks may fill, and how many are kept even where that is more."""
_HELD_OUT = 0
"""Number of the block that is never learned from; the others count from 1."""


class Block(NamedTuple):
    """Walks that take equally many calls, one for each image of a batch."""

    images: Trajectory
    """Noisy images at every level: (calls + 1, B, C, H, W), normalised."""
    angles: Float[Tensor, " levels"]
    classes: Classes | None

    @property
    def calls(self) -> int:
        """Of the run, for each walk."""
        return len(self.images) - 1


class Walks:
    """Walks of a run, and pairs of their noisy images to learn from.

    Args:
        run: with the weights of the run, which do not change.
        learned: how long walks are, and which pairs are taken of them.
        seed: of the noises that they begin at.

    Raises:
        UnnoiseError: where looks are to be compared by a network without levels of resolution.
    """

    def __init__(self, run: Denoiser, learned: MeanVelocity, seed: int = 0) -> None:
        self.run, self.learned, self.seed = run, learned, seed
        require(
            self.walking.look == 0 or hasattr(run.network, "hidden"),
            "How far apart pictures look is measured by the levels of a U-Net, which this network has not. "
            "Set Walking(look=0).",
        )
        self.step = 0
        """The step of training that the next pairs are for: it says which blocks they are taken from."""
        self._blocks: dict[tuple[int, BatchPart, int], Block] = {}

    @property
    def walking(self) -> Walking:
        """How it walks."""
        return self.learned.walking or Walking()

    def sampling(self, calls: int | None = None) -> Sampling:
        """How the run walks in so many calls: DPM-Solver++ 2M."""
        guidance, calls = Guidance(scale=self.learned.guidance), calls or self.walking.calls
        return Sampling(sampler="dpmpp_2m", num_steps=calls, spacing=self.walking.spacing, guidance=guidance)

    @torch.no_grad()
    def walk(self, noises: Images, classes: Classes | None = None, *, calls: int | None = None) -> Trajectory:
        """The noisy images at every level, and the result: (calls + 1, B, C, H, W), normalised."""
        sampling = self.sampling(calls)
        walk = self.run.reverse_diffusion(noises, sampling=sampling, classes=classes)
        return torch.stack([*noisy_images(walk, sampling.grid(self.run.schedule))])

    def draw(
        self, count: int, generator: torch.Generator, part: BatchPart | None = None, *, training: bool = True
    ) -> NoisedBatch:
        """A pair of noisy images for each image of a batch, or of this part of the batch of all processes.

        Image i of the batch gets a pair of walk i of any block that is kept, so that each process walks for
        its own images alone. Without `training` all pairs are of one block that is never learned from.
        """
        part = part or BatchPart(0, count)
        kinds, parts, chosen = torch.rand(3, part.whole, generator=generator, device=generator.device).cpu()
        kinds, parts, chosen = (each[part.places(count)] for each in (kinds, parts, chosen))
        numbers, found = self._numbers(training, part.whole), []
        taken = (chosen * len(numbers)).long()
        for i in taken.unique().tolist():
            block, places = self._block(numbers[i], part, count), (taken == i).nonzero().flatten()
            found.append(self._pairs(block, places, kinds[places], parts[places]))
        order = torch.argsort(taken, stable=True).argsort().to(self.run.device)
        noisier, later, begin, end = (torch.cat([pairs[end] for pairs, _ in found])[order] for end in range(4))
        images, noises = pair_through(noisier, later, begin, end)
        told = [classes for _, classes in found if classes is not None]
        classes = torch.cat(told)[order] if told else None
        return NoisedBatch(images, noises, *rates_of_angles(begin), classes, False, lengths=begin - end)

    def walk_again(self, count: int, part: BatchPart | None = None) -> Iterator[int]:
        """Walks what the step needs that comes next, for a run that goes on; yields after each block."""
        part = part or BatchPart(0, count)
        for number in self._numbers(True, part.whole):
            self._block(number, part, count)
            yield number

    def look(self, found: Images, wanted: Images, level: RatePair, classes: Classes | None) -> PerImage:
        """How far apart noisy images of a level look to the run: (B,).

        The mean squared difference of its hidden features, whose vector at each position is made to have a mean
        square of 1. Each resolution counts equally (as in 1801.03924, without weights that are learned). Images
        without noise are seen as those of the lowest level of the schedule, since the run knows no lower one.
        """
        lowest = self.run.schedule(torch.zeros_like(level.noise_rates))
        beyond = level.noise_rates < lowest.noise_rates
        level = RatePair(*(torch.where(beyond, *each) for each in zip(lowest, level, strict=True)))
        with torch.no_grad():
            targets = self.run.hidden(wanted, level, classes)
        features = self.run.hidden(found, level, classes)
        return torch.stack(
            [
                (_scaled(each) - _scaled(target)).square().mean((1, 2, 3))
                for each, target in zip(features, targets, strict=True)
            ]
        ).mean(0)

    def _numbers(self, training: bool, whole: int) -> list[int]:
        """The numbers of the blocks that pairs are taken from."""
        if not training:
            return [_HELD_OUT]
        oldest, calls = self.step // self.walking.pairs + 1, self.walking.calls * 3 // 2
        fit = _MOST_BYTES // (4 * whole * (calls + 1) * prod(self.run.image_shape))
        # One more at each of the first steps, so that the first of them need not wait for all.
        kept = min(self.walking.kept, max(_FEWEST_KEPT, fit), _FEWEST_KEPT + self.step)
        return list(range(oldest, oldest + kept))

    def _block(self, number: int, part: BatchPart, count: int) -> Block:
        """A block, or what is for the images of one process of it: kept from before, or walked anew."""
        key = number, part, count
        if key not in self._blocks:
            needed = {_HELD_OUT, *self._numbers(True, part.whole)}
            self._blocks = {other: block for other, block in self._blocks.items() if other[0] in needed}
            self._blocks[key] = self._walked(number, part, count)
        return self._blocks[key]

    def _walked(self, number: int, part: BatchPart, count: int) -> Block:
        """Walks from new noises. Each class is as likely as the others, and as none; clusters by their size."""
        seed = np.random.SeedSequence([abs(self.seed), number, 1]).generate_state(1, np.uint64)[0] >> np.uint64(
            1
        )
        generator, device = torch.Generator().manual_seed(int(seed)), self.run.device
        noises = torch.randn((part.whole, *self.run.image_shape), generator=generator)[part.places(count)]
        num_classes, classes = self.run.abilities.num_classes, None
        clusters = self.run.abilities.clusters
        if num_classes:
            if clusters is None:
                drawn = torch.randint(num_classes + 1, (part.whole,), generator=generator)
            else:
                chances = clusters.counts.cpu().float()
                drawn = torch.multinomial(chances, part.whole, replacement=True, generator=generator)
            classes = drawn[part.places(count)].to(device)
        # Blocks take different numbers of calls, so that the network meets many noise levels.
        calls = self.walking.calls + number % (self.walking.calls // 2 + 1)
        walked = self.walk(noises.to(device), classes, calls=calls)
        return Block(walked, self._angles(calls).to(walked), classes)

    def _angles(self, calls: int) -> Float[Tensor, " levels"]:
        """The angles of the levels of a walk, the last of which is the image's, 0."""
        found = angles(*self.sampling(calls).grid(self.run.schedule)).flatten()
        found[-1] = 0
        return found

    def _pairs(
        self, block: Block, places: Places, kinds: Numbers, parts: Numbers
    ) -> tuple[tuple[Images, Images, Rates, Rates], Classes | None]:
        """The noisy images and angles of both ends of a step along each of these walks, and the classes."""
        device = block.images.device
        begins, ends = (level.to(device) for level in self._levels(block.calls, kinds, parts))
        places = places.to(device)
        begin, end = (block.angles[level].view(-1, 1, 1, 1) for level in (begins, ends))
        classes = None if block.classes is None else block.classes[places]
        return (block.images[begins, places], block.images[ends, places], begin, end), classes

    def _levels(self, calls: int, kinds: Numbers, parts: Numbers) -> tuple[Places, Places]:
        """The levels at which steps begin and end, from uniform numbers."""
        learned, walking = self.learned, self.walking
        anywhere = (kinds - walking.from_noise) / (1 - walking.from_noise + 1e-9) * calls
        begins = anywhere.long().clamp(0, calls - 1)
        along = (parts - learned.to_image) / (1 - learned.to_image + 1e-9)
        ends = begins + 1 + (along * (calls - begins)).long()
        return begins, torch.where(parts < learned.to_image, calls, ends.clamp(max=calls))


def _scaled(features: Features) -> Features:
    features = features.float()
    length: Features = features.square().mean(1, keepdim=True).sqrt()
    return features / (length + _SMALLEST_LENGTH)
