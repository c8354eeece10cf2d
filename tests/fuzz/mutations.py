"""Hypothesis strategies that damage files: flipped bits, cuts, splices and wrong lengths."""

import json

from hypothesis import strategies as st

EDGES = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**31, 2**63 - 1, 2**63, 2**64 - 1]


@st.composite
def damaged(draw, sound: list[bytes]) -> bytes:
    """One of these files after one to six random edits."""
    data = bytearray(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 5)):
            case 0 if data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del data[place:]
            case 2:
                del data[place : place + draw(st.integers(1, 16))]
            case 3:
                data[place:place] = draw(st.binary(max_size=16))
            case 4:
                other = draw(st.sampled_from(sound))
                data[place:] = other[draw(st.integers(0, len(other))) :]
            case _:
                width = draw(st.sampled_from([1, 2, 4, 8]))
                number = draw(st.sampled_from(EDGES)) % 256**width
                data[place : place + width] = number.to_bytes(width, draw(st.sampled_from(["little", "big"])))
    return bytes(data)


ATOMS = st.one_of(
    st.sampled_from([None, True, False, "", "kind", -1, 0, 0.5, 1e308, 10**30, -(10**18), 10**9]),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=4).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@st.composite
def rewritten(draw, sound: list[bytes]) -> bytes:
    """One of these JSON texts with one to four values replaced, removed or added."""
    known = json.loads(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(1, 4))):
        place = known
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or draw(st.integers(0, 3)) == 0:
                break
            place = place[key]
        match draw(st.integers(0, 3)):
            case 0 if keys:
                del place[key]
            case 1 if isinstance(place, dict):
                place[draw(st.text(max_size=6))] = draw(VALUES)
            case 2 if isinstance(place, list):
                place += draw(st.lists(VALUES, max_size=3))
            case _ if keys:
                place[key] = draw(VALUES)
    return json.dumps(known).encode("utf-8", "surrogatepass")
