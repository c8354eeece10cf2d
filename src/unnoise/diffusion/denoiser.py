r"""The one `denoise`: a network with the schedule, objective and normaliser that give its output a meaning.

    x_t = \alpha_t x_0 + \sigma_t \epsilon,        \alpha_t^2 + \sigma_t^2 = 1

in code: noisy_images = signal_rates * images + noise_rates * noises (DDPM, 2006.11239, eq. 4). Training
compares the prediction with the noises and images that were mixed; sampling starts from noises alone and calls
`denoise` step by step. Every prediction in unnoise comes from it; `hidden` reads inner layers only.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial

import torch
from torch import nn

from unnoise.diffusion.conditioning import Abilities, Condition, conditions, require_compatible
from unnoise.diffusion.guidance import Autoguidance
from unnoise.diffusion.learned_variance import variance_loss
from unnoise.diffusion.mean_velocity import Steps, step_lengths
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.objectives import Losses, Objective
from unnoise.diffusion.samplers.grid import noisy_images
from unnoise.diffusion.samplers.sampling import Sampling, self_conditioned
from unnoise.diffusion.samplers.step_ends import StepEnds, jumping
from unnoise.diffusion.schedules import DiscreteSchedule, Schedule
from unnoise.diffusion.seeds import SeededNoises
from unnoise.diffusion.tensors import (
    Classes,
    Denoise,
    Images,
    Levels,
    NextFeatures,
    Prediction,
    RatePair,
    Rates,
    Trajectory,
    mix,
)
from unnoise.utils.errors import require
from unnoise.utils.out_of_memory import Pieces
from unnoise.utils.precision import Precision


class Denoiser:
    """A network that denoises, and everything that can be done with it but training.

    A plain class, not an `nn.Module`: only the network has weights. `Diffusion` holds two of them, one over the
    network that learns and one, `Diffusion.ema`, over its moving average.

    Args:
        network: (noisy_images, conditions) -> what the objective predicts, (B, C or more, H, W).
        image_shape: (channels, height, width) of an image.
        normalizer: between pixels in [0, 1] and what the network sees.
        schedule: diffusion time -> (noise_rates, signal_rates).
        objective: what the network predicts, and what the loss compares.
        condition: how the network is told the noise level; see `conditioning.conditions`.
        device: where the network is put.
        precision: of the network's arithmetic (autocast); weights and losses are float32.
        autoguidance: a weaker denoiser to be guided away from when sampling (2406.02507).

    Raises:
        UnnoiseError: for a network that predicts the noise where the schedule starts sampling without any
            signal, a learned variance without a discrete schedule, or timesteps without one.
    """

    def __init__(
        self,
        network: nn.Module,
        image_shape: tuple[int, int, int],
        *,
        normalizer: Normalizer,
        schedule: Schedule,
        objective: Objective,
        condition: Condition = "variance",
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        autoguidance: Autoguidance | None = None,
    ) -> None:
        self.device = torch.device(device)
        # Convolutions are faster with the channels last, on CPUs as on GPUs.
        self.network: nn.Module = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.abilities = Abilities(network)
        self.image_shape, self.normalizer = image_shape, normalizer
        self.schedule, self.objective = schedule, objective
        self.condition, self.precision = condition, precision
        self.autoguidance = autoguidance
        self.pieces = Pieces(device=self.device)
        """How many images the network takes at once where nothing is learned; fewer once memory ran out."""
        require_compatible(condition, self.abilities, schedule, objective.predicts)

    def over(self, network: nn.Module, *, autoguidance: Autoguidance | None = None) -> "Denoiser":
        """The same settings over another network: a moving average, or a compiled copy."""
        other = copy(self)
        other.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        other.abilities, other.autoguidance = Abilities(network), autoguidance or self.autoguidance
        return other

    def denoise(
        self,
        noisy_images: Images,
        noise_rates: Rates,
        signal_rates: Rates,
        *,
        classes: Classes | None = None,
        previous_images: Images | None = None,
        ends: RatePair | None = None,
    ) -> Prediction:
        """Separates noisy images into noises and images by one call of the network.

        Args:
            noisy_images: (B, C, H, W), normalised.
            noise_rates, signal_rates: (B, 1, 1, 1).
            classes: (B,), for a class-conditional network; None for no class.
            previous_images: the images predicted in the step before, for a self-conditioned network.
            ends: where the step ends, for a network that is told its length; see `mean_velocity`.

        Returns:
            `Prediction(noises, images)` with signal_rates * images + noise_rates * noises = noisy_images.
        """
        told = conditions(self.condition, noise_rates, signal_rates, self.schedule)
        lengths = None if ends is None else step_lengths(noise_rates, signal_rates, *ends)
        more = {"classes": classes, "previous_images": previous_images, "step_lengths": lengths}
        given = {name: value for name, value in more.items() if value is not None}

        def call(noisy_images: Images, told: Rates, *given_values: torch.Tensor) -> NextFeatures:
            named = dict(zip(given, given_values, strict=True))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                output: NextFeatures = self.network(noisy_images, told, **named).float()
            return output

        # Gradients need the memory of all pieces: what learns is cut as a whole, by the training loop.
        learns = self.network.training or (torch.is_grad_enabled() and noisy_images.requires_grad)
        pass_on = call if learns else partial(self.pieces.apply, call)
        output = pass_on(noisy_images, told, *given.values())
        output, variances, uncertainties = self.abilities.split(output)
        prediction = self.objective.separate(output, noisy_images, noise_rates, signal_rates)
        return prediction._replace(variances=variances, uncertainties=uncertainties)

    def losses(
        self,
        images: Images,
        noises: Images,
        noise_rates: Rates,
        signal_rates: Rates,
        *,
        classes: Classes | None = None,
        self_condition: bool = False,
        steps: Steps | None = None,
    ) -> Losses:
        """Training losses: mixes images with noises, denoises, and compares.

        Args:
            images, noises: (B, C, H, W), normalised; all others as for `denoise`.
            self_condition: first predicts without gradient, and then with that prediction (2208.04202, 3.2).
            steps: if given, the network learns the mean velocity of these steps, not the velocity at one level.
        """
        noisy, truth = mix(images, noises, noise_rates, signal_rates), Prediction(noises, images)
        told, previous = partial(self.denoise, classes=classes), None
        if steps is not None:
            truth = steps.target(told, self.denoise, noisy, truth, noise_rates, signal_rates)
            told = partial(told, ends=steps.ends(noise_rates, signal_rates))
        denoise = partial(told, noisy, noise_rates, signal_rates)
        if self_condition:
            with torch.no_grad():
                previous = denoise().images
        prediction = denoise(previous_images=previous)
        losses = self.objective.compare(prediction, truth, noise_rates, signal_rates)
        if steps is not None:
            losses = steps.weighted(losses, prediction, truth, noisy, noise_rates, signal_rates, classes)
        elif prediction.variances is not None and isinstance(self.schedule, DiscreteSchedule):
            losses = losses + variance_loss(prediction, images, noise_rates, signal_rates, self.schedule)
        if prediction.uncertainties is not None:  # EDM2, 2312.02696, eq. 21
            losses = losses * (-prediction.uncertainties).exp() + prediction.uncertainties
        return Losses.of(losses, prediction, truth)

    def hidden(self, noisy_images: Images, rates: RatePair, classes: Classes | None = None) -> Levels:
        """Hidden features of noisy images at each resolution, (B, features, h, w) each; see `UNet.hidden`."""
        told = conditions(self.condition, *rates, self.schedule)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            found: Levels = self.network.hidden(noisy_images, told, classes)  # type: ignore[operator]
        return found

    def noises(self, seeds: Sequence[int]) -> SeededNoises:
        """The noises of the images with these seeds, one random generator for each."""
        return SeededNoises(seeds, self.image_shape, self.device)

    def denoise_for(
        self, classes: Classes | None, *, self_conditioning: bool = True, ends_of: StepEnds | None = None
    ) -> Denoise:
        """The `Denoise` function of one sampling, for these classes, (B,); `ends_of` says where each step ends.

        For a self-conditioned network it stores the last prediction: make a new function for each sampling.
        """
        denoise: Callable[..., Prediction] = partial(self.denoise, classes=classes)
        if ends_of is not None:
            denoise = jumping(denoise, ends_of)
        # Networks that jump have learned to do so without their last prediction.
        remembers = self.abilities.self_conditioning and not self.abilities.step_length
        return self_conditioned(denoise) if self_conditioning and remembers else denoise

    def guided_denoise(
        self, sampling: Sampling, classes: Classes | None = None, *, self_conditioning: bool = True
    ) -> Denoise:
        """`denoise` as samplers call it: with guidance, clipping and self-conditioning.

        Without `self_conditioning` a prediction does not depend on the calls before it, as inversion needs.

        Raises:
            UnnoiseError: for classes that the network does not know.
        """
        known = classes is None or self.abilities.num_classes > 0
        require(known, "This network was trained without classes. Leave them out, or train it with labels.")
        black = torch.zeros(1, self.image_shape[0], 1, 1)
        bounds = (self.normalizer.normalize(black), self.normalizer.normalize(black + 1))
        ends_of = sampling.step_ends(self.schedule) if self.abilities.step_length else None
        denoise_for = partial(self.denoise_for, self_conditioning=self_conditioning, ends_of=ends_of)
        weak = self.autoguidance and self.autoguidance.called(like=self, **denoise_for.keywords)
        return sampling.guided_denoise(denoise_for, classes, bounds, weak)

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
        """The reverse process from noises (B, C, H, W) to images: one `Prediction` (normalised) a step.

        DDIM (2010.02502) with `num_steps` and `eta`, or whatever `sampling` says instead. `draw_noises` gives
        the fresh noise of samplers that need it.
        """
        sampling = sampling or Sampling(num_steps=num_steps, eta=eta)
        denoise, last = self.guided_denoise(sampling, classes), (self.denoise_for(classes), self.normalizer)
        return sampling.reverse_diffusion(denoise, noises, self.schedule, draw_noises, *last)

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
        """Generates images in [0, 1]: (num_images, C, H, W).

        Image i has the seed `seed + i` in any batch; without `classes` (B,) the seed also decides its cluster.
        `initial_noises` (B, C, H, W) replace the seeded noises; `sampling` replaces `num_steps` and `eta`.
        `each_step` is called after each step of each batch; an exception from it ends the work.

        Raises:
            UnnoiseError: for fewer than 1 image, or initial_noises of another number or shape.
        """
        if initial_noises is not None:
            shape = tuple(initial_noises.shape)
            num_images = len(initial_noises) if num_images is None else num_images
            wanted = (num_images, *self.image_shape)
            require(shape == wanted, f"Initial noises have the shape {wanted} here, but got {shape}.")
        num_images = 1 if num_images is None else num_images
        require(num_images >= 1, f"At least 1 image can be generated, but {num_images} were asked for.")
        sampling = sampling or Sampling(num_steps=num_steps, eta=eta)

        def drawn(some: slice) -> Images:
            draw = self.noises(seeds := range(seed + some.start, seed + some.stop))
            start = draw()  # drawn in any case, so that no later draw can repeat the start
            if initial_noises is not None:
                start = initial_noises[some].to(self.device)
            told = self.abilities.classes_of_seeds(seeds) if classes is None else classes[some].to(self.device)
            for prediction in self.reverse_diffusion(start, sampling=sampling, classes=told, draw_noises=draw):
                images = prediction.images
                each_step()
            return self.normalizer.denormalize(images)

        return torch.cat(Pieces(batch_size, self.device).map(num_images, drawn))

    def trajectory(
        self,
        noises: Images,
        num_steps: int = 20,
        *,
        sampling: Sampling | None = None,
        classes: Classes | None = None,
        draw_noises: Callable[[], Images] | None = None,
    ) -> Trajectory:
        """The noisy images at every step, and the result, in [0, 1]: (num_steps + 1, B, C, H, W), on the CPU.

        Arguments as for `reverse_diffusion`. Each step leaves the device at once: many would fill its memory.
        """
        sampling = sampling or Sampling(num_steps=num_steps)
        walk = self.reverse_diffusion(noises, sampling=sampling, classes=classes, draw_noises=draw_noises)
        steps = noisy_images(walk, sampling.grid(self.schedule))
        return torch.stack([self.normalizer.denormalize(images).cpu() for images in steps])
