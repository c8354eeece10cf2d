"""Generating is a walk from noises to pictures, step by step, over whatever denoises."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from unnoise.diffusion import interpolation
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.guidance import Autoguidance
from unnoise.diffusion.samplers.sampling import Sampling, self_conditioned
from unnoise.diffusion.seeds import SeededNoises
from unnoise.diffusion.tensors import Classes, Denoise, Frames, Images, Prediction, Trajectory
from unnoise.utils.errors import require


class Generating(Denoiser, ABC):
    """A denoiser that draws. Args as for `Diffusion`, which can also learn."""

    weaker: Autoguidance | None = None
    """See `autoguidance.guided_by`."""

    @property
    @abstractmethod
    def ema(self) -> Denoiser:
        """What it draws with."""

    def noises(self, seeds: Sequence[int]) -> SeededNoises:
        """The random numbers of the pictures with these seeds."""
        return SeededNoises(seeds, self.image_shape, self.device)

    def ask(self, classes: Classes | None, *, memory: bool = True) -> Denoise:
        """`denoise` of the averaged network, told these classes, with a memory of one walk where it has one."""
        told = partial(self.ema.denoise, classes=classes)
        return self_conditioned(told) if memory and self.abilities.self_conditioning else told

    def denoiser(self, sampling: Sampling, classes: Classes | None = None, *, memory: bool = True) -> Denoise:
        """`denoise` of the averaged network as samplers take it: guided, clipped, with a memory.

        Without `memory` the same noisy images are always seen alike, also by a network that looks at what it
        saw before: what goes back and forth needs that.
        """
        require(
            classes is None or self.abilities.num_classes > 0,
            "This network knows no classes: train it with labels, or leave the classes out.",
        )
        black = torch.zeros(1, self.image_shape[0], 1, 1)
        bounds = (self.normalizer.normalize(black), self.normalizer.normalize(black + 1))
        return sampling.guided_denoise(partial(self.ask, memory=memory), classes, bounds, self.weaker)

    def reverse_diffusion(
        self,
        noises: Images,
        num_steps: int = 20,
        *,
        eta: float = 0.0,
        sampling: Sampling | None = None,
        classes: Classes | None = None,
        draw_noises: Callable[[], Images] | None = None,
    ) -> Iterator[Prediction]:
        """From noises (B, C, H, W) to images, one `Prediction` (normalised) a step.

        DDIM of `num_steps` and `eta`, or whatever `sampling` says instead. Through the averaged network, as
        everything but training.
        """
        sampling = sampling or Sampling(num_steps=num_steps, eta=eta)
        return sampling.walk(self.denoiser(sampling, classes), noises, self.schedule, draw_noises)

    def generate(
        self,
        num_images: int | None = None,
        num_steps: int = 20,
        seed: int = 0,
        *,
        initial_noises: Images | None = None,
        eta: float = 0.0,
        sampling: Sampling | None = None,
        classes: Classes | None = None,
        batch_size: int = 64,
        each_step: Callable[[], None] = lambda: None,
    ) -> Images:
        """Generates images in [0, 1] with the averaged network: (num_images, C, H, W).

        Image i has the seed `seed + i`, whatever the batch size. `initial_noises`, where given, are used as
        they are instead. `sampling`, where given, stands for num_steps and eta. `each_step` is called after
        each step of each batch; what it raises ends the work.

        Raises:
            UnnoiseError: for fewer than 1 image, or initial_noises that are not num_images of the right shape.
        """
        if initial_noises is not None:
            self._check_noises(initial_noises, num_images)
            num_images = len(initial_noises)
        num_images = 1 if num_images is None else num_images
        require(num_images >= 1, f"At least 1 image can be generated, but {num_images} were asked for.")
        sampling = sampling or Sampling(num_steps=num_steps, eta=eta)
        pictures = []
        for first in range(0, num_images, batch_size):
            draw = self.noises(range(seed + first, seed + min(first + batch_size, num_images)))
            start = draw()  # drawn in any case, so that no later draw can repeat the start
            if initial_noises is not None:
                start = initial_noises[first : first + batch_size].to(self.device)
            some = None if classes is None else classes[first : first + batch_size].to(self.device)
            walk = self.reverse_diffusion(start, sampling=sampling, classes=some, draw_noises=draw)
            for prediction in walk:
                images = prediction.images
                each_step()
            pictures.append(self.normalizer.denormalize(images))
        return torch.cat(pictures)

    def _check_noises(self, noises: Images, num_images: int | None) -> None:
        require(
            num_images is None or num_images == len(noises),
            f"{num_images} images were asked for, but there are {len(noises)} initial noises: leave one out.",
        )
        require(
            tuple(noises.shape[1:]) == tuple(self.image_shape),
            f"Initial noises are {self.image_shape} each, but got {tuple(noises.shape[1:])}.",
        )

    def trajectory(
        self,
        noises: Images,
        num_steps: int = 20,
        *,
        eta: float = 0.0,
        sampling: Sampling | None = None,
        classes: Classes | None = None,
        draw_noises: Callable[[], Images] | None = None,
    ) -> Trajectory:
        """The noisy images at every step and the result, in [0, 1]: (num_steps + 1, B, C, H, W).

        Each is put together again from what was seen in it, at the times of `sampling`.
        """
        sampling = sampling or Sampling(num_steps=num_steps, eta=eta)
        grid = sampling.grid(self.schedule)
        steps = []
        chain = self.reverse_diffusion(noises, sampling=sampling, classes=classes, draw_noises=draw_noises)
        for step, prediction in enumerate(chain):
            noise_rates, signal_rates = (rates[step].to(noises.dtype).to(noises.device) for rates in grid)
            steps.append(signal_rates * prediction.images + noise_rates * prediction.noises)
        return self.normalizer.denormalize(torch.stack([*steps, prediction.images]))

    def interpolate(
        self, noises: Images, frames: int = 11, num_steps: int = 20, *, closed: bool = False
    ) -> Frames:
        """Pictures on the way between noises, in [0, 1]: (frames, C, H, W); see `interpolation.path`."""
        return self.generate(
            initial_noises=interpolation.path(noises, frames, closed=closed), num_steps=num_steps
        )
