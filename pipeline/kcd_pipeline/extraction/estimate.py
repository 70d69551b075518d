"""The cost of an extraction, estimated from a short trial of the real thing."""

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

from kcd_pipeline.config import Config
from kcd_pipeline.extraction.teacher_source import TeacherSource
from kcd_pipeline.recipe_store import new_encoding, new_layout
from kcd_pipeline.teacher_rows import PASS_ROWS, Extractor
from kcd_stores import EncodingTrial, measure_fidelity, row_bytes

TRIAL_SECONDS = 3.0
TRIAL_BATCHES = 4  # at least


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The estimated cost of a whole extraction.

    Attributes
    ----------
    rows
        Number of rows in all views.
    bytes
        Size on disk, from a trial.
    most_bytes
        About the most that it can be: encoded rows before compression.
    files
        Number of files.
    seconds
        Time that the teacher needs, from a trial.
    trial_rows
        Number of rows that were timed.
    encoding_trial
        The encodings that were tried, if `store.encoding` is auto; else None.
    """

    rows: int
    bytes: int
    most_bytes: int
    files: int
    seconds: float
    trial_rows: int
    encoding_trial: EncodingTrial | None = None


def estimate(config: Config) -> Estimate:
    """Run the teacher for a few seconds, write some of its rows to a scratch store, and scale time and size up.

    Raises
    ------
    UserError
        If data or weights are missing, or the encoding does not fit the data.
    FailedError
        If a logit is not finite.
    """
    extractor = Extractor(config)
    source = TeacherSource(extractor)
    found = new_encoding(source)
    encoding = found.encoding
    layout = new_layout(source, encoding)
    batch = min(config.store.batch_size, layout.samples)
    trial_rows, trial_seconds = _time_rows(extractor, batch, layout.samples)
    written = extractor.rows(0, range(min(layout.block_rows, 2 * batch, layout.samples)))
    rows = layout.views * layout.samples
    return Estimate(
        rows=rows,
        bytes=round(measure_fidelity(written, encoding).bytes_per_row * rows),
        most_bytes=row_bytes(encoding, layout.classes) * rows,
        files=layout.objects(len(encoding.arrays(layout.classes))),
        seconds=trial_seconds / trial_rows * rows,
        trial_rows=trial_rows,
        encoding_trial=found.trial,
    )


def _time_rows(extractor: Extractor, batch: int, samples: int) -> tuple[int, float]:
    """Make batches of rows for TRIAL_SECONDS; return the rows of the second half of them, and the seconds it took.

    In the first half libraries warm up, and what other processes have decoded during the first batches is used up.
    """
    sizes: list[int] = []
    ends = [time.perf_counter()]
    with closing(_batch_sizes(extractor, batch, samples)) as made:
        while len(sizes) < TRIAL_BATCHES or ends[-1] - ends[0] < TRIAL_SECONDS:
            sizes.append(next(made))
            ends.append(time.perf_counter())
    half = len(sizes) // 2
    return sum(sizes[half:]), ends[-1] - ends[half]


def _batch_sizes(extractor: Extractor, batch: int, samples: int) -> Generator[int, None, None]:
    """Yield the size of each batch once its rows are made, by passes like those of an extraction, without end."""
    rows = range(min(samples, PASS_ROWS))
    spans = [(0, rows[start : start + batch]) for start in range(0, len(rows), batch)]
    while True:
        with closing(extractor.pieces(spans)) as pieces:
            yield from map(len, pieces)
