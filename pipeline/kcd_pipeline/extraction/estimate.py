"""What an extraction would cost, from a short trial of the real thing."""

import time
from dataclasses import dataclass

from kcd_pipeline.config import Config
from kcd_pipeline.extraction.extractor import Extractor
from kcd_stores import measure_fidelity

TRIAL_SECONDS = 3.0
TRIAL_BATCHES = 2  # at least, after one to warm up


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Rows, bytes on disk, files and seconds of a whole extraction; bytes and seconds from a trial of `trial_rows`."""

    rows: int
    bytes: int
    files: int
    seconds: float
    trial_rows: int


def estimate(config: Config) -> Estimate:
    """Run the teacher for a few seconds, write what it said to a scratch store, and scale both up."""
    extractor = Extractor(config)
    layout = extractor.layout()
    batch = config.store.batch_size
    extractor.rows(0, range(min(batch, layout.samples)))
    done, elapsed = 0, 0.0
    while elapsed < TRIAL_SECONDS or done < TRIAL_BATCHES * batch:
        start = done % layout.samples
        rows = range(start, min(start + batch, layout.samples))
        started = time.perf_counter()
        extractor.rows(0, rows)
        elapsed += time.perf_counter() - started
        done += len(rows)
    rows_in_all = layout.views * layout.samples
    written = measure_fidelity(
        extractor.rows(0, range(min(layout.block_rows, 2 * batch, layout.samples))), extractor.encoding
    )
    return Estimate(
        rows=rows_in_all,
        bytes=round(written.bytes_per_row * rows_in_all),
        files=layout.objects(len(extractor.encoding.arrays(layout.classes))),
        seconds=elapsed / done * rows_in_all,
        trial_rows=done,
    )
