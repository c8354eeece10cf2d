"""Sample check: samples are compared with the data, and a fault only where they were healthy before."""

import numpy as np
import pytest
import torch

from unnoise.trainer.guards.samples import Appearance, SampleCheck, reference_pictures

GENERATOR = torch.Generator().manual_seed(0)


def blobs(count: int, channels: int = 3, side: int = 16, seed: int = 0) -> torch.Tensor:
    """Smooth pictures of random colours."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return (0.5 * fine + 0.3 * torch.rand(count, channels, 1, 1, generator=generator)).clamp(0, 1)


DATA = Appearance.of(blobs(256))


def watch(healthy: int = 2) -> SampleCheck:
    watched = SampleCheck(DATA)
    for step in range(1, healthy + 1):
        assert watched.add(blobs(36, seed=step), step, 0.1) is None
    return watched


def flat(*colour: float) -> torch.Tensor:
    return torch.tensor(colour).view(1, -1, 1, 1).expand(36, -1, 16, 16).clone()


def mixed(pictures: torch.Tensor, share: float) -> torch.Tensor:
    """With this share of good ones among them."""
    return torch.cat([blobs(36, seed=9)[: round(36 * share)], pictures[round(36 * share) :]])


COLLAPSED = {
    "All samples became all black": flat(0.0, 0.0, 0.0),
    "All samples became all white": flat(1.0, 1.0, 0.98),
    "All samples became all grey": flat(0.5, 0.5, 0.5) + 0.005 * torch.randn(36, 3, 16, 16),
    "All samples became all one colour (red 0.90, green 0.20, blue 0.10)": flat(0.9, 0.2, 0.1),
    "75% of the samples became all black": mixed(flat(0.0, 0.0, 0.0), 0.25),
    "Samples hold NaN or infinity": blobs(36) * float("nan"),
}


@pytest.mark.parametrize("seen", COLLAPSED)
def test_collapsed_samples_are_reported_with_their_colour(seen):
    fault = watch().add(COLLAPSED[seen], 7, 0.3)
    assert (fault.kind, fault.cause, fault.step, fault.last_good_step) == ("collapsed samples", seen, 7, 2)


def changed(channel: int, factor: float, shift: float) -> torch.Tensor:
    pictures = blobs(36, seed=5)
    mean = pictures[:, channel].mean()
    pictures[:, channel] = (pictures[:, channel] - mean) * factor + mean + shift
    return pictures.clamp(0, 1)


@pytest.mark.parametrize(
    ("samples", "seen"),
    [
        (changed(0, 1.0, 0.3), "The samples' red shifted from the data's 0.41 to 0.7"),
        (changed(2, 1.0, -0.3), "The samples' blue shifted from the data's 0.40 to 0.1"),
        (changed(1, 0.2, 0.0), "The samples' contrast in green became 0.2 times the data's"),
        (changed(1, 9.0, 0.0), "The samples' contrast in green became 3.2 times the data's"),
    ],
)
def test_shifted_colours_and_contrasts_are_reported_with_their_channel(samples, seen):
    fault = watch().add(samples, 7, 0.3)
    assert (fault.kind, fault.last_good_step) == ("colour shift", 2)
    assert fault.cause.startswith(seen)


def test_other_pictures_of_the_data_are_never_a_fault():
    watched = watch()
    assert all(watched.add(blobs(36, seed=seed), seed, 0.5) is None for seed in range(10, 210))


@pytest.mark.parametrize("young", [torch.rand(36, 3, 16, 16), flat(0.5, 0.5, 0.5), changed(0, 1.0, 0.4)])
def test_samples_that_never_were_healthy_are_not_a_fault(young):
    """Noise, grey, a cast: all of that young networks give, and none of it counts as having been well."""
    watched = SampleCheck(DATA)
    assert all(watched.add(young, step, 0.1) is None for step in range(1, 9))
    assert watched.add(flat(0.0, 0.0, 0.0), 9, 0.1) is None
    assert watch(healthy=1).add(flat(0.0, 0.0, 0.0), 9, 0.1) is None  # once may be chance


def test_samples_that_never_were_healthy_are_reported_once_after_half_of_the_budget():
    watched = SampleCheck(DATA)
    told = [watched.add(flat(0.0, 0.0, 0.0), step, step / 10) for step in range(3, 11)]
    assert [fault.step for fault in told if fault is not None] == [5]
    assert told[2].last_good_step is None
    first = SampleCheck(DATA)
    assert first.add(flat(0.0, 0.0, 0.0), 5, 1.0) is None  # a run that is over with its first look


def test_flat_samples_of_flat_data_are_not_a_fault():
    """Half of these pictures are empty, as scans often are; and single pixels have no contrast at all."""
    half = torch.cat([blobs(128), flat(0.2, 0.2, 0.2)[:32].repeat(4, 1, 1, 1)])
    watched = SampleCheck(Appearance.of(half))
    for step in range(1, 4):
        assert watched.add(mixed(flat(0.2, 0.2, 0.2), 0.5), step, 0.9) is None
    pixels = SampleCheck(Appearance.of(torch.rand(256, 1, 1, 1)))
    assert all(pixels.add(torch.rand(36, 1, 1, 1), step, 0.9) is None for step in range(9))


@pytest.mark.parametrize(("count", "side"), [(70, 16), (9, 480)])
def test_appearance_holds_contrast_means_stds_and_roughness(count, side):
    """Of large pictures, too, which are looked at a few at a time."""
    pictures = (blobs(count, side=side) * 255).to(torch.uint8)
    found, values = Appearance.of(pictures), pictures.double() / 255
    torch.testing.assert_close(found.means, values.mean((0, 2, 3)))
    torch.testing.assert_close(found.stds, values.transpose(0, 1).flatten(1).std(1, correction=0))
    contrasts = values.var((2, 3), correction=0).mean(1).sqrt()
    torch.testing.assert_close(found.contrasts, contrasts)
    assert Appearance.of(torch.rand(200, 1, 16, 16)).roughness == pytest.approx(1, abs=0.02)
    assert found.roughness < 0.2
    assert found.share_below(float(contrasts.median())) == (count - 1) // 2 / count


class Labelled:
    labels = np.array([0] * 90 + [1] * 10)

    def __len__(self):
        return 100

    def take(self, indices):
        return torch.from_numpy(indices).view(-1, 1, 1, 1).to(torch.uint8)


def test_reference_pictures_have_as_many_of_each_class():
    chosen = reference_pictures(Labelled(), np.arange(100), 2, count=20).flatten()
    assert (chosen >= 90).sum() == 10
    assert len(chosen) == 20
    spread = reference_pictures(Labelled(), np.arange(100), 0, count=20).flatten()
    assert (spread >= 90).sum() == 2


@pytest.mark.parametrize("count", [3, 6, 12])
def test_small_sheets_collapse_as_large_ones_do_but_chance_is_no_fault(count):
    watched = watch()
    assert watched.add(flat(0.0, 0.0, 0.0)[:count], 7, 0.3).cause == "All samples became all black"
    often = torch.cat([blobs(150), flat(0.2, 0.2, 0.2)[:1].expand(106, -1, -1, -1)])  # 41 % of them are empty
    watched = SampleCheck(Appearance.of(often))
    for step in (1, 2):
        watched.add(often[torch.arange(0, 256, 7)], step, 0.1)
    assert (watched.add(flat(0.2, 0.2, 0.2)[:count], 3, 0.3) is None) == (count < 12)
    by_chance = SampleCheck(DATA)
    for seed in range(1, 200):
        assert by_chance.add(blobs(count, seed=seed), seed, 0.5) is None


def test_samples_of_fewer_steps_are_not_compared_with_those_of_more():
    """They look worse; those of as many steps, or of more, ought to look as good."""
    watched = SampleCheck(DATA)
    for step in (1, 2):
        watched.add(blobs(36, seed=step), step, 0.1, 12)
    assert watched.add(flat(0.0, 0.0, 0.0), 3, 0.1, 4) is None
    assert watched.add(flat(0.0, 0.0, 0.0), 4, 0.1, 20).last_good_step == 2


def test_the_sound_step_is_the_last_healthy_one_or_while_there_is_none_the_last_without_fault():
    watched = SampleCheck(DATA)
    assert watched.sound_step is None
    watched.add(torch.rand(36, 3, 16, 16), 1, 0.1)
    assert watched.sound_step == 1
    watched.add(flat(0.0, 0.0, 0.0), 2, 0.1)
    assert watched.sound_step == 1
    watched.add(blobs(36), 3, 0.1)
    watched.add(torch.rand(36, 3, 16, 16), 4, 0.1)
    assert watched.sound_step == 3
    again = SampleCheck(DATA, watched.looks)
    assert again.sound_step == 3
    again.forget_after(2)
    assert again.sound_step == 1
