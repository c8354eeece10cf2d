"""Clusters: thumbnails, nearest centres, the share of each among seeds, and what a network is told of them."""

from copy import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from helpers.sampling import last
from unnoise import Diffusion, Normalizer
from unnoise.data import ImageSet
from unnoise.diffusion import interpolation
from unnoise.diffusion.autoguidance import guided_by
from unnoise.diffusion.clusters import SIDE, Clusters, thumbnails
from unnoise.diffusion.guidance import Guidance
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation.dataset_likelihood import measure_bound, measure_flow
from unnoise.networks import UNet
from unnoise.utils.errors import UnnoiseError

SHADES = (20, 130, 240)


def of_shade(*shades, side=12, channels=1):
    """Pictures of one shade each, uint8; none of them is transparent."""
    pictures = torch.tensor(shades, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, channels, side, side)
    if channels in (2, 4):
        pictures[:, -1] = 255
    return pictures


def by_shade(counts=(6, 3, 1), channels=1):
    """Clusters of dark, grey and light pictures."""
    clusters = Clusters(channels, len(SHADES))
    seen = thumbnails(
        of_shade(*(shade for shade, n in zip(SHADES, counts, strict=True) for _ in range(n)), channels=channels)
    )
    clusters.fill(thumbnails(of_shade(*SHADES, channels=channels)), seen)
    return clusters


def model_of(counts=(6, 3, 1)):
    network = UNet(1, (8, 16), block_depth=1, num_classes=3, clusters=True)
    network.clusters.load_state_dict(by_shade(counts).state_dict())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(len(parameter)))
    return Diffusion(network, (1, 12, 12), normalizer=Normalizer(mean=(0.5,), std=(0.5,)))


def test_a_thumbnail_is_the_mean_of_each_field():
    fields = torch.arange(3 * SIDE * SIDE).view(1, 3, SIDE, SIDE)
    pictures = fields.repeat_interleave(3, 2).repeat_interleave(5, 3).to(torch.uint8)
    torch.testing.assert_close(thumbnails(pictures), fields.float().flatten(1))
    torch.testing.assert_close(thumbnails(pictures.float() / 255), fields.float().flatten(1))


@pytest.mark.parametrize("channels", [2, 4])
def test_colours_of_what_is_transparent_do_not_count(channels):
    pictures = of_shade(10, 250, channels=channels)
    pictures[:, -1] = 0
    assert (thumbnails(pictures) == 0).all()
    pictures[:, -1, :, :6] = 255
    halves = thumbnails(pictures).view(2, channels, SIDE, SIDE)
    assert halves[:, 0, :, 0].tolist() == [[10.0] * SIDE, [250.0] * SIDE]
    assert (halves[..., -1] == 0).all()
    torch.testing.assert_close(thumbnails(pictures.float() / 255), thumbnails(pictures))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_is_of_the_cluster_with_the_nearest_centre(channels):
    clusters = by_shade(channels=channels)
    pictures = of_shade(0, 74, 76, 186, 255, channels=channels)
    assert clusters.of(pictures).tolist() == [0, 0, 1, 2, 2]
    assert [int(clusters.of(one[None])) for one in pictures] == [0, 0, 1, 2, 2]
    assert clusters.counts.tolist() == [6, 3, 1]


def test_many_seeds_in_a_row_have_each_cluster_by_its_size():
    clusters = by_shade((600, 300, 100))
    for first in (0, 12_345, 2**53):
        found = clusters.of_seeds(range(first, first + 1000))
        assert (torch.bincount(found) - torch.tensor([600, 300, 100])).abs().max() <= 4
        assert clusters.of_seeds([first + 7]) == found[7]
    for twenty in (range(first, first + 20) for first in range(0, 2000, 20)):
        assert 10 <= int((clusters.of_seeds(twenty) == 0).sum()) <= 14  # by chance it could be 6, or 17


def test_a_cluster_without_pictures_is_never_drawn():
    assert set(by_shade((5, 0, 5)).of_seeds(range(300)).tolist()) == {0, 2}


def test_a_network_is_told_the_clusters_of_what_it_learns():
    diffusion, generator = model_of(), torch.Generator().manual_seed(0)
    pictures = of_shade(*SHADES).repeat(100, 1, 1, 1)
    batch = diffusion.noised(pictures, None, generator)
    told = batch.classes
    hidden = told == 3
    assert 0.04 < hidden.float().mean() < 0.17
    assert torch.equal(told[~hidden], torch.tensor([0, 1, 2]).repeat(100)[~hidden])
    tested = diffusion.noised(pictures, None, generator, training=False)
    assert torch.equal(tested.classes, torch.tensor([0, 1, 2]).repeat(100))


