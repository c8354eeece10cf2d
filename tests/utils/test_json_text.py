"""`json_text.parse` refuses invalid JSON with a ValueError."""

import pytest

from unnoise.utils import json_text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 10**5, "nested too deeply"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' comes twice"),
        ("{", "property"),
    ],
)
def test_invalid_deeply_nested_and_repeated_json_is_a_value_error(text, reason):
    with pytest.raises(ValueError, match=reason):
        json_text.parse(text)
