"""Guards of the place of a new store: nothing is made or replaced through a link, and only a store is replaced."""

from kcd_pipeline.errors import UserError
from kcd_stores import FolderStorage, Storage
from kcd_stores.knowledge.creation import require_knowledge_store


def require_no_dangling_link(storage: Storage) -> None:
    """Raise UserError if a link that leads nowhere is where a store should be made."""
    if isinstance(storage, FolderStorage) and storage.path.is_symlink() and not storage.path.exists():
        raise UserError(
            f"{storage} is a link to {storage.path.readlink()}, where nothing is. Make that folder, remove the link, "
            f"or give another place for the store."
        )


def require_replaceable(storage: Storage) -> None:
    """Require that what is in the place, if anything, is a knowledge store, and that the place is no link.

    Files that lie beside the arrays of a store are no obstacle: they stay where they are when it is replaced.

    Raises
    ------
    UserError
        If it is a link.
    StoreUsageError
        If it is not a knowledge store.
    """
    if storage.is_vacant():
        return
    require_knowledge_store(storage)
    if isinstance(storage, FolderStorage) and storage.path.is_symlink():
        raise UserError(
            f"{storage} is a link to {storage.path.resolve()}, and --overwrite removes nothing through a link. Give "
            f"the place itself, or remove the link."
        )
