"""Base of our networks: the forward pass, and what is told beside noisy images, as the noise level."""

from abc import abstractmethod
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.clusters import Clusters
from unnoise.diffusion.tensors import Classes, Features, HiddenFeatures, Images, NextFeatures, Rates
from unnoise.networks.checkpointing import block_caller
from unnoise.networks.embeddings import Embeddings, SinusoidalEmbedding, StepLength, TimestepEmbedding
from unnoise.networks.pixel_head import PixelHead
from unnoise.networks.resampling import crop, pad
from unnoise.utils.errors import require


@runtime_checkable
class Told(Protocol):
    """The fields of a config that both networks have: what they are told, and what they return."""

    @property
    def channels(self) -> int:
        """Of the images."""

    @property
    def patch_size(self) -> int:
        """Side of the square of pixels that becomes one position."""

    @property
    def size_multiple(self) -> int:
        """What heights and widths are rounded up to a multiple of."""

    @property
    def embedding_dim(self) -> int:
        """Numbers in the sinusoidal embedding."""

    @property
    def num_classes(self) -> int:
        """Classes that it can be conditioned on, besides none."""

    @property
    def clusters(self) -> bool:
        """Whether the classes are clusters of pictures that look alike, which it keeps."""

    @property
    def self_conditioning(self) -> bool:
        """Whether it also takes the images that it predicted in the step before."""

    @property
    def uncertainty(self) -> bool:
        """Whether it also returns the logarithm of the expected loss."""

    @property
    def step_length(self) -> bool:
        """Whether it is also told the length of a step."""

    @property
    def input_skip(self) -> bool:
        """Whether the noisy images are added to the prediction, times learned gains."""

    @property
    def pixel_width(self) -> int:
        """Features of each pixel that the pixel head gets; 0 where there is none."""


