"""Stage 1 with several teachers: those that see the same images make their rows in one pass over them."""

from collections.abc import Sequence
from contextlib import ExitStack

from torch import nn

from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.extraction.cluster import Cluster
from kcd_pipeline.extraction.extract import Extraction, extract_teacher, wanted_blocks
from kcd_pipeline.extraction.teacher_source import TeacherSource
from kcd_pipeline.freed_memory import memory_is_kept
from kcd_pipeline.progress import say
from kcd_pipeline.recipe_store import open_or_create
from kcd_pipeline.teacher import with_teacher_images
from kcd_pipeline.teacher_rows import Extractor, LocalMaker, TeachersTogether, WritersTogether
from kcd_stores import KnowledgeWriter, one_writer, open_storage

Blocks = list[tuple[int, int]]  # (view, block) each


def extract_teachers(
    configs: Sequence[Config], *, overwrite: bool = False, cluster: Cluster | None = None
) -> list[Extraction]:
    """Make the knowledge store of each teacher of a recipe, or the blocks that it lacks.

    Parameters
    ----------
    configs
        The recipe of each teacher, as `Config.each_teacher` returns them.
    overwrite, cluster
        As `extract_teacher` has them. On a cluster the stores are made one after the other.

    Raises
    ------
    UserError, StoreUsageError, FailedError
        As by `extract_teacher`.
    """
    if cluster is not None or len(configs) == 1:
        return [extract_teacher(config, overwrite=overwrite, cluster=cluster) for config in configs]
    configs = [with_teacher_images(config) for config in configs]
    if not see_same_images(configs):
        return [extract_teacher(config, overwrite=overwrite, dataset=load_dataset(config.data)) for config in configs]
    return extract_together(configs, load_dataset(configs[0].data), overwrite=overwrite)


def see_same_images(configs: Sequence[Config]) -> bool:
    """Return whether the teachers of these recipes are shown the same images, in the same batches."""
    seen = [(config.data, config.augmentation, config.store.batch_size, config.run) for config in configs]
    return all(each == seen[0] for each in seen)


def extract_together(
    configs: Sequence[Config], dataset: Dataset, *, teacher: nn.Module | None = None, overwrite: bool = False
) -> list[Extraction]:
    """Make the stores of teachers that see the same images, which are decoded and augmented once for all of them.

    Blocks that some stores have already are made first for the others, each by a pass of its own. All teachers are in
    memory at once.

    Parameters
    ----------
    teacher
        The first teacher, if it was passed as an object.
    """
    storages = [open_storage(config.store.path) for config in configs]
    for storage in storages:
        storage.require_writable()
        storage.is_vacant()  # so that a server that cannot be reached is noticed before the teachers are loaded
    extractors = [Extractor(configs[0], dataset, teacher=teacher)]
    extractors += [Extractor(config, dataset, beside=extractors[0]) for config in configs[1:]]
    with ExitStack() as held:
        for storage in storages:
            held.enter_context(one_writer(storage))
        held.enter_context(memory_is_kept())
        writers = [
            open_or_create(storage, TeacherSource(extractor), overwrite=overwrite)
            for storage, extractor in zip(storages, extractors, strict=True)
        ]
        return _make_missing(extractors, writers)


def _make_missing(extractors: Sequence[Extractor], writers: Sequence[KnowledgeWriter]) -> list[Extraction]:
    found = [
        wanted_blocks(writer, extractor.config.store.views)
        for extractor, writer in zip(extractors, writers, strict=True)
    ]
    for writer, (wanted, missing) in zip(writers, found, strict=True):
        if 0 < len(missing) < len(wanted):
            done = len(wanted) - len(missing)
            say(f"going on with {writer.store.location}: {done} of {len(wanted)} blocks are complete")
    lacking = [number for number, (_, missing) in enumerate(found) if missing]
    # blocks are of the same samples, and so cut into the same batches, where stores have blocks of one size
    for rows in sorted({writers[number].store.layout.block_rows for number in lacking}):
        alike = [number for number in lacking if writers[number].store.layout.block_rows == rows]
        _make(
            [extractors[number] for number in alike],
            [writers[number] for number in alike],
            [found[number][1] for number in alike],
        )
    return [
        Extraction(store=writer.store, blocks_made=len(missing), blocks_found=len(wanted) - len(missing))
        for writer, (wanted, missing) in zip(writers, found, strict=True)
    ]


def _make(extractors: Sequence[Extractor], writers: Sequence[KnowledgeWriter], missing: Sequence[Blocks]) -> None:
    """Make the `missing` blocks of each store: those that all of them lack together, the rest before."""
    shared = set.intersection(*map(set, missing)) if len(writers) > 1 else set()
    for extractor, writer, lacking in zip(extractors, writers, missing, strict=True):
        alone = [place for place in lacking if place not in shared]
        if alone:
            LocalMaker(extractor.pieces).make(writer, alone)
    if shared:
        teachers = TeachersTogether(
            [extractor.teacher_rows for extractor in extractors], [writer.store.columns for writer in writers]
        )
        maker = LocalMaker(teachers.pieces, name=f"extracting, {len(writers)} teachers")
        maker.make(WritersTogether(writers, teachers.shares), [place for place in missing[0] if place in shared])
    for writer in writers:
        writer.settle()
