"""Write the condensed set of a run as a knowledge store of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.config import StoreConfig
from kcd_pipeline.errors import UserError
from kcd_pipeline.export.condensed_set import CondensedSet
from kcd_pipeline.progress import progress_bar
from kcd_pipeline.recipe_store import Wording, new_encoding, open_or_create, refusals_as_failures
from kcd_stores import (
    CorruptStoreError,
    IncompleteStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Plan,
    Storage,
    StoreMismatchError,
    differences,
    is_condensed,
    one_writer,
    open_storage,
    parse_bytes,
    read_condensed,
    same_place,
    write_condensed,
)
from kcd_stores.knowledge import CONDENSED_KEY, DIGEST_KEY, EncodedBlock, difference_lines

RANGE_ADVICE = "Give --encoding float32."


@dataclass(frozen=True, kw_only=True)
class Export:
    """The result of `export_condensed`: the store, its plan, and how many blocks were made and how many were found."""

    store: KnowledgeStore
    plan: Plan
    blocks_made: int
    blocks_found: int


def export_condensed(
    run: str | Path,
    to: str,
    *,
    stage: int | None = None,
    encoding: str = "float16",
    source: str | None = None,
    overwrite: bool = False,
) -> Export:
    """Write the condensed set of `run` to a knowledge store at `to`, or the blocks that the store lacks.

    Parameters
    ----------
    stage
        Which stage, counted from 1 as `inspect` shows them; the last one if not given.
    encoding
        Name of the encoding; its settings are those of the run's recipe.
    source
        Where the store that the run was taught from is, if it has moved.
    overwrite
        Replace a store at `to`.

    Raises
    ------
    UserError, StoreError
        If the run, its plan or its store is not there or cannot be used, or something else is at `to`.
    FailedError
        If a row does not fit the encoding.
    """
    run, storage = Path(run), open_storage(to)
    storage.require_writable()
    condensed = CondensedSet(run, stage=stage, source=source)
    if not condensed.store.layout.classes:
        raise UserError(
            f"the store at {condensed.store.location}, which {run} was taught from, has features alone, and a "
            f"condensed set has logits alone: nothing would be left to write."
        )
    _require_apart(storage, condensed.store, run)
    with one_writer(storage):
        if overwrite:
            _require_condensed(storage)
        writer = open_or_create(storage, CondensedSource(condensed, encoding), overwrite=overwrite)
        _write_missing_plan_rows(writer, condensed)
        store = writer.store
        complete = store.complete()
        missing = [(view, block) for view, block in store.layout.all_blocks() if not complete[view, block]]
        _make(condensed, writer, missing)
        writer.settle()
    found = store.layout.views * store.layout.blocks - len(missing)
    return Export(store=store, plan=condensed.plan, blocks_made=len(missing), blocks_found=found)


def _require_apart(storage: Storage, source: KnowledgeStore, run: Path) -> None:
    """Raise UserError if the export would be written to the place of its source, inside it, or around it."""
    here, there = storage.resolved_name, source.storage.resolved_name
    if same_place(storage, source.storage):
        raise UserError(f"{storage} is the store that {run} was taught from. Give --export a place of its own.")
    if f"{here}/".startswith(f"{there}/") or f"{there}/".startswith(f"{here}/"):
        raise UserError(
            f"{storage} and {source.location}, the store that {run} was taught from, lie one inside the other. Give "
            f"--export a place of its own."
        )


def _require_condensed(storage: Storage) -> None:
    """Raise UserError if a store that holds no condensed set is in `storage`: it may be the source under another name.

    A store too damaged to say what it holds may be replaced; the source was readable a moment ago.
    """
    if storage.is_vacant():
        return
    try:
        store = KnowledgeStore.open(storage)
    except (CorruptStoreError, IncompleteStoreError):
        return
    if not is_condensed(store):
        raise UserError(
            f"{storage} is a store of a teacher's knowledge, not a condensed set, so this command does not replace it. "
            f"Give --export a place of its own."
        )


class CondensedSource:
    """The rows of a condensed set, and the store that is asked for; see `StoreSource`."""

    feature_columns = 0

    def __init__(self, condensed: CondensedSet, encoding: str) -> None:
        self._condensed = condensed
        self.settings: StoreConfig = condensed.config.store.model_copy(update={"encoding": encoding})
        self.samples, self.classes = len(condensed.plan.kept), condensed.store.layout.classes
        self.wording = Wording(encoding_key="--encoding", data="the run's store", range_advice=RANGE_ADVICE)

    def trial_rows(self, count: int, *, views: int) -> NDArray[np.float32]:
        """Return the first `count` rows of the first view."""
        return self._condensed.rows(0, range(min(count, self.samples)))

    def made_from(self) -> dict[str, Any]:
        """Return the origin of the condensed set."""
        return self._condensed.made_from()

    def require_same(self, store: KnowledgeStore) -> None:
        """Raise StoreMismatchError if `store` is another condensed set, or in another encoding."""
        encoding = new_encoding(self)
        made_from = self.made_from()
        del made_from[CONDENSED_KEY][DIGEST_KEY]  # which stores of format 1 lack; the digest of the plan says as much
        wanted = {
            **made_from,
            "encoding": {"name": encoding.name, **encoding.settings()},
            "views": self.settings.views,
        }
        found = {**store.made_from, "encoding": store.describe_encoding(), "views": store.layout.views}
        if differing := differences(found, wanted):
            raise StoreMismatchError(
                f"the store at {store.location} is not the condensed set that is asked for:\n"
                f"{difference_lines(differing)}\n"
                f"Give --export another place, or --overwrite to replace it."
            )


def _write_missing_plan_rows(writer: KnowledgeWriter, condensed: CondensedSet) -> None:
    """Write which samples the rows belong to and what is blended into them, unless the store has it already."""
    try:
        read_condensed(writer.store)
    except (IncompleteStoreError, CorruptStoreError):  # just created, or interrupted before this was written
        write_condensed(writer, condensed.condensed_rows())


def _make(condensed: CondensedSet, writer: KnowledgeWriter, missing: list[tuple[int, int]]) -> None:
    """Make and write the blocks `missing` in order, as many rows at a time as fit the run's memory budget.

    The `seconds` of a block are the seconds that its rows cost the teacher, so that reports reckon with the teacher's
    price.
    """
    source, layout = condensed.store, writer.store.layout
    seconds_per_row = source.seconds() / source.inventory.complete_rows()
    # four copies: rows and their partners, both as they are stored and as they are blended
    rows_at_once = max(parse_bytes(condensed.config.store.memory) // (4 * source.row_bytes), 1)
    with progress_bar() as bar:
        total = sum(len(layout.rows(block)) for _, block in missing)
        task = bar.add_task("condensing", total=total, note="", unit="rows")
        for view, blocks in _groups(missing, max(rows_at_once // layout.block_rows, 1)):
            begun = [writer.begin_block(view, block) for block in blocks]
            samples = range(begun[0].samples.start, begun[-1].samples.stop)
            for first in range(samples.start, samples.stop, rows_at_once):
                piece = range(first, min(first + rows_at_once, samples.stop))
                rows = condensed.rows(view, piece)
                for encoded in begun:
                    _add(writer, encoded, rows, piece)
                while begun and begun[0].full:
                    encoded = begun.pop(0)
                    writer.finish_block(encoded, seconds=seconds_per_row * len(encoded.samples))
                    bar.advance(task, len(encoded.samples))


def _groups(missing: list[tuple[int, int]], at_once: int) -> Iterator[tuple[int, list[int]]]:
    """Yield (view, blocks) for the blocks `missing`, which are in order: at most `at_once` blocks of one view."""
    for view, pairs in groupby(missing, key=itemgetter(0)):
        blocks = [block for _, block in pairs]
        for start in range(0, len(blocks), at_once):
            yield view, blocks[start : start + at_once]


def _add(writer: KnowledgeWriter, encoded: EncodedBlock, rows: NDArray[np.float32], samples: range) -> None:
    """Add those of `rows[n, C]` to a block that belong to it; they are of the rows `samples` of the condensed set."""
    part = rows[max(encoded.samples.start - samples.start, 0) : max(encoded.samples.stop - samples.start, 0)]
    if not len(part):
        return
    failure = f"view {encoded.view}, block {encoded.block} could not be written to {writer.store.location}"
    with refusals_as_failures(failure, RANGE_ADVICE):
        encoded.add(part)
