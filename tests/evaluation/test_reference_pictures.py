"""Reference pictures: which real pictures samples are compared with."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.data import ImageSet
from unnoise.evaluation import (
    choose_references,
)
from unnoise.trainer.loop import train
from unnoise.utils.errors import UnnoiseError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 2)
    last(train(made, digits()))
    return made


def test_references_are_held_out_pictures_within_the_limit(trained):
    config, images = trained.config, digits()
    found = choose_references(config, images)
    assert (found.split, len(found.held_out), len(found.training)) == ("held-out", 89, 1708)
    assert np.array_equal(found.indices, found.held_out)
    assert set(found.all_indices) == set(range(1797))
    assert not found.notes
    few = choose_references(config, images, limit=500)
    assert len(few.training) == 500
    assert "500 of the 1,708 training pictures" in few.notes[0]
    assert np.array_equal(few.training, choose_references(config, images, limit=500).training)
    assert not np.array_equal(few.training, choose_references(config, images, limit=500, seed=1).training)
    for wanted, count in (("training", 1708), ("all", 1797)):
        assert len(choose_references(config, images, wanted).indices) == count


def test_too_few_held_out_pictures_are_replaced_with_training_pictures(trained):
    config = replace(trained.config, data=replace(trained.config.data, held_out=49))
    found = choose_references(config, digits())
    assert found.split == "training"
    assert "only 49 held-out ones" in found.notes[0]
    assert choose_references(config, digits(), "all").split == "all"
    others = ImageSet(digits().pixels[:30], "others", "unlike")
    found = choose_references(config, others)
    assert (found.split, len(found.training)) == ("held-out", 0)
    assert "only 30 real pictures" in found.notes[0]
    with pytest.raises(UnnoiseError, match="at least 12 real pictures to compare with, but there are 11"):
        choose_references(config, ImageSet(digits().pixels[:11], "others", "unlike"))
    with pytest.raises(UnnoiseError, match="--split training"):
        choose_references(config, others, "training")
