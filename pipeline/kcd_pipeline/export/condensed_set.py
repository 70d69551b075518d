"""The condensed set of a run as a knowledge store of its own: what its last stage was taught, row by row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation import TaughtRows
from kcd_pipeline.config import Config, parse_config
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.progress import progress_bar
from kcd_pipeline.recipe_store.origin import encoding_settings
from kcd_pipeline.runs import RunFolder, read_condensing_config
from kcd_stores import (
    NO_PARTNER,
    CondensedRows,
    CorruptStoreError,
    Encoding,
    Fidelity,
    IncompleteStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Plan,
    PlanStore,
    Storage,
    StoreMismatchError,
    choose_layout,
    is_condensed,
    make_encoding,
    measure_fidelity,
    one_writer,
    open_storage,
    parse_bytes,
    read_condensed,
    row_bytes,
    widened_range,
    write_condensed,
)
from kcd_stores.knowledge import difference_lines, differences
from kcd_stores.streaming.rows import read_pieces

RANGE_ROWS = 8192  # from which int8's range is taken
FIDELITY_ROWS = 2048  # on which a new store's encoding is measured


@dataclass(frozen=True, kw_only=True)
class Export:
    """What a call of `export_condensed` did: the store, the plan in it, and how many blocks it made and found."""

    store: KnowledgeStore
    plan: Plan
    blocks_made: int
    blocks_found: int


class CondensedSet:
    """What one stage of a run was taught: its plan applied to the store that the run learnt from."""

    def __init__(self, run: Path, *, stage: int | None, source: str | None) -> None:
        folder = RunFolder(run)
        self.config = parse_config(read_condensing_config(folder, asked_by="RUN"), source=str(folder.config))
        self.plan = _plan(folder, stage)
        self.store = _source(folder, self.config, source)
        self.space = "pair" if self.config.condense.perturb == "pair" else self.config.condense.space
        if self.space == "pair" and self.plan.epsilon.any():
            raise UserError(
                f"{run} blended images together with their knowledge (condense.perturb: pair), and a knowledge store "
                f"holds no images: its perturbed rows would belong to pictures that nobody has. Export a run with "
                f"condense.perturb knowledge or off."
            )
        self._taught = TaughtRows(
            self.plan,
            space=self.space,
            temperature=self.config.distill.temperature,
            classes=self.store.layout.classes,
        )

    def rows(self, view: int, places: range) -> NDArray[np.float32]:
        """What is taught of the kept samples at `places` of the plan, as their `view`: logits `[n, C]` float32."""
        kept, partner = (array[places.start : places.stop] for array in (self.plan.kept, self.plan.partner))
        needed = np.unique(np.concatenate([kept, partner[self.plan.epsilon[places.start : places.stop] > 0]]))
        pieces = [piece for _, piece in read_pieces(self.store, view, needed, self.store.layout.chunk_rows)]
        return self._taught.batch(_Found(needed, np.concatenate(pieces)), kept).numpy()

    def made_from(self) -> dict[str, Any]:
        """What a store of it is made from: all that the run's store was, and the plan."""
        entry = {
            "store": self.store.identity,
            "encoding": {"name": self.store.encoding.name, **self.store.encoding.settings()},
            "student": self.config.student.model,
            "seed": self.config.seed,
            "stage": self.plan.stage + 1,
            "plan": self.plan.digest,
            "perturbed": int(np.count_nonzero(self.plan.epsilon)),
            "space": self.space,
            "temperature": self.config.distill.temperature,
        }
        return {**self.store.made_from, "condensed": entry}


class _Found:
    """`rows[n, C]` of the samples `samples[n]` (ascending), by sample."""

    def __init__(self, samples: NDArray[np.int64], rows: NDArray[Any]) -> None:
        self._samples, self._rows = samples, rows

    def __getitem__(self, index: NDArray[np.int64]) -> NDArray[Any]:
        return self._rows[np.searchsorted(self._samples, index)]


def export_condensed(
    run: Path,
    to: str,
    *,
    stage: int | None = None,
    encoding: str = "float16",
    source: str | None = None,
    overwrite: bool = False,
) -> Export:
    """Write the condensed set of `run` to a knowledge store at `to`, or what of it is missing.

    Parameters
    ----------
    stage
        Counted from 1, as `inspect` shows them; the last one if not given.
    source
        Where the store that the run was taught from lies, if it has moved.

    Raises
    ------
    UserError, StoreError
        If the run, its plan or its store is not there or will not do, or something else lies at `to`.
    FailedError
        If a row does not fit the encoding.
    """
    storage = open_storage(to)
    storage.require_writable()
    condensed = CondensedSet(run, stage=stage, source=source)
    if str(storage) == condensed.store.location:
        raise UserError(f"{to} is the store that {run} was taught from. Give --export a place of its own.")
    with one_writer(storage):
        writer = _open_or_create(condensed, storage, _encoding(condensed, encoding), overwrite=overwrite)
        store = writer.store
        complete = store.complete()
        missing = [(view, block) for view, block in store.layout.all_blocks() if not complete[view, block]]
        _make(condensed, writer, missing)
        writer.settle()
    found = store.layout.views * store.layout.blocks - len(missing)
    return Export(store=store, plan=condensed.plan, blocks_made=len(missing), blocks_found=found)


