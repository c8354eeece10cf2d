"""`denoise` by onnxruntime, and how far the pictures that it draws are from those of PyTorch."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.samplers.sampling import Sampling, self_conditioned
from unnoise.diffusion.samplers.step_ends import StepEnds, jumping
from unnoise.diffusion.tensors import Classes, Denoise, Images, Prediction, RatePair, Rates
from unnoise.diffusion.thresholding import Bounds

PICTURES = 4
MOST_STEPS = 20


class Difference(NamedTuple):
    """Difference of drawn pictures, in levels of 8 bits: 1 is 1/255 of the range from black to white."""

    mean: float
    largest: float


class OnnxDenoise:
    """`Denoise` by a model of `onnx_graph.denoise_graph`, on the CPU.

    Args:
        model: the bytes of an .onnx file.
    """

    def __init__(self, model: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._inputs = {one.name for one in self._session.get_inputs()}
        self._outputs = [one.name for one in self._session.get_outputs()]

    def denoise_for(
        self, classes: Classes | None, num_classes: int = 0, ends_of: StepEnds | None = None
    ) -> Denoise:
        """The denoiser of these classes, or of none, told where steps end and its own last prediction."""
        denoise: Callable[..., Prediction] = partial(self, classes=classes)
        if classes is None and num_classes:
            denoise = partial(self, no_class=num_classes)
        return self_conditioned(denoise if ends_of is None else jumping(denoise, ends_of))

    def __call__(
        self,
        noisy_images: Images,
        noise_rates: Rates,
        signal_rates: Rates,
        *,
        classes: Classes | None = None,
        no_class: int = 0,
        previous_images: Images | None = None,
        ends: RatePair | None = None,
    ) -> Prediction:
        """As `Denoiser.denoise`; `no_class` is the number that stands for no class."""
        end_noise_rates, end_signal_rates = ends or RatePair(noise_rates, signal_rates)
        known: dict[str, torch.Tensor] = {
            "end_noise_rates": end_noise_rates,
            "end_signal_rates": end_signal_rates,
            "noisy_images": noisy_images,
            "noise_rates": noise_rates,
            "signal_rates": signal_rates,
            "classes": torch.full((len(noisy_images),), no_class) if classes is None else classes,
            "previous_images": torch.zeros_like(noisy_images) if previous_images is None else previous_images,
        }
        feeds = {name: value.contiguous().numpy() for name, value in known.items() if name in self._inputs}
        outputs: list[Any] = self._session.run(self._outputs, feeds)
        return Prediction(**dict(zip(self._outputs, map(torch.from_numpy, outputs), strict=True)))


def pixel_bounds(denoiser: Denoiser) -> Bounds:
    """Normalised black and white of each channel, (1, C, 1, 1)."""
    black = torch.zeros(1, denoiser.image_shape[0], 1, 1)
    return denoiser.normalizer.normalize(black), denoiser.normalizer.normalize(black + 1)


def comparable(sampling: Sampling) -> Sampling:
    """The run's own sampling, in at most `MOST_STEPS` steps."""
    return replace(sampling, num_steps=min(sampling.num_steps, MOST_STEPS))


def drawn(
    denoiser: Denoiser,
    sampling: Sampling,
    classes: Classes | None,
    each_step: Callable[[], None],
    model: OnnxDenoise | None = None,
) -> Images:
    """The pictures of the seeds 0, 1, ..., in [0, 1], by PyTorch or by a model: (PICTURES, C, H, W)."""
    draw = denoiser.noises(range(PICTURES))
    if model is None:
        denoise, unguided = denoiser.guided_denoise(sampling, classes), denoiser.denoise_for(classes)
    else:
        ends_of = sampling.step_ends(denoiser.schedule) if denoiser.abilities.step_length else None
        denoise_for = partial(model.denoise_for, num_classes=denoiser.abilities.num_classes, ends_of=ends_of)
        denoise = sampling.guided_denoise(denoise_for, classes, pixel_bounds(denoiser))
        unguided = denoise_for(classes)
    last = unguided, denoiser.normalizer
    for prediction in sampling.reverse_diffusion(denoise, draw(), denoiser.schedule, draw, *last):
        images = prediction.images
        each_step()
    return denoiser.normalizer.denormalize(images)


def difference(left: Images, right: Images) -> Difference:
    """The difference of pictures in [0, 1], (B, C, H, W), in levels."""
    distances = 255 * (left - right).abs()
    return Difference(float(distances.mean()), float(distances.max()))
