"""Upload of a run to the Hugging Face Hub, with a model card of what was measured."""

from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.effects import refuse_without_effect
from unnoise.api.loading import load_run_pictures
from unnoise.api.reporting import tell
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.runs.config import RunConfig


def push(
    run: "OpenRun",
    repository: str,
    *,
    private: bool = False,
    license: str | None = None,  # noqa: A002 (the hub's word)
    dry_run: bool = False,
    out: str | Path | None = None,
) -> str:
    """Uploads a run to the Hugging Face Hub: averaged weights, config, samples, and a model card.

    Args:
        run: the run.
        repository: Where it goes, OWNER/NAME. The repository is made if it is not there.
        private: Make the repository private.
        license: Identifier of the weights' licence on the hub, such as mit or cc-by-4.0.
        dry_run: Write the folder, and upload nothing.
        out: New folder that --dry-run writes.

    Returns:
        The address of the repository, or with `dry_run` the folder.

    Raises:
        UnnoiseError: for names that are none, a missing package or token, and whatever the hub refuses.
    """
    refuse_without_effect(
        {"private": private or None} if dry_run else {}, "with --dry-run: nothing is uploaded"
    )
    refuse_without_effect({} if dry_run else {"out": out}, "without --dry-run: nothing is kept here")
    from unnoise.export import hub

    hub.check_push(repository, license)
    number = _num_pictures(run.config)
    if dry_run:
        folder = run.path / "hub" if out is None else Path(out)
        hub.write_hub_folder(run.folder, folder, repository, licence=license, num_pictures=number)
        return str(folder)
    tell(f"Uploading to {repository}.")
    address = hub.push(run.folder, repository, private=private, licence=license, num_pictures=number)
    tell(f"Uploaded: {address}")
    return address


def _num_pictures(config: "RunConfig") -> int | None:
    """The number of the run's pictures; None where they have gone or changed."""
    try:
        images = load_run_pictures(config)
    except UnnoiseError:
        return None
    return len(images) if images.fingerprint == config.data.fingerprint else None
