"""Out of memory: what PyTorch says on each device, and work in pieces until they fit."""

import warnings

import pytest
import torch

from helpers.scarce_memory import COMPLAINTS
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.out_of_memory import Attempt, DoesNotFitError, Pieces, is_out_of_memory


@pytest.mark.parametrize("complaint", COMPLAINTS.values(), ids=COMPLAINTS)
def test_each_device_says_in_its_own_way_that_memory_ran_out(complaint):
    assert is_out_of_memory(complaint())
    with Attempt() as attempt:
        raise complaint()
    assert attempt.failed


def test_pytorch_itself_is_understood():
    with Attempt() as attempt:
        torch.empty(2**60)
    assert attempt.failed


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes cannot be multiplied"),
        RuntimeError("could not create a primitive descriptor for a convolution"),
        ValueError("out of memory"),
        UnnoiseError("no"),
    ],
)
def test_other_errors_pass(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)), Attempt():
        raise error


def limited(limit: int, sizes: list[int]):
    """Doubles at most so many numbers at once."""

    def double(numbers: torch.Tensor) -> torch.Tensor:
        sizes.append(len(numbers))
        if len(numbers) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * numbers

    return double


@pytest.mark.parametrize("number", [1, 2, 7, 20])
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_pieces_give_the_same_as_the_whole_and_halve_until_they_fit(number, limit):
    sizes, pieces = [], Pieces(device="cuda:1")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        doubled = pieces.apply(limited(limit, sizes), torch.arange(number))
    assert torch.equal(doubled, 2 * torch.arange(number))
    assert len(told) == (number > limit)  # once, however often it was halved
    if number <= limit:
        assert sizes == [number]
        assert pieces.size is None
    else:
        assert pieces.size <= limit < 2 * pieces.size + 2
        assert str(told[0].message) == (
            f"The memory of cuda:1 is too small for {number} pictures at once: from now on the network takes "
            f"{pieces.size} at a time."
        )


def test_a_size_that_fits_stays_and_is_noted_once():
    noted, sizes = [], []
    pieces, call = Pieces(8, note=noted.append), limited(2, sizes)
    with pytest.warns(UserWarning, match="from now on the network takes 2 at a time"):
        pieces.apply(call, torch.arange(8))
    pieces.apply(call, torch.arange(8))
    assert sizes == [8, 4, *[2] * 8]
    assert noted == [2]


def test_a_failure_midway_repeats_no_piece_that_was_done():
    done, pieces = [], Pieces(4)

    def work(some: slice) -> int:
        if some == slice(4, 8):
            raise MemoryError
        done.append(some)
        return some.start

    with pytest.warns(UserWarning, match="too small for 4 pictures"):
        assert pieces.map(10, work) == [0, 4, 6, 8]
    assert done == [slice(0, 4), slice(4, 6), slice(6, 8), slice(8, 10)]


def test_one_picture_that_does_not_fit_ends_in_a_sentence():
    with pytest.raises(DoesNotFitError, match=r"Not even one picture fits into the free memory of mps\. End"):
        Pieces(device="mps").apply(limited(0, []), torch.arange(6))


def test_memory_is_free_again_after_a_failed_attempt():
    held = []

    class Large:
        def __del__(self):
            held.append("freed")

    with Attempt() as attempt:
        large = Large()
        raise MemoryError
    assert attempt.failed
    del large
    assert held == ["freed"]  # no traceback keeps it
