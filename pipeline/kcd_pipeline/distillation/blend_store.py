"""The store of one stage's judged blends: the teacher's rows for pictures that the stage's plan blends.

It is a knowledge store of a condensed set (`kcd_stores.knowledge.condensed`), whose rows belong to the blended members
of K1L. View k of it is the view `made_from.condensed.views[k]` of the pictures. Its augmentation is called `blend`, so
that no recipe takes it for a store of unblended pictures.

Letters: L blended samples.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kcd_pipeline.config import Config
from kcd_pipeline.errors import FailedError
from kcd_pipeline.progress import say
from kcd_pipeline.versions import software_versions
from kcd_stores import (
    CondensedRows,
    Encoding,
    IncompleteStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Plan,
    StoreError,
    StoreUsageError,
    WithFeatures,
    choose_layout,
    differences,
    is_vacant,
    make_encoding,
    open_storage,
    read_condensed,
    row_bytes,
    verify_store,
    write_condensed,
)
from kcd_stores.knowledge import CONDENSED_KEY, DIGEST_KEY

FITTED = ("int8", "pca", "pq")  # encodings that refuse rows which are too unlike those that they were fitted to


@dataclass(frozen=True, kw_only=True, eq=False)
class WantedBlends:
    """The blends of one stage.

    Attributes
    ----------
    plan
        The plan of the stage.
    views
        The views that its epochs use, ascending.
    source
        The store that the run is taught from.
    device
        Kind of the device that the teacher runs on.
    """

    config: Config
    plan: Plan
    views: tuple[int, ...]
    source: KnowledgeStore
    device: str

    @property
    def rows(self) -> CondensedRows:
        """The L samples that are blended, and with what."""
        blended = self.plan.epsilon > 0
        return CondensedRows(
            samples=self.plan.kept[blended], partner=self.plan.partner[blended], epsilon=self.plan.epsilon[blended]
        )

    def encoding(self) -> Encoding:
        """Return the encoding of the source; but float16 for one that was fitted to unblended pictures."""
        of_source = self.source.encoding
        if isinstance(of_source, WithFeatures):
            return WithFeatures(
                logit_encoding=_of_any_range(of_source.logit_encoding),
                feature_encoding=_of_any_range(of_source.feature_encoding),
                feature_columns=of_source.feature_columns,
            )
        return _of_any_range(of_source)

    def made_from(self) -> dict[str, Any]:
        """Return the origin of the rows: that of the source, and the plan by which pictures are blended."""
        of_source = self.source.made_from
        condensed = {
            "store": self.source.identity,
            "encoding": {"name": self.source.encoding.name, **self.source.encoding.settings()},
            "student": self.config.student.model,
            "seed": self.config.seed,
            "stage": self.plan.stage + 1,
            "plan": self.plan.digest,
            "perturbed": len(self.rows.samples),
            "space": "teacher",
            "views": list(self.views),
            DIGEST_KEY: self.rows.digest,
        }
        return {
            **of_source,
            "augmentation": {"name": "blend", "of": of_source["augmentation"]},
            "forward": {"batch_size": self.config.store.batch_size, "device": self.device},
            "software": software_versions(),
            CONDENSED_KEY: condensed,
        }


def _of_any_range(encoding: Encoding) -> Encoding:
    return make_encoding("float16") if encoding.name in FITTED else encoding


def open_blend_store(where: Path, wanted: WantedBlends) -> KnowledgeWriter:
    """Open the store of `wanted` blends, to be finished or read; make an empty one if it is not there or is damaged.

    Nobody but the run writes there, and the run holds the lock of its folder.

    Raises
    ------
    StoreUsageError
        If something that is not a knowledge store is there.
    FailedError
        If the disk is too small.
    """
    if is_vacant(where):
        return _create(where, wanted)
    try:
        return _sound(where, wanted)
    except IncompleteStoreError:  # killed before the first row was made
        return _create(where, wanted)
    except StoreError as error:
        say(f"{where} cannot be gone on with, and is made again: {error.problem}")
        return _create(where, wanted)


def _sound(where: Path, wanted: WantedBlends) -> KnowledgeWriter:
    """Open a store of `wanted` blends of which every complete row can be read back; raise StoreError otherwise."""
    verdict = verify_store(where)
    writer = KnowledgeWriter.open(where)
    if read_condensed(writer.store) is None:
        raise StoreUsageError(f"the store at {where} is not one of blends.")
    if verdict.damage:
        raise StoreError(f"{'; '.join(verdict.damage)}.")
    expected = wanted.made_from()
    if writer.store.complete().all():  # a change of software or device matters only to rows that are still to be made
        del expected["software"], expected["forward"]
    if differing := differences(writer.store.made_from, expected):
        raise StoreUsageError(f"{differing[0]}.")
    return writer


def _create(where: Path, wanted: WantedBlends) -> KnowledgeWriter:
    encoding, rows, classes = wanted.encoding(), wanted.rows, wanted.source.layout.classes
    layout = choose_layout(
        views=len(wanted.views),
        samples=len(rows.samples),
        classes=classes,
        row_bytes=row_bytes(encoding, classes),
        block_rows=wanted.config.store.block_rows,
    )
    _require_space(where, layout.views * layout.samples * row_bytes(encoding, classes))
    writer = KnowledgeWriter.create(
        where, layout=layout, encoding=encoding, made_from=wanted.made_from(), overwrite=not is_vacant(where)
    )
    write_condensed(writer, rows)
    return writer


def _require_space(where: Path, needed: int) -> None:
    limit = open_storage(where).free_space()
    if limit is not None and needed > limit[1]:
        raise FailedError(
            f"the rows of blended pictures need up to {needed:,} bytes at {where}, but {limit[0]} has {limit[1]:,} "
            f"free. Free some; the same command goes on from there."
        )
