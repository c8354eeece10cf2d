"""Languages of the interface: English, and Korean by the English text.

locale/ko.json            texts of pages: English to Korean
locale/ko_patterns.json   sentences of the server: regular expressions, of Python and JavaScript alike, and what
                          they become: $1 is what the first group matched, {1} the same once translated
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.resources import files
from typing import Literal

from starlette.requests import Request

Language = Literal["en", "ko"]
COOKIE = "unnoise-language"


def language_of(request: Request) -> Language:
    """The language of a request: as chosen, else as the browser prefers."""
    for chosen in (request.query_params.get("language"), request.cookies.get(COOKIE)):
        if chosen in {"en", "ko"}:
            return "ko" if chosen == "ko" else "en"
    weights: dict[str, float] = {}
    for part in request.headers.get("accept-language", "")[:500].split(","):
        name, _, quality = part.strip().partition(";q=")
        try:
            weights.setdefault(name[:2].lower(), float(quality or 1))
        except ValueError:
            continue
    return "ko" if weights.get("ko", 0.0) > weights.get("en", 0.0) else "en"


@cache
def dictionary(language: Language) -> Mapping[str, str]:
    """Translations by the English text; none for English."""
    if language == "en":
        return {}
    found: dict[str, str] = json.loads((files("unnoise.app") / "locale" / "ko.json").read_text("utf-8"))
    return found


def translator(language: Language) -> Callable[..., str]:
    """`_("{n} pictures", n=3)`: the text in this language, its values filled in."""
    known = dictionary(language)

    def translate(text: str, **values: object) -> str:
        found = known.get(text, text)
        for name, value in values.items():
            found = found.replace(f"{{{name}}}", str(value))
        return found

    return translate


@cache
def patterns(language: Language) -> tuple[tuple[str, str], ...]:
    """Regular expressions of whole sentences, of which the first that matches counts, and translations."""
    if language == "en":
        return ()
    found = json.loads((files("unnoise.app") / "locale" / "ko_patterns.json").read_text("utf-8"))
    return tuple((pattern, translation) for pattern, translation in found)


def sentence_translator(language: Language) -> Callable[[str], str]:
    """Translates what the server says, as static/js/translate.js does; what no pattern knows stays."""
    known = _compiled(language)

    def translate(sentence: str) -> str:
        for pattern, translation in known:
            if found := pattern.fullmatch(sentence):
                return _GROUP.sub(partial(_filled, found), translation)
        return sentence

    def _filled(found: re.Match[str], named: re.Match[str]) -> str:
        text: str = found[int(named[1] or named[2])]
        return text if named[1] else translate(text)

    return translate


_GROUP = re.compile(r"\$([1-9])|\{([1-9])\}")


@cache
def _compiled(language: Language) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern, re.DOTALL), translation) for pattern, translation in patterns(language)]
