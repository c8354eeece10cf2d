"""Errors that a person can fix: each message states the fact, the value and the remedy."""


class UnnoiseError(ValueError):
    """Error that a person can fix: the command line prints its message and exits with code 2.

    Any other exception is a bug in unnoise, and is shown with its traceback.
    """


def require(condition: bool, message: str) -> None:
    """Raises `UnnoiseError(message)` unless the condition holds."""
    if not condition:
        raise UnnoiseError(message)
