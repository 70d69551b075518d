"""Guards of the place of a new store: with `--overwrite` a store is removed there, and nothing of anybody else."""

import re
from pathlib import Path

from kcd_pipeline.errors import UserError
from kcd_stores import FolderStorage, Storage
from kcd_stores.knowledge.creation import require_knowledge_store

METADATA = "zarr.json"
ARRAYS = frozenset(
    {
        "logits", "values", "classes", "rest", "features",  # of the encodings
        "complete", "seconds", "checksums",  # the records of blocks
        "samples", "partner", "epsilon",  # of a condensed set
    }
)  # fmt: skip
TEMPORARY = re.compile(r"zarr\.[0-9a-f]{32}\.partial")  # a write of zarr's that has not come to its rename


def require_no_dangling_link(storage: Storage) -> None:
    """Raise UserError if a link that leads nowhere is where a store should be made."""
    if isinstance(storage, FolderStorage) and storage.path.is_symlink() and not storage.path.exists():
        raise UserError(
            f"{storage} is a link to {storage.path.readlink()}, where nothing is. Make that folder, remove the link, "
            f"or give another place for the store."
        )


def require_replaceable(storage: Storage) -> None:
    """Require that all of what is in the place, if anything, is a knowledge store, and that the place is no link.

    Raises
    ------
    UserError
        If it is a link, or if files that no store has would be removed with the store.
    StoreUsageError
        If it is not a knowledge store.
    """
    if storage.is_vacant():
        return
    require_knowledge_store(storage)
    if not isinstance(storage, FolderStorage):
        return
    path = storage.path
    if path.is_symlink():
        raise UserError(
            f"{path} is a link to {path.resolve()}, and --overwrite removes nothing through a link. Give the place "
            f"itself, or remove the link."
        )
    foreign = sorted(entry.name for entry in path.iterdir() if not _is_of_a_store(entry))
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise UserError(
            f"the store at {path} has something beside it that no store has: {foreign[0]}{more}. --overwrite would "
            f"remove that too. Move it elsewhere, or give another place for the store."
        )


def _is_of_a_store(entry: Path) -> bool:
    return entry.name == METADATA or entry.name in ARRAYS or TEMPORARY.fullmatch(entry.name) is not None
