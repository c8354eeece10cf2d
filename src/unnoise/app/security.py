"""Security middleware: who may send which requests, how many, and what browsers may do with the answers."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import compare_digest
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unnoise.app.bodies import GoneError, drain, largest_body, read_body, replayed, require_size
from unnoise.app.errors import BusyError, ForbiddenError, MethodError, RequestError, UnauthorizedError
from unnoise.app.refusals import METHODS, refusal_of

_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
SANDBOX = {"content-security-policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"}
"""Headers of a page that is made of what people wrote, such as a report: it runs and loads nothing."""
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
"""Headers of every response that has none of its own."""
_SAFE = frozenset({"GET", "HEAD"})
_OWN_SITES = frozenset({"same-origin", "none"})
_LONGEST_PATH, _LONGEST_QUERY = 2000, 8000
_MOST_BODIES, _MOST_CLIENTS = 32, 10_000


@dataclass(frozen=True)
class Access:
    """Who may use the app.

    Args:
        hosts: names and ports in lower case under which browsers reach it, such as `localhost:8000`.
        token: what a browser has to bring; None for none.
        rate, burst: requests per second from one address, and how many at once.
        patience: seconds within which a body has to arrive.
    """

    hosts: frozenset[str]
    token: str | None = None
    rate: float = 500
    burst: int = 1500
    patience: float = 30


@dataclass
class TokenBucket:
    """Rate limit for each client: a bucket of `burst` tokens, which fills by `rate` tokens a second."""

    rate: float
    burst: int
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, client: str) -> bool:
        """Takes a token; false if there is none."""
        now = time.monotonic()
        if len(self._left) > _MOST_CLIENTS:  # those whose buckets are full again are forgotten
            self._left = {
                one: kept for one, kept in self._left.items() if self._filled(*kept, now) < self.burst
            }
            if len(self._left) > _MOST_CLIENTS:
                self._left.clear()
        left = self._filled(*self._left.get(client, (self.burst, now)), now)
        self._left[client] = (left - 1, now) if left >= 1 else (left, now)
        return left >= 1

    def _filled(self, left: float, since: float, now: float) -> float:
        return min(self.burst, left + (now - since) * self.rate)


class SecurityMiddleware:
    """ASGI middleware that refuses what no page of the app sends; it goes around everything else.

    Args:
        app: what answers the other requests.
        access: who may use it.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access
        self._bucket = TokenBucket(access.rate, access.burst)
        self._bodies = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # a WebSocket, of which the app has none
            return await send({"type": "websocket.close", "code": 1008})
        send = _with_headers(send)
        headers = Headers(scope=scope)
        try:
            self._require_allowed(scope, headers)
            entered = self._enter(scope, headers)
            if entered is not None:
                return await entered(scope, receive, send)
            if _has_body(headers):
                receive = replayed(await self._body(scope, headers, receive), receive)
        except GoneError:
            return None
        except RequestError as error:
            response = refusal_of(scope["path"], error)
            if _has_body(headers):
                response.headers["connection"] = "close"
                await drain(receive)
            return await response(scope, receive, send)
        return await self.app(scope, receive, send)

    def _require_allowed(self, scope: Scope, headers: Headers) -> None:
        """Raises `RequestError` for a request that comes too often, from elsewhere, or in an odd form."""
        if not self._bucket.take((scope.get("client") or ("",))[0]):
            raise BusyError("There are too many requests: wait a second.")
        _require_method(scope, headers)
        _require_address(scope)
        hosts = [host.lower() for host in headers.getlist("host")]
        if len(hosts) != 1 or hosts[0] not in self.access.hosts:
            raise ForbiddenError("The app has another address: open the one that the terminal shows.")
        _require_own_page(scope["method"], headers, hosts[0])

    def _enter(self, scope: Scope, headers: Headers) -> Response | None:
        """Takes the token from the address into a cookie; raises `UnauthorizedError` without one."""
        token = self.access.token
        if token is None:
            return None
        # Cookies are shared by all ports of a host, and several apps may run there.
        cookie = f"unnoise-{headers['host'].lower().rpartition(':')[2]}"
        words = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [text for name, text in words if name == "token"]
        if scope["method"] == "GET" and len(given) == 1 and _equal(given[0], token):
            rest = urlencode([word for word in words if word[0] != "token"])
            response = _arrival(quote(scope["path"]) + (f"?{rest}" if rest else ""), headers)
            response.set_cookie(cookie, token, httponly=True, samesite="strict")
            return response
        if not _equal(cookie_parser(headers.get("cookie", "")).get(cookie, ""), token):
            raise UnauthorizedError("This address needs the token: open the one that the terminal shows.")
        return None

    async def _body(self, scope: Scope, headers: Headers, receive: Receive) -> bytes:
        largest = largest_body(scope["method"], scope["path"])
        declared = headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdigit() and len(declared) < 20):
            raise RequestError("The request does not say how long it is.")
        require_size(int(declared), largest)
        if self._bodies >= _MOST_BODIES:
            raise BusyError("There are too many requests at once: wait a second.")
        self._bodies += 1
        try:
            return await read_body(receive, largest, self.access.patience)
        finally:
            self._bodies -= 1


def _require_method(scope: Scope, headers: Headers) -> None:
    if scope["method"] not in METHODS:
        raise MethodError(f"The app takes requests of the methods {', '.join(METHODS)} only.")
    if "websocket" in headers.get("upgrade", "").lower():
        raise RequestError("The app has no WebSockets.")


def _require_address(scope: Scope) -> None:
    """Refuses paths that no page of the app links to; what is still encoded here was encoded twice."""
    path, parts = scope["path"], scope["path"].split("/")[1:]
    odd = any(not character.isprintable() or character in "\\%" for character in path)
    steps = {".", ".."} & {*parts} or "" in parts[:-1]
    if odd or steps or not path.startswith("/") or len(path) > _LONGEST_PATH:
        raise RequestError("This is no address of the app.")
    if len(scope["query_string"]) > _LONGEST_QUERY:
        raise RequestError("This address is too long.")


def _require_own_page(method: str, headers: Headers, host: str) -> None:
    """Refuses what another page sends, unless it is a link to the app that somebody follows."""
    origins = headers.getlist("origin")
    if any(origin.lower() not in {f"http://{host}", f"https://{host}"} for origin in origins):
        raise ForbiddenError("Another page sent this request: only pages of the app may.")
    site = headers.get("sec-fetch-site", "none").lower()
    link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if site not in _OWN_SITES and not (method in _SAFE and link):
        raise ForbiddenError("Another page sent this request: only pages of the app may.")
    if method not in _SAFE and headers.get("x-unnoise") != "1":
        raise ForbiddenError("A request that changes something needs the header X-Unnoise: 1.")


def _arrival(address: str, headers: Mapping[str, str]) -> Response:
    """Leads to an address without the token.

    Browsers keep strict cookies from a redirection that began on another page, as with a link in a mail;
    a page that refreshes itself begins anew.
    """
    if headers.get("sec-fetch-site", "none").lower() in _OWN_SITES:
        return RedirectResponse(address, 303)
    return Response(media_type="text/html", headers={"refresh": f"0; url={address}"})


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _equal(given: str, token: str) -> bool:
    return compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def _with_headers(send: Send) -> Send:
    """Adds the headers that every response has."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, text in _HEADERS.items():
                headers.setdefault(name, text)
        await send(message)

    return sent
