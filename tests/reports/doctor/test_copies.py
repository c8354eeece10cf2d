"""Exact and near copies: which changes are found, what is not a copy, and how few pairs are compared."""

from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from helpers.odd_pictures import as_image, unlike
from helpers.runs import digits
from unnoise.data.batches import Split, split
from unnoise.reports.doctor import find_copies
from unnoise.reports.doctor.copies import LARGEST_LIMIT
from unnoise.reports.doctor.neighbours import DisjointSets, candidate_blocks
from unnoise.reports.doctor.thumbnails import thumbnail_vectors


def near_pairs(points, radius, block):
    """All pairs within the radius that the blocks hold, as often as they hold them."""
    found = []
    for some, others in candidate_blocks(points, radius, block=block):
        pairs = combinations(some, 2) if others is None else ((i, j) for i in some for j in others)
        found += [
            tuple(sorted(pair)) for pair in pairs if np.linalg.norm(points[pair[0]] - points[pair[1]]) <= radius
        ]
    return found


@pytest.mark.parametrize("radius", [0.0, 0.05, 0.3, 5.0])
@pytest.mark.parametrize("kind", ["even", "clusters", "equal", "line"])
def test_blocks_hold_each_near_pair_once(radius, kind):
    random = np.random.default_rng(1)
    points = random.random((300, 3)).astype(np.float32)
    if kind == "clusters":
        points = (points * 0.02 + random.integers(0, 4, (300, 1))).astype(np.float32)
    elif kind == "equal":
        points[100:] = points[0]
    elif kind == "line":
        points[:, 1:] = 0
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    wanted = list(zip(*np.nonzero(np.triu(distances <= radius, 1)), strict=True))
    found = near_pairs(points, radius, 16)
    assert len(found) == len(set(found))
    assert set(found) == {(int(i), int(j)) for i, j in wanted}


def test_few_pairs_are_compared():
    def comparisons(count):
        points = np.random.default_rng(0).random((count, 6)).astype(np.float32)
        return sum(block.comparisons for block in candidate_blocks(points, 0.03, block=64))

    few, many = comparisons(4_000), comparisons(64_000)
    assert many < 0.02 * 64_000**2 / 2
    assert many < 60 * few  # where all with all would take 256 times as many


def test_disjoint_sets_are_the_connected_components():
    random = np.random.default_rng(2)
    some, others = random.integers(0, 200, (2, 150))
    groups = DisjointSets(200)
    for part in range(0, 150, 50):
        groups.join(some[part : part + 50], others[part : part + 50])
    reached = np.eye(200, dtype=bool)
    reached[some, others] = reached[others, some] = True
    for _ in range(8):
        reached = reached @ reached
    assert (groups.roots(np.arange(200)) == reached.argmax(1)).all()


def changed(pixels, how):
    image = as_image(pixels)
    if how.startswith("jpeg"):
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=int(how[4:]))
        image = Image.open(buffer)
    elif how == "half size":
        image = image.resize((32, 32), Image.Resampling.BICUBIC).resize((64, 64), Image.Resampling.BICUBIC)
    elif how == "lighter":
        return (pixels * 0.8 + 40).astype(np.uint8)
    elif how == "less contrast":
        return (pixels * 0.6).astype(np.uint8)
    elif how == "a speck":
        pixels = pixels.copy()
        pixels[20:22, 20:22] = 255 - pixels[20:22, 20:22]
        return pixels
    return np.asarray(image).reshape(pixels.shape)


