"""Upload of a run to the Hugging Face Hub: averaged weights, config, samples, and a model card."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from unnoise.data.sources.named import DIGITS, FASHION
from unnoise.export.model_card import model_card
from unnoise.reports.run_folder import RunFolder
from unnoise.runs.autoguidance import copy_weaker, own_scale
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.files import atomic_folder, require_new_folder
from unnoise.utils.tensor_files import read_tensors, write_tensors

_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}", re.ASCII)
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*", re.ASCII)
_SENTENCES = {
    400: "it refuses the request. Check the name, and the licence given with --license",
    401: "it does not know the token. Log in again with hf auth login, or set HF_TOKEN to a valid one",
    403: "the token may not write there. Make one with the right to write, or choose another OWNER",
    404: "there is no such owner or repository, or the token may not see it. Check OWNER/NAME",
    409: "the repository was changed meanwhile. Run the command again",
    412: "the repository was changed meanwhile. Run the command again",
    429: "there were too many requests. Try again later",
}


def check_push(repository: str, licence: str | None) -> None:
    """Raises `UnnoiseError` unless the repository is OWNER/NAME, and the licence an identifier of the hub."""
    require(
        bool(_REPOSITORY.fullmatch(repository)) and not re.search(r"--|\.\.|\.git$", repository),
        f"{repository!r} is no name of a repository: write OWNER/NAME, in letters, digits, '-', '_' and '.'.",
    )
    require(
        licence is None or bool(_LICENCE.fullmatch(licence)),
        f"{licence!r} is no identifier of a licence: write one of the hub's, such as mit or cc-by-4.0.",
    )


def write_hub_folder(
    run: Run, out: Path, repository: str, *, licence: str | None = None, num_pictures: int | None = None
) -> None:
    """Writes README.md, config.json, model.safetensors and samples.png to a new folder, whole or not at all.

    Of a run that draws with autoguidance, also the weaker average, in ema/.

    The folder is itself a run. It holds no path of this machine: see `published_config`.

    Raises:
        UnnoiseError: a folder that is not empty or cannot be written, a run without weights, or a damaged one.
    """
    check_push(repository, licence)
    require_new_folder(out)
    run.averaged()  # refuses weights that do not fit, or are not finite
    folder = RunFolder.read(run.path)
    with atomic_folder(out) as temporary:
        sheet = _write_samples(folder, temporary / "samples.png")
        card = model_card(folder, repository, licence=licence, num_pictures=num_pictures, sheet=sheet)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        tensors, facts = read_tensors(run.path / "model.safetensors")
        known = {name: value for name, value in facts.items() if name in ("step", "sigma_rel")}
        write_tensors(temporary / "model.safetensors", tensors, known)
        if own_scale(run) != 1:
            copy_weaker(run, temporary)
        Run(temporary, run.config).with_config(published_config(run.config))


def published_config(config: RunConfig) -> RunConfig:
    """The config.json that is uploaded: without the paths of pictures, labels and earlier runs."""
    data, imported = config.data, config.imported
    source = data.source if data.source in (DIGITS, FASHION) else ""
    own_labels = data.labels is not None and not re.fullmatch(r"auto(:\d+)?", data.labels)
    labels = None if own_labels else data.labels
    return replace(
        config,
        data=replace(data, source=source, labels=labels),
        init=None,
        imported=None if imported is None else re.split(r"[/\\]", imported.rstrip("/\\"))[-1],
    )


def _write_samples(folder: RunFolder, path: Path) -> bool:
    """Writes the samples of the evaluation, or else the newest sheet of training; whether there was one."""
    newest = folder.newest_sheet
    sheet = folder.picture("evaluation/samples.png")
    if sheet is None and newest is not None:
        sheet = folder.picture(newest.relative_to(folder.run.path))
    if sheet is not None:
        sheet.save(path)
    return sheet is not None


def push(
    run: Run,
    repository: str,
    *,
    private: bool = False,
    licence: str | None = None,
    num_pictures: int | None = None,
) -> str:
    """Uploads a run in one commit to OWNER/NAME, which is made if it is not there; returns its address.

    The token is that of `hf auth login`, or HF_TOKEN.

    Raises:
        UnnoiseError: as for `write_hub_folder`; without the extra, a token or a network; what the hub refuses.
    """
    check_push(repository, licence)
    hub = _hub()
    require(
        hub.get_token() is not None,
        "There is no token for the Hugging Face Hub: log in with hf auth login, or set HF_TOKEN.",
    )
    with tempfile.TemporaryDirectory(prefix="unnoise-") as temporary:
        folder = Path(temporary) / "run"
        write_hub_folder(run, folder, repository, licence=licence, num_pictures=num_pictures)
        api = hub.HfApi(library_name="unnoise")
        try:
            api.whoami()
            address = api.create_repo(repository, private=private or None, exist_ok=True)
            public = private and not api.model_info(repository).private
            if not public:
                api.upload_folder(
                    repo_id=repository, folder_path=folder, commit_message="Upload a run of unnoise"
                )
        except Exception as error:  # noqa: BLE001 (of the hub, its two HTTP libraries and its Rust uploader)
            raise _refusal(error, repository) from None  # their texts may hold headers
    require(
        not public,
        f"{repository} is there and public: nothing was uploaded. Make it private, or choose another.",
    )
    return str(address)


def _hub() -> Any:  # noqa: ANN401
    try:
        import huggingface_hub
        from huggingface_hub.utils import logging
    except ImportError:
        raise UnnoiseError(
            "Uploading needs huggingface_hub: install it with pip install 'unnoise[hub]', or use --dry-run."
        ) from None
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # our sentence says what it warns of
    return huggingface_hub


def _refusal(error: Exception, repository: str) -> UnnoiseError:
    cause: BaseException = error
    while getattr(cause, "response", None) is None and cause.__cause__ is not None:
        cause = cause.__cause__  # of a file that was not taken
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if status is None:
        reason = f"it cannot be reached ({type(error).__name__}). Check the network and HF_ENDPOINT"
    elif status >= 500:
        reason = "it has a fault of its own. Try again later"
    else:
        reason = _SENTENCES.get(status, "it refuses the request. Check OWNER/NAME and the token")
    code = f" with status {status}" if status is not None else ""
    return UnnoiseError(f"The hub did not take {repository}{code}: {reason}.")
