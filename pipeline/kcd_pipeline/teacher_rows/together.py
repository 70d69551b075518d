"""Several teachers over the same images: each image is decoded and augmented once, and each store gets its own rows.

Letters: n rows. The columns of a teacher are its logits and its features.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from kcd_pipeline.teacher_rows.blocks import block_refusals_as_failures
from kcd_pipeline.teacher_rows.forward import RowsOfImages, TeacherRows
from kcd_stores import KnowledgeStore, KnowledgeWriter
from kcd_stores.knowledge import EncodedBlock


class TeachersTogether(RowsOfImages):
    """The rows of several teachers, side by side: `[n, columns of all]`.

    Parameters
    ----------
    teachers
        The teachers, with the same views and the same batch size.
    columns
        The number of columns of each.
    """

    def __init__(self, teachers: Sequence[TeacherRows], columns: Sequence[int]) -> None:
        first = teachers[0]
        super().__init__(first.views, batch_size=first.batch_size, ahead=first.ahead)
        self._teachers, self._columns = teachers, columns
        self._seconds = np.zeros(len(teachers))

    def outputs(self, images: torch.Tensor) -> NDArray[np.float32]:
        """Return the rows of one batch of images, those of the first teacher first."""
        rows = []
        for number, teacher in enumerate(self._teachers):
            started = time.perf_counter()
            # a model may work on its images in place
            rows.append(teacher.outputs(images.clone() if teacher is not self._teachers[-1] else images))
            self._seconds[number] += time.perf_counter() - started
        return np.concatenate(rows, axis=1)

    def require_finite(self, rows: NDArray[np.float32], view: int, samples: NDArray[np.int64]) -> None:
        """Raise FailedError, naming the first number of `rows` that is not finite."""
        for teacher, own in zip(self._teachers, split_columns(rows, self._columns), strict=True):
            teacher.require_finite(own, view, samples)

    def shares(self) -> NDArray[np.float64]:
        """Return the share of each teacher in the time that all of them have computed, which sum to 1."""
        return self._seconds / self._seconds.sum()


def split_columns(rows: NDArray[np.float32], columns: Sequence[int]) -> list[NDArray[np.float32]]:
    """Return the parts of `rows[n, sum(columns)]` that have so many columns each, contiguous in memory."""
    ends = np.cumsum(columns)[:-1]
    return [np.ascontiguousarray(part) for part in np.split(rows, ends, axis=1)]


class BlocksTogether:
    """One block of several stores; it takes rows that stand side by side.

    Attributes
    ----------
    view, block, samples
        The place of the block, and its samples.
    parts
        The block of each store.
    """

    def __init__(self, writers: Sequence[KnowledgeWriter], view: int, block: int) -> None:
        self.view, self.block = view, block
        self.parts: list[EncodedBlock] = [writer.begin_block(view, block) for writer in writers]
        self.samples = self.parts[0].samples
        self._writers = writers

    def add(self, rows: NDArray[np.float32]) -> None:
        """Encode the next `rows[n, columns of all]`; FailedError names the store that does not take them."""
        of_each = split_columns(rows, [writer.store.columns for writer in self._writers])
        for writer, part, own in zip(self._writers, self.parts, of_each, strict=True):
            with block_refusals_as_failures(writer, self.view, self.block):
                part.add(own)


class WritersTogether:
    """Writers of several stores that have the same blocks, of the same samples.

    Parameters
    ----------
    shares
        Returns the share of each store in the time that a block has taken.
    """

    def __init__(self, writers: Sequence[KnowledgeWriter], shares: Callable[[], NDArray[np.float64]]) -> None:
        self._writers, self._shares = writers, shares

    @property
    def store(self) -> KnowledgeStore:
        """The first of the stores, for the blocks that all of them have."""
        return self._writers[0].store

    def begin_block(self, view: int, block: int) -> BlocksTogether:
        """Return a block of each store, to which rows are added piece by piece."""
        return BlocksTogether(self._writers, view, block)

    def finish_block(self, encoded: BlocksTogether, *, seconds: float) -> None:
        """Write a block to each store and record it complete, with its share of the `seconds` that all have taken."""
        for writer, part, share in zip(self._writers, encoded.parts, self._shares(), strict=True):
            with block_refusals_as_failures(writer, encoded.view, encoded.block):
                writer.finish_block(part, seconds=seconds * float(share))
