"""The forward pass of a teacher over images: the rows of any samples, whatever was computed before them.

Letters: n rows, C classes, D features.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kcd_pipeline.augmentation import ViewSource
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.freed_memory import memory_is_kept
from kcd_pipeline.models import FeatureTap
from kcd_pipeline.teacher_rows.ahead import made_ahead
from kcd_stores.knowledge import piece_rows

Batch = tuple[NDArray[np.int64], torch.Tensor]  # samples [n], and their images [n, channels, H, W]
Span = tuple[int, range | NDArray[np.int64]]  # a view, and samples
RowPieces = Generator[NDArray[np.float32], None, None]  # rows [n, C], [n, C + D] or [n, D] each


class RowsOfImages(ABC):
    """Rows that are computed from images, batch by batch, whoever computes them.

    Parameters
    ----------
    views
        The images.
    batch_size
        Images of a forward pass.
    ahead
        True if a thread of its own makes the next batch of images while this one computes.
    """

    def __init__(self, views: ViewSource, *, batch_size: int, ahead: bool) -> None:
        self.views, self.batch_size, self.ahead = views, batch_size, ahead

    @abstractmethod
    def outputs(self, images: torch.Tensor) -> NDArray[np.float32]:
        """Return the rows of one batch of `images[n, channels, H, W]`, `[n, columns]`."""

    @abstractmethod
    def require_finite(self, rows: NDArray[np.float32], view: int, samples: NDArray[np.int64]) -> None:
        """Raise FailedError, naming the first number of `rows` that is not finite."""

    def rows(
        self,
        view: int,
        samples: range | NDArray[np.int64],
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> NDArray[np.float32]:
        """Return the rows of `samples` as their `view`, all at once; see `pieces`."""
        return np.concatenate(list(self.pieces([(view, samples)], on_batch)))

    @torch.inference_mode()
    def pieces(self, spans: Sequence[Span], on_batch: Callable[[int], None] = lambda size: None) -> RowPieces:
        """Yield the rows of samples as their views, float32, in order: logits `[n, C]`, `[n, C + D]`, or `[n, D]`.

        Batches start at the first sample of each span and have a fixed size. So the same span is always computed by the
        same arithmetic, whatever was computed before it. A piece is whole batches of about 256 MiB, and most often all
        of a span.

        Parameters
        ----------
        spans
            A view and samples each, most often those of one block after the other. Images are made ahead across their
            borders.
        on_batch
            Called with the size of each batch after it was computed.

        Raises
        ------
        FailedError
            If a logit or a feature is not finite, naming the sample.
        UserError
            If the augmentation does not fit the data.
        """
        cut = [(view, self._cut(np.asarray(samples, dtype=np.int64))) for view, samples in spans]
        made = self._batches(cut)
        with memory_is_kept(), closing(made_ahead(made) if self.ahead else made) as images:
            for view, batches in cut:
                yield from self._span_pieces(view, islice(images, len(batches)), len(batches), on_batch)

    def _cut(self, samples: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [samples[start : start + self.batch_size] for start in range(0, len(samples), self.batch_size)]

    def _span_pieces(
        self, view: int, made: Iterator[Batch], batches: int, on_batch: Callable[[int], None]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the rows of one span, which is as many `batches`."""
        samples: list[NDArray[np.int64]] = []
        parts: list[NDArray[np.float32]] = []
        for number, (batch, images) in enumerate(made, 1):
            outputs = self.outputs(images)
            samples.append(batch)
            parts.append(outputs)
            on_batch(len(batch))
            if number == batches or (len(parts) + 1) * self.batch_size > piece_rows(outputs.shape[1]):
                rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
                self.require_finite(rows, view, np.concatenate(samples))
                samples, parts = [], []
                yield rows

    @torch.inference_mode()  # of the thread that this generator runs in
    def _batches(self, cut: list[tuple[int, list[NDArray[np.int64]]]]) -> Generator[Batch, None, None]:
        try:
            for view, spans in groupby(cut, key=itemgetter(0)):
                yield from self.views.batches([batch for _, batches in spans for batch in batches], view)
        except ValueError as error:
            raise UserError(f"the augmentation does not fit the data: {error}") from error


class TeacherRows(RowsOfImages):
    """The rows that a teacher gives for the images of a data set.

    Parameters
    ----------
    model
        The teacher, in evaluation mode, on the device that `views` puts images on.
    views
        The images.
    dataset
        The data set that they are of, for the names of classes in messages.
    batch_size
        Images of a forward pass.
    tap
        Takes the teacher's features, if rows shall have them.
    logits
        False if rows shall have features alone.
    weights
        The file that the teacher's weights come from, for messages.
    ahead
        True if a thread of its own makes the next batch of images while the teacher computes.
    """

    def __init__(
        self,
        model: nn.Module,
        views: ViewSource,
        dataset: Dataset,
        *,
        batch_size: int,
        tap: FeatureTap | None,
        logits: bool = True,
        weights: Path,
        ahead: bool = False,
    ) -> None:
        super().__init__(views, batch_size=batch_size, ahead=ahead)
        self._model, self._dataset, self._tap, self._weights = model, dataset, tap, weights
        self._classes = len(dataset.classes) if logits else 0

    def outputs(self, images: torch.Tensor) -> NDArray[np.float32]:
        """Return the rows of one batch of images: logits `[n, C]`, `[n, C + D]`, or features alone, `[n, D]`."""
        outputs = self._model(images).float()
        if self._tap is not None:
            outputs = torch.cat([outputs[:, : self._classes], self._tap.take()], dim=1)
        rows: NDArray[np.float32] = outputs.cpu().numpy()
        return rows

    def require_finite(self, rows: NDArray[np.float32], view: int, samples: NDArray[np.int64]) -> None:
        """Raise FailedError, naming the first number of `rows` that is not finite."""
        if np.isfinite(rows).all():
            return
        dataset = self._dataset
        row, column = np.argwhere(~np.isfinite(rows))[0]
        sample, feature = int(samples[row]), int(column) - self._classes
        number = f"feature {feature}" if feature >= 0 else f"logit for class '{dataset.label_name(column)}'"
        raise FailedError(
            f"the teacher's {number} of sample {sample} "
            f"('{dataset.label_name(int(dataset.train.labels[sample]))}'), view {view}, is "
            f"{rows[row, column]}. The block was not written; blocks before it are safe. Check "
            f"{self._weights}: its training may have diverged."
        )
