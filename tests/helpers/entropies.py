"""Gaussian test images and their entropy in bits per value."""

import math

import torch

BITS = math.log(2)


def gaussian_images(mean, std, shape=(4, 1, 48, 48)):
    """Quantiles of N(mean, std^2) in random order: a sample without chance in its spread."""
    count = math.prod(shape)
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return (mean + std * torch.special.ndtri(levels))[torch.randperm(count)].view(shape)


def entropy(images, mean, std):
    """-log2 of the density, the mean over all values."""
    return -torch.distributions.Normal(mean, std).log_prob(images).mean().item() / BITS
