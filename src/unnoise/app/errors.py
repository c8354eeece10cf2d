"""Errors of requests: each has a status of HTTP and one sentence."""

from unnoise.utils.errors import UnnoiseError


class RequestError(UnnoiseError):
    """A request that cannot be met: what it says is wrong."""

    status = 400


class UnauthorizedError(RequestError):
    """A request without the token."""

    status = 401


class ForbiddenError(RequestError):
    """A request from another page, or for another host."""

    status = 403


class NotFoundError(RequestError):
    """What a request names is not there."""

    status = 404


class ConflictError(RequestError):
    """A request that does not fit the present state, as to pause what does not run."""

    status = 409


class TooLargeError(RequestError):
    """A request, or an upload, that is larger than allowed."""

    status = 413


class MethodError(RequestError):
    """A method of HTTP that the app does not use."""

    status = 405


class SlowRequestError(RequestError):
    """A request whose body did not arrive in time."""

    status = 408


class BusyError(RequestError):
    """More requests than one client may send: it is to wait a little."""

    status = 429
