"""An error teaches: the rule, the value that broke it, the remedy, in one sentence."""


class UnnoiseError(ValueError):
    """What a person can mend: the command line prints its one sentence and exits with 2.

    Everything else that is raised is a bug of ours, and keeps its traceback.
    """


def require(condition: bool, sentence: str) -> None:
    """Raises `UnnoiseError(sentence)` unless the condition holds."""
    if not condition:
        raise UnnoiseError(sentence)
