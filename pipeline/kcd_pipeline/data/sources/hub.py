"""Fetching a data set from the Hugging Face hub into a folder of the user's, which later commands read instead."""

import json
import os
from shutil import rmtree
from typing import Any

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.pictures.unreadable import printable
from kcd_pipeline.errors import FailedError, UserError

FETCHED = "kcd-pipeline-fetched.json"  # beside the splits: where they came from


def fetch_into_root(config: DataConfig, hub: str) -> None:
    """Fetch the data set `hub` into `data.root` if that is empty or not there, and `data.download` says so.

    It lies there in the form of `save_to_disk`; a fetch that is broken off leaves nothing in its place.

    Raises
    ------
    UserError
        If it is not there and must not be fetched, or the hub has no such data set, subset or revision.
    FailedError
        If the hub cannot be reached.
    """
    root = config.root
    if root.is_dir() and any(root.iterdir()):
        return
    if not config.download:
        raise UserError(
            f"the data set {hub} is not in {printable(root.resolve())}. Fetch it from the hub with --set "
            f"data.download=true, or set data.root to the folder that holds it."
        )
    whole = _from_hub(config, hub)
    root.parent.mkdir(parents=True, exist_ok=True)
    unfinished = root.with_name(f"{root.name}.{os.getpid()}.part")
    try:
        whole.save_to_disk(str(unfinished))
        (unfinished / FETCHED).write_text(json.dumps(_wanted(config, hub)) + "\n")
        try:
            unfinished.rename(root)  # onto an empty folder too
        except OSError:
            if not (root / FETCHED).is_file():  # or another rank was faster
                raise
    finally:
        rmtree(unfinished, ignore_errors=True)


def require_fetched_from(config: DataConfig, hub: str) -> None:
    """Raise UserError if `data.root` holds another data set than `hub`, or nobody knows which."""
    file = config.root / FETCHED
    try:
        found: Any = json.loads(file.read_text())
    except FileNotFoundError:
        found = "a data set that was not fetched by data.hub"
    except (OSError, ValueError) as error:
        raise UserError(f"{printable(file)} cannot be read: {error}. Remove {printable(config.root)}.") from error
    if found != _wanted(config, hub):
        raise UserError(
            f"{printable(config.root.resolve())} holds {_said(found)}, and the recipe asks for "
            f"{_said(_wanted(config, hub))}. Set data.root to a folder of its own, or leave data.hub out to use what "
            f"is there."
        )


def _from_hub(config: DataConfig, hub: str) -> Any:
    """Return all splits of a data set of the hub; the library keeps them in its own cache."""
    import datasets

    try:
        return datasets.load_dataset(hub, name=config.subset, revision=config.revision)
    except (datasets.exceptions.DatasetNotFoundError, ValueError) as error:  # ValueError: no such subset
        raise UserError(
            f"{_said(_wanted(config, hub))} is not on the hub, or needs a login: {error}. Check data.hub, data.subset "
            f"and data.revision, or log in with `hf auth login`."
        ) from error
    except Exception as error:  # of the network, the hub, the disk: the library raises almost anything
        raise FailedError(
            f"the data set {hub} could not be fetched: {type(error).__name__}: {error}. Try again, or set data.root to "
            f"a folder that holds it."
        ) from error


def _wanted(config: DataConfig, hub: str) -> dict[str, str | None]:
    return {"hub": hub, "subset": config.subset, "revision": config.revision}


def _said(found: Any) -> str:
    """Return which data set of the hub it is, in words."""
    if not isinstance(found, dict):
        return str(found)
    more = [f"{key} {found[key]}" for key in ("subset", "revision") if found.get(key)]
    return " ".join([str(found.get("hub")), *more])
