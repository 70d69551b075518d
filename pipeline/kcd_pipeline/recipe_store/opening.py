"""Opening the store that a recipe asks for: the one that is there, if it is the right one, else a new one."""

from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import say
from kcd_pipeline.recipe_store.encoding import new_encoding, new_layout, trial_fidelity
from kcd_pipeline.recipe_store.replacing import require_no_dangling_link, require_replaceable
from kcd_pipeline.recipe_store.source import StoreSource
from kcd_stores import KnowledgeWriter, Storage, row_bytes, trial_lines


def open_or_create(storage: Storage, source: StoreSource, *, overwrite: bool) -> KnowledgeWriter:
    """Open the store of `source` in `storage`, with more views if it has too few; create it if nothing is there.

    The caller holds the lock of `storage`. A store that is there is replaced, if `overwrite` says so, only after
    trials have shown that rows can be made and fit the encoding.

    Raises
    ------
    UserError, StoreUsageError
        If something else is there, the encoding does not fit the data, or the disk is too small.
    FailedError
        If a row of a trial cannot be made, or does not fit the encoding.
    """
    require_no_dangling_link(storage)
    if overwrite:
        require_replaceable(storage)
    if overwrite or storage.is_vacant():
        return _create(storage, source, overwrite=overwrite)
    writer = KnowledgeWriter.open(storage)
    if writer.store.notice is not None:
        say(writer.store.notice)
    source.require_same(writer.store)
    views, layout = source.settings.views, writer.store.layout
    if views <= layout.views:
        return writer
    say(f"growing the store from {layout.views} to {views} views")
    added_rows = (views - layout.views) * layout.samples
    _require_space(storage, source, added_rows * row_bytes(writer.store.encoding, layout.classes))
    return writer.grow(views)


def _create(storage: Storage, source: StoreSource, *, overwrite: bool) -> KnowledgeWriter:
    found = new_encoding(source)
    encoding, trial = found.encoding, None if found.trial is None else found.trial.as_attribute()
    for line in trial_lines(trial) if trial is not None else ():
        say(line)
    layout = new_layout(source, encoding)
    _require_space(storage, source, layout.views * layout.samples * row_bytes(encoding, layout.classes))
    made_from = source.made_from()
    fidelity = vars(trial_fidelity(storage, source, encoding))
    return KnowledgeWriter.create(
        storage,
        layout=layout,
        encoding=encoding,
        made_from=made_from,
        fidelity=fidelity,
        trial=trial,
        overwrite=overwrite,
    )


def _require_space(storage: Storage, source: StoreSource, needed: int) -> None:
    """Raise UserError if `needed` bytes are not free in `storage`, before any row is made for them."""
    limit = storage.free_space()
    if limit is None or source.wording.space_advice is None:
        return
    place, free = limit
    if needed > free:
        raise UserError(
            f"the store needs up to {needed:,} bytes, but {place} has {free:,} free. {source.wording.space_advice}"
        )
