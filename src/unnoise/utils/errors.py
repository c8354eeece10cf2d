"""Errors that a person can fix: each message states the fact, the value and the remedy."""

from pathlib import Path


class UnnoiseError(ValueError):
    """Error that a person can fix: the command line prints its message and exits with code 2.

    Any other exception is a bug in unnoise, and is shown with its traceback.
    """


class DamagedFileError(UnnoiseError):
    """Error for a file whose bytes are not those that unnoise wrote: only a copy of it helps."""


def require(condition: bool, message: str) -> None:
    """Raises `UnnoiseError(message)` unless the condition holds."""
    if not condition:
        raise UnnoiseError(message)


def interrupted(error: BaseException | None) -> bool:
    """Whether the error is a KeyboardInterrupt or was caused by one, as cleaning up may fail then."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


class NotPermittedError(UnnoiseError):
    """A file is there, but may not be read."""


def require_permitted(path: str | Path, error: BaseException) -> None:
    """Raises `NotPermittedError` if a file could not be read for lack of permission: it need not be damaged.

    Args:
        path: of the file.
        error: what was raised when it was read; safetensors says the reason in its text only.
    """
    if isinstance(error, PermissionError) or "Permission denied" in str(error):
        raise NotPermittedError(
            f"Cannot read {str(path)!r}: permission denied. Change its permissions, or copy it elsewhere."
        ) from error
