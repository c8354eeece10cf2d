"""Tests of the data sets of emoji."""

import json
import sys

from benchmarks import emoji
from benchmarks.judges import picture_set
from helpers.data_files import save_many

WAVES = {"category": "People", "image": "1.png", "skin_variations": {"1F3FB": {"image": "1-a.png"}}}


def test_a_picture_of_each_skin_tone_has_the_category_of_its_emoji():
    found = list(emoji.pictures([WAVES, {"category": "Flags", "image": "2.png"}]))
    assert found == [("People", "1.png", "1.png"), ("People", "1-a.png", "1.png"), ("Flags", "2.png", "2.png")]


def test_all_forms_of_an_emoji_are_on_one_side_of_the_split(tmp_path, monkeypatch):
    """Of any drawer; and the judges compare with those that were held out."""
    every = [
        {"category": f"{one % 3}", "image": f"{one}.png", "skin_variations": {"a": {"image": f"{one}-a.png"}}}
        for one in range(60)
    ]
    names = [picture.file for picture in emoji.pictures(every)]
    save_many(tmp_path / "package" / "img" / "somebody" / "64", dict.fromkeys(names, (1, 2, 3)))
    (tmp_path / "package" / "emoji.json").write_text(json.dumps(every), encoding="utf-8")
    words = ["emoji", str(tmp_path / "package"), str(tmp_path / "out"), "--held-out", "0.25"]
    monkeypatch.setattr(sys, "argv", words)
    emoji.main()
    parts = {
        part: {path.name for path in (tmp_path / "out" / part).rglob("*.png")} for part in ("train", "test")
    }
    assert parts["train"] | parts["test"] == set(names)
    for found in parts.values():
        assert all(f"{name.removesuffix('.png').removesuffix('-a')}.png" in found for name in found)
        assert all(f"{name.removesuffix('.png').removesuffix('-a')}-a.png" in found for name in found)
    assert 10 <= len(parts["test"]) <= 50  # 30 of 120 are expected
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    pictures = picture_set(str(tmp_path / "out"), 8)
    assert (len(pictures.training), len(pictures.references)) == tuple(map(len, parts.values()))
    assert pictures.held_out
