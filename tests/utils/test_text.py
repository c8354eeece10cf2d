"""`printable` escapes what could control a terminal."""

from unnoise.utils.text import printable


def test_control_characters_and_surrogates_are_escaped_and_other_text_is_kept():
    assert (
        printable("\x1b[31m</code>[/bold]\r\u202e\x07\ud800$x^$")
        == r"\x1b[31m</code>[/bold]\r\u202e\x07\ud800$x^$"
    )
    assert printable("a\tb\nc\x00", lines=True) == "a\tb\nc\\x00"
    assert printable("Größe 大 👩‍👧 e\u0301") == "Größe 大 👩‍👧 e\u0301"
