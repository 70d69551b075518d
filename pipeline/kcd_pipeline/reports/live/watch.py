"""A digest by which it is known, without reading a run, whether runs have gone on."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from kcd_pipeline.reports.collect.search import folders_with_a_config
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.runs.manifest import MANIFEST, find_checkpoints


def state_digest(paths: Sequence[Path]) -> str:
    """Return a digest of what the runs at `paths` or below them have written so far.

    It is made from the sizes and times of their small files. It changes when an epoch ends, when a run begins or is
    finished, and when one is removed. Paths that are not there yet count as empty.
    """
    digest = hashlib.sha256()
    for path in paths:
        for folder in folders_with_a_config(path):
            for file in _telling_files(RunFolder(folder)):
                digest.update(f"{file}\0{_size_and_time(file)}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _telling_files(run: RunFolder) -> Iterator[Path]:
    yield from (run.config, run.metrics, run.summary)
    try:  # a report shows the epochs up to the newest checkpoint, whose manifest is written after their metrics
        yield from (checkpoint / MANIFEST for checkpoint in find_checkpoints(run.checkpoint))
    except OSError:  # removed while it was listed: the run is finished
        return


def _size_and_time(file: Path) -> str:
    try:
        found = file.stat()
    except OSError:
        return "none"
    return f"{found.st_size} {found.st_mtime_ns}"
