"""What was measured stands in RUN/evaluation.json, each measure beside the others."""

import json

from unnoise.runs.checkpoint import Run
from unnoise.utils import json_text
from unnoise.utils.files import writable


def write_evaluation(run: Run, facts: dict[str, object]) -> None:
    """Puts facts into RUN/evaluation.json, beside what other measures have left there.

    Raises:
        UnnoiseError: when the file that is there is damaged.
    """
    known = read_evaluation(run)
    with writable(run.path / "evaluation.json") as file:
        file.write_text(json.dumps({**known, **facts}, indent=2) + "\n", encoding="utf-8")


def read_evaluation(run: Run) -> dict[str, object]:
    """What RUN/evaluation.json holds, nothing where there is none.

    Raises:
        UnnoiseError: when it is damaged.
    """
    path = run.path / "evaluation.json"
    return json_text.read(path, "remove it to go on without it") if path.is_file() else {}