@pytest.mark.parametrize(
    "how", ["jpeg90", "jpeg75", "jpeg50", "half size", "lighter", "less contrast", "a speck"]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_near_copies_are_found_and_nothing_else(how, channels):
    pictures = unlike(120, 64, channels)
    copies = np.stack([changed(one, how) for one in pictures[:40]])
    found = find_copies(np.concatenate([pictures, copies]))
    assert found.exact == ()
    assert set(found.near) == {(place, 120 + place) for place in range(40)}
    assert (found.exact_copies, found.near_copies) == (0, 40)


def test_exact_copies_are_found_and_count_once():
    pictures = unlike(30, 16)
    found = find_copies(pictures[[*range(30), 3, 3, 7]])
    assert found.exact == ((3, 30, 31), (7, 32))
    assert (found.exact_copies, found.near, found.near_copies) == (3, (), 0)


def test_one_of_each_exact_group_is_searched_for_near_copies():
    pictures = unlike(30, 64)
    found = find_copies(np.concatenate([pictures, pictures[:1], changed(pictures[0], "lighter")[None]]))
    assert (found.exact, found.near) == (((0, 30),), ((0, 31),))


def test_near_copies_are_found_among_two_pictures():
    pictures = unlike(2, 64)
    assert find_copies(pictures).near == ()
    assert find_copies(np.stack([pictures[0], changed(pictures[0], "jpeg75")])).near == ((0, 1),)


def test_different_digits_are_no_copies():
    pixels = digits().pixels
    found = find_copies(pixels)
    assert (found.exact, found.near) == ((), ())  # of 1.6 million pairs
    again = find_copies(np.concatenate([pixels, pixels[5:6], (pixels[9:10] * 0.9).astype(np.uint8)]))
    assert (again.exact, again.near) == (((5, 1797),), ((9, 1798),))


def test_noise_and_blank_pictures_are_no_near_copies():
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (600, 24, 24, 3)).astype(np.uint8)
    white, black = np.full((3, 24, 24, 3), 255, np.uint8), np.zeros((2, 24, 24, 3), np.uint8)
    dirty = (250 + random.integers(0, 5, (50, 24, 24, 3))).astype(np.uint8)
    found = find_copies(np.concatenate([noise, white, black, dirty]))
    assert found.exact == ((600, 601, 602), (603, 604))
    assert found.near == ()


def test_the_same_shape_in_another_colour_is_another_picture():
    shapes = unlike(60, 32, 1).astype(np.float32) / 255
    red, blue = (
        np.concatenate([shapes * part for part in colour], 3) for colour in ((255, 60, 0), (0, 60, 255))
    )
    assert find_copies(np.concatenate([red, blue]).astype(np.uint8)).near == ()


def test_the_limit_is_smaller_among_similar_pictures():
    portrait, own = unlike(1, 32, 1)[0].astype(float), unlike(200, 32, 1, seed=1) - 128.0
    alike = np.clip(portrait + 0.05 * own, 0, 255).astype(np.uint8)
    vectors = thumbnail_vectors(alike).vectors.astype(float)
    assert np.linalg.norm(vectors[0] - vectors[1]) < LARGEST_LIMIT
    found = find_copies(alike)
    assert found.limit < LARGEST_LIMIT / 2
    assert found.near_copies < 10


def test_the_search_for_near_copies_is_bounded():
    pictures = unlike(40, 32)
    both = np.concatenate([pictures, np.stack([changed(one, "lighter") for one in pictures]), pictures[:5]])
    found = find_copies(both, most_searched=45)
    assert (found.count, found.searched) == (85, 45)
    assert set(found.near) == {(place, 40 + place) for place in range(5)}
    assert found.exact_copies == 5  # these cost little, and are looked for everywhere


def test_progress_goes_up_to_one():
    heard = []
    find_copies(unlike(700, 8), progress=heard.append)
    assert heard == sorted(heard)
    assert (heard[-1], len(heard) >= 4) == (1.0, True)


def test_colours_are_told_from_grey():
    grey = np.repeat(unlike(3, 16, 1), 3, axis=3)
    assert find_copies(np.concatenate([grey, unlike(2, 16)])).colourful.tolist() == [False] * 3 + [True] * 2
    assert not find_copies(unlike(2, 16, 1)).colourful.any()


def test_copies_across_the_split_are_counted():
    pictures = unlike(50, 32)
    light = np.stack([changed(one, "lighter") for one in pictures[:10]])
    found = find_copies(np.concatenate([pictures, pictures[:10], light]))
    held_out = np.array([0, 3, 12, 55, 66, 69])  # 0 and 3 have two copies each, 55 is 5 again, 66 is 6
    everything = np.arange(70)
    assert found.held_out_copies(Split(np.setdiff1d(everything, held_out), held_out)) == 5
    assert found.held_out_copies(Split(np.array([12]), np.array([0, 50, 60]))) == 0
    assert find_copies(pictures).held_out_copies(split(50, 5, 0)) == 0


def test_tiny_and_many_channel_pictures_are_searched():
    for shape in ((1, 1, 1), (3, 40, 2), (5, 5, 4), (9, 7, 6)):
        pictures = np.random.default_rng(0).integers(0, 256, (5, *shape)).astype(np.uint8)
        found = find_copies(pictures[[0, 1, 2, 3, 4, 2]])
        assert (2, 5) in found.exact
