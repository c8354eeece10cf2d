"""Languages of the interface: English, and Korean from locale/ko.json, by the English text."""

import json
from collections.abc import Callable, Mapping
from functools import cache
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
