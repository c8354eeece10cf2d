"""Refusals: one sentence for each error, as JSON under /api/ and as a small page elsewhere."""

from html import escape
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from unnoise.app.errors import BusyError, MethodError
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.text import printable

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
"""The methods that the app uses."""
_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address takes requests of another method.",
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/static/css/tokens.css"><script src="/static/js/theme.js"></script>
<link rel="stylesheet" href="/static/css/layout.css"><title>unnoise</title>
<header class="top"><a class="brand" href="/">unnoise</a></header>
<main><p>{}</p><p><a href="/">unnoise</a></p></main></html>
"""


def refusal(path: str, sentence: str, status: int) -> Response:
    """The response that says one sentence.

    Args:
        path: of the request.
        sentence: what is wrong, and what helps.
        status: of HTTP.
    """
    sentence = printable(" ".join(sentence.split()))
    if path.startswith("/api/"):
        return JSONResponse({"error": sentence}, status)
    return HTMLResponse(_PAGE.format(escape(sentence)), status)


def refusal_of(path: str, error: UnnoiseError) -> Response:
    """The response to an error that a person can fix; its status is 400 unless it has another."""
    response = refusal(path, str(error), getattr(error, "status", 400))
    if isinstance(error, BusyError):
        response.headers["retry-after"] = "1"
    if isinstance(error, MethodError):
        response.headers["allow"] = ", ".join(METHODS)
    return response


def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, UnnoiseError)
    return refusal_of(request.url.path, error)


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = _SENTENCES.get(error.status_code, "This request cannot be met.")
    response = refusal(request.url.path, sentence, error.status_code)
    response.headers.update(error.headers or {})
    return response


def _on_bug(request: Request, error: Exception) -> Response:
    """The answer to a bug of ours, whose traceback goes to the terminal alone."""
    return refusal(request.url.path, "Something went wrong: the terminal of the app says what.", 500)


HANDLERS: dict[Any, Any] = {UnnoiseError: _on_error, HTTPException: _on_http_error, Exception: _on_bug}
"""What `Starlette(exception_handlers=...)` takes."""
