"""Blends that the teacher judges (`condense.perturb: teacher`): pictures are blended, and the teacher gives their rows.

When a stage opens, the teacher is asked once for the rows of all pictures that its plan blends, in the views that its
epochs use. They are kept as a small knowledge store in the folder of the run, and streamed beside the large one.

Letters: N samples, L blended samples, m of them in a portion, C classes, D features.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kcd_pipeline.augmentation import ViewSource
from kcd_pipeline.condensation import Perturbation
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.distillation.blend_store import WantedBlends, open_blend_store
from kcd_pipeline.distillation.judge import Judge
from kcd_pipeline.errors import FailedError
from kcd_pipeline.progress import human_seconds, say_progress
from kcd_pipeline.teacher_rows import LocalMaker, RowPieces, Span, TeacherRows
from kcd_pipeline.training.blended_views import BlendedViews
from kcd_pipeline.training.ranks import Ranks
from kcd_stores import HeldRows, KnowledgeStore, Plan, StoreError
from kcd_stores.streaming.rows import read_pieces

NO_COST: dict[str, float] = {"teacher_rows": 0, "teacher_seconds": 0.0}


class BlendRows:
    """Makes and reads the rows of one stage after the other; only rank 0 has one.

    Parameters
    ----------
    folder
        Where the stores of the stages are.
    source
        The store that the run is taught from.
    images
        The training images, on `device`.
    dataset
        The data set that they are of.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        judge: Judge,
        *,
        source: KnowledgeStore,
        images: ViewSource,
        dataset: Dataset,
        device: torch.device,
    ) -> None:
        self._config, self._folder, self._judge = config, folder, judge
        self._source, self._images, self._dataset, self._device = source, images, dataset, device

    def make(self, plan: Plan, views: Sequence[int]) -> Iterator[None]:
        """Make the rows of the blends of `plan` as `views`, or those that are missing, step by step.

        Raises
        ------
        FailedError
            If a number in a row is not finite, or the disk is too small.
        """
        wanted = WantedBlends(
            config=self._config, plan=plan, views=tuple(views), source=self._source, device=self._device.type
        )
        writer = open_blend_store(self._folder / f"stage-{plan.stage:03d}.zarr", wanted)
        self._store, self._samples, self._views = writer.store, wanted.rows.samples, wanted.views
        complete = writer.store.complete()
        missing = [(view, block) for view, block in writer.store.layout.all_blocks() if not complete[view, block]]
        if not missing:
            return
        blends, rows = len(self._samples), sum(len(writer.store.layout.rows(block)) for _, block in missing)
        say_progress(
            f"stage {plan.stage + 1}: the teacher judges {blends:,} blends in {len(views)} views, {rows:,} rows to go"
        )
        with self._judge.on(self._device) as model:
            teacher = TeacherRows(
                model,
                BlendedViews(self._images, Perturbation(plan), self._device),
                self._dataset,
                batch_size=self._config.store.batch_size,
                tap=self._judge.tap,
                weights=self._config.teacher.weights,
            )

            def make_rows(spans: Sequence[Span], on_batch: Any) -> RowPieces:
                return teacher.pieces([(views[view], self._samples[places]) for view, places in spans], on_batch)

            yield from LocalMaker(make_rows, name="judging blends", view_lines=False).steps(writer, missing)
        writer.settle()
        say_progress(
            f"stage {plan.stage + 1}: its blends are judged, {human_seconds(self._store.seconds())} of teacher"
        )

    def read(self, view: int, members: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows of the blended samples `members[m]` (ascending) as `view`: `[m, C]` or `[m, C + D]`.

        Raises
        ------
        FailedError
            If they are not what was written.
        """
        places = np.searchsorted(self._samples, members)
        strip = self._store.layout.chunk_rows
        try:
            pieces = [rows for _, rows in read_pieces(self._store, self._views.index(view), places, strip)]
        except StoreError as error:
            raise FailedError(f"{error.problem} The same command again has the teacher judge them anew.") from error
        return self._store.packing.decode(np.concatenate(pieces))

    def cost(self) -> dict[str, float]:
        """Return the rows and the seconds that the blends of the stage have cost the teacher, whoever made them."""
        return {"teacher_rows": self._store.inventory.complete_rows(), "teacher_seconds": self._store.seconds()}


class JudgedBlends:
    """The blends of a run on all of its ranks: rank 0 makes and reads their rows, and gives them to the others.

    Parameters
    ----------
    rows
        Makes and reads them; None on other ranks than the first.
    """

    def __init__(self, ranks: Ranks, rows: BlendRows | None) -> None:
        self._ranks, self._rows = ranks, rows
        self._stage: int | None = None

    def open(self, plan: Plan, views: Sequence[int]) -> None:
        """Have the blends of `plan` judged as `views`, unless they are open already. All ranks must call this."""
        if plan.stage == self._stage:
            return
        self._stage, self._is_blended = plan.stage, np.zeros(plan.samples, dtype=bool)
        self._is_blended[plan.kept[plan.epsilon > 0]] = True
        if self._is_blended.any():
            self._ranks.go_through_on_first(lambda: self._on_first.make(plan, views))

    def portion(self, view: int, order: NDArray[np.int64]) -> HeldRows | None:
        """Return the rows of those samples of `order` that are blended; None if none is. All ranks must call this."""
        members = np.sort(order[self._is_blended[order]])
        if not len(members):
            return None
        return HeldRows(members, self._ranks.run_on_first(lambda: self._on_first.read(view, members)))

    def cost(self) -> dict[str, float]:
        """Return what the stage that is open has cost the teacher; only rank 0 may call this."""
        return self._on_first.cost() if self._is_blended.any() else NO_COST

    @property
    def _on_first(self) -> BlendRows:
        assert self._rows is not None
        return self._rows