def _make(condensed: CondensedSet, writer: KnowledgeWriter, missing: list[tuple[int, int]]) -> None:
    """Blocks in order, as many at a time as the run's memory budget holds twice: their rows and their partners'.

    A block's `seconds` are its rows at what a row cost the teacher, so that reports reckon with the teacher's price.
    """
    source, layout = condensed.store, writer.store.layout
    price = source.seconds() / source.inventory.complete_rows()
    held = 4 * layout.block_rows * source.row_bytes  # rows and partners, as they are stored and blended
    at_once = max(parse_bytes(condensed.config.store.memory) // held, 1)
    with progress_bar() as bar:
        task = bar.add_task("condensing", total=sum(len(layout.rows(b)) for _, b in missing), note="", unit="rows")
        for view in sorted({view for view, _ in missing}):
            blocks = [block for at, block in missing if at == view]
            for together in (blocks[start : start + at_once] for start in range(0, len(blocks), at_once)):
                first, stop = layout.rows(together[0]).start, layout.rows(together[-1]).stop
                rows = condensed.rows(view, range(first, stop))
                for block in together:
                    span = layout.rows(block)
                    part = rows[span.start - first : span.stop - first]
                    _write(writer, view, block, part, price * len(span))
                    bar.advance(task, len(span))


def _write(writer: KnowledgeWriter, view: int, block: int, rows: NDArray[np.float32], seconds: float) -> None:
    try:
        writer.write_block(view, block, rows, seconds=seconds)
    except ValueError as error:
        raise FailedError(
            f"view {view}, block {block} could not be written to {writer.store.location}: {error}. "
            f"Give --encoding float32."
        ) from error


def _open_or_create(
    condensed: CondensedSet, storage: Storage, encoding: Encoding, *, overwrite: bool
) -> KnowledgeWriter:
    plan, made_from = condensed.plan, condensed.made_from()
    classes = condensed.store.layout.classes
    layout = choose_layout(
        views=condensed.config.store.views,
        samples=len(plan.kept),
        classes=classes,
        row_bytes=row_bytes(encoding, classes),
        block_rows=condensed.config.store.block_rows,
    )
    if storage.is_vacant() or overwrite:
        fidelity = vars(_measured(condensed, encoding))
        writer = KnowledgeWriter.create(
            storage, layout=layout, encoding=encoding, made_from=made_from, fidelity=fidelity, overwrite=overwrite
        )
    else:
        writer = KnowledgeWriter.open(storage)
        _require_same(writer.store, layout, encoding, made_from)
    try:
        read_condensed(writer.store)
    except (IncompleteStoreError, CorruptStoreError):  # just made, or interrupted before this was written
        partner = np.where(plan.epsilon > 0, plan.partner, NO_PARTNER)
        write_condensed(writer, CondensedRows(samples=plan.kept, partner=partner, epsilon=plan.epsilon))
    return writer


def _measured(condensed: CondensedSet, encoding: Encoding) -> Fidelity:
    """The encoding on some of the rows that it is for, before anything is written."""
    trial = condensed.rows(0, range(min(FIDELITY_ROWS, len(condensed.plan.kept))))
    try:
        return measure_fidelity(trial, encoding)
    except ValueError as error:
        raise FailedError(f"nothing was written: {error}. Give --encoding float32.") from error


def _require_same(store: KnowledgeStore, layout: Layout, encoding: Encoding, made_from: dict[str, Any]) -> None:
    wanted = {**made_from, "encoding": {"name": encoding.name, **encoding.settings()}, "views": layout.views}
    have = {**store.made_from, "encoding": store.describe_encoding(), "views": store.layout.views}
    found = differences(have, wanted)
    if found:
        raise StoreMismatchError(
            f"the store at {store.location} is not the condensed set that is asked for:\n{difference_lines(found)}\n"
            f"Give --export another place, or --overwrite to replace it."
        )


def _encoding(condensed: CondensedSet, name: str) -> Encoding:
    """The encoding of that name, with the settings of the run's recipe; int8's range from a trial."""
    recipe = condensed.config.store.model_copy(update={"encoding": name})
    settings = encoding_settings(recipe)
    if name == "int8" and not settings:
        trial = condensed.rows(0, range(min(RANGE_ROWS, len(condensed.plan.kept))))
        settings["low"], settings["high"] = widened_range(trial)
    encoding = make_encoding(name, **settings)
    try:
        encoding.arrays(condensed.store.layout.classes)
    except ValueError as error:
        raise UserError(f"--encoding {name} does not fit the run's store: {error}") from error
    return encoding


def _plan(folder: RunFolder, stage: int | None) -> Plan:
    plans = PlanStore(folder.plans)
    stages = plans.stages()
    if not stages:
        raise UserError(f"{folder.path} has no plan yet: it was stopped before its first epoch. Go on with it first.")
    if stage is not None and stage - 1 not in stages:
        raise UserError(f"--stage {stage}: {folder.path} has stages {stages[0] + 1} to {stages[-1] + 1} so far.")
    return plans.read(stages[-1] if stage is None else stage - 1)


def _source(folder: RunFolder, config: Config, moved_to: str | None) -> KnowledgeStore:
    """The store that the run was taught from, checked to be that one."""
    store = KnowledgeStore.open(moved_to or config.store.path)
    expected = folder.read_origin().get("store")
    if store.identity != expected:
        raise UserError(
            f"the store at {store.location} is not the one that {folder.path} was taught from: its identity is "
            f"{store.identity}, expected {expected}. Give the right one with --store."
        )
    if is_condensed(store):
        raise UserError(
            f"{folder.path} was itself taught from a condensed set ({store.location}); only what was condensed from "
            f"rows of the teacher's own can be exported. Give the run of a student that learnt from a whole store."
        )
    store.require_views(config.store.views)
    return store