def test_pictures_are_drawn_from_the_cluster_of_their_seed():
    ema, sampling = model_of().ema, Sampling(num_steps=3)
    wanted = ema.generate(7, seed=5, sampling=sampling, classes=ema.abilities.classes_of_seeds(range(5, 12)))
    drawn = ema.generate(7, seed=5, sampling=sampling)
    assert torch.equal(drawn, wanted)
    in_twos = ema.generate(7, seed=5, sampling=sampling, batch_size=2)
    torch.testing.assert_close(in_twos, drawn, rtol=0, atol=3e-5)  # sums of other batches round otherwise
    without = ema.generate(7, seed=5, sampling=sampling, classes=torch.full((7,), 3))
    assert (without - drawn).abs().max() > 0.01


def test_shares_of_classes_mix_what_is_told_of_each():
    network = model_of().network.eval()
    images, rates = torch.randn(3, 1, 12, 12), torch.full((3, 1, 1, 1), 0.5)
    classes = torch.tensor([0, 2, 3])
    whole = torch.nn.functional.one_hot(classes, 4).float()
    torch.testing.assert_close(network(images, rates, whole), network(images, rates, classes))
    path = interpolation.class_path(torch.tensor([1, 2]), 3, 5)
    assert path.tolist() == [[0, 1 - f, f, 0] for f in (0, 0.25, 0.5, 0.75, 1)]
    loop = interpolation.class_path(torch.tensor([0, 1]), 3, 4, closed=True)
    assert loop.tolist() == [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 1, 0, 0], [0.5, 0.5, 0, 0]]


def test_labels_of_the_pictures_are_not_taken_for_clusters():
    pictures = of_shade(*SHADES)
    batch = model_of().noised(pictures, torch.tensor([9, 9, 9]), torch.Generator(), training=False)
    assert batch.classes.tolist() == [0, 1, 2]


def test_a_weaker_network_with_clusters_of_other_pictures_is_not_told_of_ours():
    told = []

    def weaker(centre):
        other = model_of().ema
        other.network.clusters.centres[0] = centre
        other.network.register_forward_pre_hook(
            lambda _module, _given, named: told.append(named.get("classes")), with_kwargs=True
        )
        return other

    strong = model_of().ema
    for same, weak in ((True, weaker(SHADES[0])), (False, weaker(77))):
        told.clear()
        guided_by(strong, weak, Guidance(scale=2.0)).generate(1, sampling=Sampling(num_steps=1))
        assert [each is not None for each in told] == [same]
    alone = Diffusion(
        UNet(1, (8, 16), block_depth=1), (1, 12, 12), normalizer=Normalizer(mean=(0.5,), std=(0.5,))
    ).ema
    for better in (alone, model_with_classes()):  # neither clusters nor their number matter to these
        told.clear()
        guided_by(better, weaker(SHADES[0]), Guidance(scale=2.0)).generate(1, sampling=Sampling(num_steps=1))
        assert told == [None]
    drawn = guided_by(strong, alone, Guidance(scale=2.0)).generate(1, sampling=Sampling(num_steps=1))
    assert drawn.isfinite().all()


def model_with_classes():
    network = UNet(1, (8, 16), block_depth=1, num_classes=3)
    return Diffusion(network, (1, 12, 12), normalizer=Normalizer(mean=(0.5,), std=(0.5,))).ema


def test_clusters_need_their_number():
    with pytest.raises(UnnoiseError, match="clusters need num_classes, their number"):
        UNet(1, (8, 16), clusters=True)
    config = UNet(1, (8, 16), num_classes=4, clusters=True).config
    with pytest.raises(UnnoiseError, match="Try num_classes=64"):
        replace(config, num_classes=0)


def test_a_bound_of_the_likelihood_counts_what_it_takes_to_name_the_cluster():
    """A network that does not listen to clusters has the same bound but for their names: -log2 p(k) / D."""
    model = model_of().ema
    with torch.no_grad():
        model.network.classes.weight.zero_()
    pictures = ImageSet(of_shade(*SHADES).permute(0, 2, 3, 1).numpy(), "shades", "shades")
    alone = copy(model)
    alone.abilities = copy(model.abilities)
    alone.abilities.clusters = None
    names = torch.tensor([10 / 6, 10 / 3, 10 / 1]).log2() / 144
    for measure in (partial(measure_bound, num_steps=4), measure_flow):
        told, not_told = (last(measure(one, pictures, np.arange(3))).bits for one in (model, alone))
        for part in told:
            difference = (told[part] - not_told[part]).float()
            torch.testing.assert_close(
                difference, names if part in ("prior", "total", "flow") else 0 * names, atol=2e-6, rtol=1e-4
            )


def test_until_they_are_filled_in_all_pictures_are_of_the_first():
    clusters = Clusters(1, 4)
    assert set(clusters.of_seeds(range(100)).tolist()) == {0}
    assert clusters.of(of_shade(0, 100, 255)).tolist() == [0, 0, 0]
