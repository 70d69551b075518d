"""Stage 1: write the teacher's rows for every view of every sample, block by block, into a knowledge store."""

from dataclasses import dataclass

from torch import nn

from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.extraction.cluster import Cluster
from kcd_pipeline.extraction.teacher_source import TeacherSource
from kcd_pipeline.freed_memory import memory_is_kept
from kcd_pipeline.progress import say
from kcd_pipeline.recipe_store import open_or_create
from kcd_pipeline.teacher_rows import BlockMaker, Extractor, LocalMaker
from kcd_stores import KnowledgeStore, KnowledgeWriter, Storage, one_writer, open_storage


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """The result of `extract_teacher`: the store, and how many of its blocks were made and how many were found."""

    store: KnowledgeStore
    blocks_made: int
    blocks_found: int


def extract_teacher(
    config: Config,
    *,
    overwrite: bool = False,
    cluster: Cluster | None = None,
    dataset: Dataset | None = None,
    teacher: nn.Module | None = None,
) -> Extraction:
    """Make the knowledge store of a recipe, or the blocks that it lacks.

    Parameters
    ----------
    overwrite
        Replace a store that is there.
    cluster
        The workers that make the blocks; this process, if it is None.
    dataset
        The recipe's data set, if it is loaded already.
    teacher
        A teacher that was passed as an object, in the place of the recipe's; without a cluster.

    Raises
    ------
    UserError, StoreUsageError
        If data or weights are missing, the disk is too small, a store of something else is there, the cluster cannot
        be reached, or one of its workers would make other knowledge.
    FailedError
        If a logit is not finite, or the cluster is lost.
    """
    storage = open_storage(config.store.path)
    storage.require_writable()
    storage.is_vacant()  # so that a server that cannot be reached is noticed before the teacher is loaded
    if cluster is None:
        extractor = Extractor(config, dataset, teacher=teacher)
        with one_writer(storage), memory_is_kept():
            return _extract(storage, extractor, LocalMaker(extractor.pieces), overwrite=overwrite)
    from kcd_pipeline.extraction.cluster_maker import open_cluster_maker  # dask.distributed takes a second to load

    with cluster.connect() as client:  # first, for it may not be there
        extractor = Extractor(config)
        with one_writer(storage), open_cluster_maker(client, cluster, extractor) as maker:
            return _extract(storage, extractor, maker, overwrite=overwrite)


def _extract(storage: Storage, extractor: Extractor, maker: BlockMaker, *, overwrite: bool) -> Extraction:
    writer = open_or_create(storage, TeacherSource(extractor), overwrite=overwrite)
    wanted, missing = wanted_blocks(writer, extractor.config.store.views)
    if missing:
        if len(missing) < len(wanted):
            say(f"going on: {len(wanted) - len(missing)} of {len(wanted)} blocks are complete")
        maker.make(writer, missing)
        writer.settle()
    return Extraction(store=writer.store, blocks_made=len(missing), blocks_found=len(wanted) - len(missing))


def wanted_blocks(writer: KnowledgeWriter, views: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the blocks of the first `views` of a store, (view, block) each, and those of them that it lacks."""
    complete = writer.store.complete()
    wanted = [(view, block) for view, block in writer.store.layout.all_blocks() if view < views]
    return wanted, [(view, block) for view, block in wanted if not complete[view, block]]
