"""Test of the data set of emoji."""

from benchmarks import emoji


def test_a_picture_of_each_skin_tone_has_the_category_of_its_emoji():
    waves = {"category": "People", "image": "1.png", "skin_variations": {"1F3FB": {"image": "1-a.png"}}}
    found = list(emoji.pictures([waves, {"category": "Flags", "image": "2.png"}]))
    assert found == [("People", "1.png"), ("People", "1-a.png"), ("Flags", "2.png")]