class Conditioned(nn.Module):
    """A network with an embedding of all that it is told; `UNet` and `Transformer` add the layers."""

    config: Told
    embed: SinusoidalEmbedding | TimestepEmbedding
    dense: nn.Sequential | None
    classes: nn.Embedding | None
    clusters: Clusters | None
    uncertainty: nn.Linear | None
    step_length: StepLength | None
    input_skip: nn.Linear | None
    pixel_head: PixelHead | None
    stem: nn.Module
    head: nn.Module

    def forward(
        self,
        noisy_images: Images,
        conditions: Rates,
        classes: Classes | None = None,
        previous_images: Images | None = None,
        step_lengths: Rates | None = None,
    ) -> NextFeatures:
        """(B, channels, H, W) with one number for each image (B, 1, 1, 1) -> (B, channels or more, H, W).

        Args:
            noisy_images: the images to denoise.
            conditions: noise levels in [0, 1], or step indices where a U-Net's `frequencies` are `timesteps`.
            classes: (B,) integers below num_classes; num_classes itself, or None, means no class. Or shares of
                all of these, (B, num_classes + 1): then their embeddings are mixed.
            previous_images: prediction of the step before, for self-conditioning; None means zeros.
            step_lengths: (B, 1, 1, 1) in [0, 1]; None means 0.

        Returns:
            Channels of the prediction; where configured, then as many channels with the v of a learned
            variance, and one channel, constant over H x W, with the uncertainty.

        Raises:
            UnnoiseError: classes, previous images or step lengths for a network not built to take them.
        """
        height, width = noisy_images.shape[-2:]
        images = pad(self._with_previous(noisy_images, previous_images), self.config.size_multiple)
        patches = functional.pixel_unshuffle(images, self.config.patch_size)
        sinusoids = self.embed(conditions)
        embedding = self._embedding(sinusoids, classes, step_lengths)
        output, features = self._predicted(patches, embedding)
        output = functional.pixel_shuffle(self._with_input(output, patches, embedding), self.config.patch_size)
        if self.pixel_head is not None:
            channels = self.config.channels
            call = block_caller(self)  # at full resolution it holds most of the activations
            output = _added(output, call(self.pixel_head, features, images[:, :channels], embedding))
        return self._with_uncertainty(crop(output, height, width), sinusoids)

    @abstractmethod
    def _predicted(self, patches: Features, embedding: Embeddings) -> tuple[NextFeatures, HiddenFeatures]:
        """The prediction for patches, (B, channels p^2, H / p, W / p) or more, and what the head made it of."""

    @property
    def ends(self) -> list[nn.Module]:
        """Stem and heads, which an optimiser may move otherwise than hidden layers."""
        pixel_ends = [] if self.pixel_head is None else [self.pixel_head.enter, self.pixel_head.leave]
        return [self.stem, self.head, *pixel_ends, *([] if self.uncertainty is None else [self.uncertainty])]

    def _build_extras(self, pixels: int, features: int) -> None:
        """Builds optional layers last, so that the random numbers of all other layers do not depend on them.

        Args:
            pixels: numbers in a patch of the images that are predicted.
            features: numbers of each patch that the head makes them of.
        """
        config = self.config
        embedding_dim = config.embedding_dim * (1 if self.dense is None else 4)
        self.classes = nn.Embedding(config.num_classes + 1, embedding_dim) if config.num_classes else None
        self.clusters = Clusters(config.channels, config.num_classes) if config.clusters else None
        self.uncertainty = nn.Linear(config.embedding_dim, 1) if config.uncertainty else None
        self.step_length = StepLength(config.embedding_dim, embedding_dim) if config.step_length else None
        self.input_skip = nn.Linear(embedding_dim, pixels) if config.input_skip else None
        shape = (features, config.channels, config.patch_size, config.pixel_width, embedding_dim)
        self.pixel_head = PixelHead(*shape) if config.pixel_width else None
        for module in (self.head, self.classes, self.uncertainty, self.step_length, self.input_skip):
            for parameter in module.parameters() if module is not None else ():
                nn.init.zeros_(parameter)

    def _with_previous(self, images: Images, previous: Images | None) -> NextFeatures:
        require(
            self.config.self_conditioning or previous is None,
            "This network takes no previous images. Build it with self_conditioning=True.",
        )
        if not self.config.self_conditioning:
            return images
        return torch.cat([images, torch.zeros_like(images) if previous is None else previous], dim=1)

    def _embedding(
        self, sinusoids: Embeddings, classes: Classes | None, step_lengths: Rates | None
    ) -> Float[Tensor, "batch embedding"]:
        require(
            self.classes is not None or classes is None,
            "This network knows no classes. Build it with num_classes=10 for ten classes.",
        )
        require(
            self.step_length is not None or step_lengths is None,
            "This network knows no step lengths. Build it with step_length=True.",
        )
        # Classes and step lengths are added before the last activation.
        embedding = sinusoids if self.dense is None else self.dense[:-1](sinusoids)
        if self.classes is not None:
            if classes is None:
                classes = torch.full(embedding.shape[:1], self.config.num_classes, device=embedding.device)
            mixed = classes.is_floating_point()
            embedding = embedding + (classes @ self.classes.weight if mixed else self.classes(classes))
        if self.step_length is not None and step_lengths is not None:
            embedding = embedding + self.step_length(step_lengths)
        return embedding if self.dense is None else self.dense[-1](embedding)

    def _with_input(
        self, output: Features, patches: Float[Tensor, "batch given height width"], embedding: Embeddings
    ) -> NextFeatures:
        r"""Adds the noisy images to the prediction, times a gain g of the embedding for each number in a patch.

            output + g(embedding) * patches

        Since the velocity is alpha / sigma x_t - x_0 / sigma, a gain of alpha / sigma leaves the picture for
        the layers to predict, and no noise has to pass through them; a gain of 0 leaves the velocity. What lies
        between is learned for each noise level. EDM's c_skip is such a gain, but fixed (2206.00364, eq. 7).
        """
        if self.input_skip is None:
            return output
        gains = self.input_skip(embedding)[:, :, None, None]
        return _added(output, gains * patches[:, : gains.shape[1]])

    def _with_uncertainty(self, output: NextFeatures, sinusoids: Embeddings) -> Features:
        if self.uncertainty is None:
            return output
        with torch.autocast(output.device.type, enabled=False):  # a log loss needs float32
            values = self.uncertainty(sinusoids)[:, :, None, None].expand(-1, -1, *output.shape[-2:])
            return torch.cat([output.float(), values], dim=1)


def _added(output: Features, more: HiddenFeatures) -> Features:
    """Adds to the first channels, those of the prediction; others belong to the variances."""
    count = more.shape[1]
    added = output[:, :count] + more
    return added if count == output.shape[1] else torch.cat([added, output[:, count:]], dim=1)


def dense_embedding(dimensions: int) -> nn.Sequential:
    """The two dense layers after a sinusoidal embedding, each 4 times as wide and followed by SiLU."""
    wide = 4 * dimensions
    return nn.Sequential(nn.Linear(dimensions, wide), nn.SiLU(), nn.Linear(wide, wide), nn.SiLU())
