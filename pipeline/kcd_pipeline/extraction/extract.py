"""Stage 1: the teacher's logits for every view of every sample, block by block, into a knowledge store."""

from dataclasses import dataclass

from kcd_pipeline.config import Config
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.extraction.blocks import RANGE_ADVICE, BlockMaker, LocalMaker
from kcd_pipeline.extraction.cluster import Cluster
from kcd_pipeline.extraction.extractor import Extractor
from kcd_pipeline.progress import say
from kcd_pipeline.recipe_store.origin import wanted_encoding
from kcd_stores import (
    Encoding,
    Fidelity,
    KnowledgeStore,
    KnowledgeWriter,
    OutOfRangeError,
    Storage,
    is_condensed,
    measure_fidelity,
    one_writer,
    open_storage,
    row_bytes,
)

FIDELITY_ROWS = 2048  # of the first view, on which a new store's encoding is measured, however many views it has


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What a call of `extract_teacher` did."""

    store: KnowledgeStore
    blocks_made: int
    blocks_found: int


def extract_teacher(config: Config, *, overwrite: bool = False, cluster: Cluster | None = None) -> Extraction:
    """Make the knowledge store of a recipe, or what of it is missing; in this process, or by the workers of `cluster`.

    Raises
    ------
    UserError, StoreUsageError
        If data or weights are missing, the disk is too small, a store of something else lies there, the cluster cannot
        be reached, or one of its workers would make other knowledge.
    FailedError
        If a logit is not finite, or the cluster is lost.
    """
    storage = open_storage(config.store.path)
    storage.require_writable()
    storage.is_vacant()  # a server that cannot be reached, before the teacher is loaded
    if cluster is None:
        extractor = Extractor(config)
        with one_writer(storage):
            return _extract(extractor, LocalMaker(extractor), overwrite=overwrite)
    from kcd_pipeline.extraction.cluster_maker import open_cluster_maker  # dask.distributed takes a second to load

    with cluster.connect() as client:  # first, for it may not be there
        extractor = Extractor(config)
        with one_writer(storage), open_cluster_maker(client, cluster, extractor) as maker:
            return _extract(extractor, maker, overwrite=overwrite)


def _extract(extractor: Extractor, maker: BlockMaker, *, overwrite: bool) -> Extraction:
    config = extractor.config
    writer = _open_or_create(extractor, overwrite=overwrite)
    store = writer.store
    complete = store.complete()
    wanted = [(view, block) for view, block in store.layout.all_blocks() if view < config.store.views]
    missing = [(view, block) for view, block in wanted if not complete[view, block]]
    if missing:
        if len(missing) < len(wanted):
            say(f"going on: {len(wanted) - len(missing)} of {len(wanted)} blocks are complete")
        maker.make(writer, missing)
        writer.settle()
    return Extraction(store=store, blocks_made=len(missing), blocks_found=len(wanted) - len(missing))


def _open_or_create(extractor: Extractor, *, overwrite: bool) -> KnowledgeWriter:
    config = extractor.config
    storage = open_storage(config.store.path)
    origin = extractor.origin()
    vacant = storage.is_vacant()
    if vacant or overwrite:
        if not vacant:
            # a teacher that fails at once, or an augmentation that does not fit, must not cost the store that is there
            extractor.rows(0, range(min(config.store.batch_size, len(extractor.dataset.train))))
        layout = extractor.layout()
        encoding = extractor.encoding
        _require_space(storage, layout.views * layout.samples * row_bytes(encoding, layout.classes))
        origin["teacher"]["test_accuracy"] = extractor.test_accuracy()
        fidelity = vars(_measured(extractor, encoding))
        return KnowledgeWriter.create(
            storage, layout=layout, encoding=encoding, made_from=origin, fidelity=fidelity, overwrite=overwrite
        )
    writer = KnowledgeWriter.open(storage)
    store = writer.store
    if is_condensed(store):
        raise UserError(
            f"the store at {storage} is the condensed set of a run, which `kcd-pipeline condense` makes and no "
            f"teacher can add to. Set store.path to another place, or give --overwrite to replace it."
        )
    store.require_made_from(origin | {"encoding": wanted_encoding(config.store)})
    if store.features is not None and not config.store.features:
        raise UserError(
            f"the store at {storage} holds features, but store.features is false: what is added to it must have them "
            f"too. Set store.features to true, or store.path to another store."
        )
    if config.store.views > store.layout.views:
        say(f"growing the store from {store.layout.views} to {config.store.views} views")
        more = (config.store.views - store.layout.views) * store.layout.samples
        _require_space(storage, more * row_bytes(store.encoding, store.layout.classes))
        return writer.grow(config.store.views)
    return writer


def _measured(extractor: Extractor, encoding: Encoding) -> Fidelity:
    """The encoding on some of this teacher's logits, before anything is written."""
    try:
        return measure_fidelity(extractor.trial_rows(FIDELITY_ROWS, 1), encoding)
    except ValueError as error:
        advice = f". {RANGE_ADVICE}" if isinstance(error, OutOfRangeError) else ""
        raise FailedError(f"nothing was written to {extractor.config.store.path}: {error}{advice}") from error


def _require_space(storage: Storage, needed: int) -> None:
    """Refuse a store that cannot fit, before the teacher has run for it."""
    limit = storage.free_space()
    if limit is None:
        return
    place, free = limit
    if needed > free:
        raise UserError(
            f"the store needs up to {needed:,} bytes, but {place} has {free:,} free. Free some, set store.path to "
            f"another disk, or store fewer views or a smaller store.encoding."
        )
