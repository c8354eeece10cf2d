"""Bodies of requests: bounded in size and time before anything is done with them, and JSON from them."""

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Receive

from unnoise.app.errors import RequestError, SlowRequestError, TooLargeError

PIECE = 4 * 2**20
"""Bytes of a piece of an upload."""
_MARGIN = 4 * 2**10
_LARGEST = 64 * 2**10
_LARGEST_TASK = 2 * 2**20
_DRAINED, _DRAINED_SECONDS = 2 * PIECE, 1.0


class GoneError(Exception):
    """The client left before its request was there."""


def largest_body(method: str, path: str) -> int:
    """Bytes that the body of a request may have: pieces of uploads and masks of tasks need more than others."""
    if method == "PUT" and path.startswith("/api/uploads/"):
        return PIECE + _MARGIN
    if method == "POST" and path == "/api/tasks":
        return _LARGEST_TASK + _MARGIN
    return _LARGEST


async def read_body(receive: Receive, largest: int, seconds: float) -> bytes:
    """The whole body of a request.

    Raises:
        TooLargeError: for one of more than `largest` bytes.
        SlowRequestError: for one that takes longer than `seconds`.
        GoneError: where the client leaves.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                body += message.get("body", b"")
                more = message.get("more_body", False)
                require_size(len(body), largest)
    except TimeoutError:
        raise SlowRequestError(f"The request did not arrive within {seconds:g} seconds: try again.") from None
    return bytes(body)


def require_size(size: int, largest: int) -> None:
    """Raises `TooLargeError` for a body of more than `largest` bytes."""
    if size > largest:
        raise TooLargeError(f"The request has more than the {largest:,} bytes that it may have.")


async def drain(receive: Receive) -> None:
    """Takes what a client still sends, some megabytes within a second, so that it hears why it was refused."""
    taken, more = 0, True
    try:
        async with asyncio.timeout(_DRAINED_SECONDS):
            while more and taken < _DRAINED:
                message = await receive()
                taken += len(message.get("body", b""))
                more = message["type"] == "http.request" and message.get("more_body", False)
    except TimeoutError:
        pass


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out a body which is there already, then tells when the client leaves."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def json_words(request: Request) -> dict[str, Any]:
    """The JSON object in the body of a request.

    Raises:
        RequestError: for anything else, and for numbers and texts that no person writes (infinity, surrogates).
    """
    refuse = _refuser("a number that is not finite")
    try:
        words = json.loads(await request.body(), parse_constant=refuse, parse_float=_finite)
        json.dumps(words, ensure_ascii=False).encode()  # lone surrogates cannot be
    except (ValueError, RecursionError):
        raise RequestError("The request is not the JSON that the app sends.") from None
    if not isinstance(words, dict):
        raise RequestError("The request is not a JSON object.")
    return words


def _refuser(what: str) -> Callable[[str], float]:
    def refuse(text: str) -> float:
        raise ValueError(what)

    return refuse


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
