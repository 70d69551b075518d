"""Whether a store still says what its teacher says: a few rows made again and compared.

A store and an augmentation, a library or a data set that have drifted apart are caught here, before a run is spent on
targets that belong to other pictures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.config import Config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.errors import FailedError
from kcd_pipeline.extraction.extractor import Extractor
from kcd_pipeline.provenance import expected_origin
from kcd_stores import KnowledgeStore
from kcd_stores.fidelity import log_softmax

# mean total variation distance that other arithmetic (device, threads, batch size) can explain
TOLERANCE = 2e-3
SAMPLED_TOLERANCE = 2e-2  # `sample`: a last bit may move one of the draws


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Mean and largest total variation distance (0..1) between stored and fresh rows, and how many were compared."""

    rows: int
    mean: float
    largest: float
    tolerance: float


def compare_with_teacher(config: Config, *, rows: int, seed: int = 0) -> Comparison:
    """Make about `rows` random rows again, through the store's own encoding, and compare.

    Rows come in runs of neighbours, from every view in turn.

    Raises
    ------
    UserError, StoreUsageError
        If data, weights or store are missing, or do not match.
    FailedError
        If they differ by more than other arithmetic could explain.
    """
    dataset = load_dataset(config.data)
    store = KnowledgeStore.open(config.store.path)
    store.require_made_from(expected_origin(config, dataset, build_augmentation(config.augmentation)))
    store.require_views(config.store.views)
    extractor = Extractor(config, dataset)
    distances = np.concatenate(
        [_distances(extractor, store, view, span) for view, span in _places(store, config.store.views, rows, seed)]
    )
    tolerance = SAMPLED_TOLERANCE if store.encoding.name == "sample" else TOLERANCE
    found = Comparison(
        rows=len(distances), mean=float(distances.mean()), largest=float(distances.max()), tolerance=tolerance
    )
    if found.mean > tolerance:
        raise FailedError(
            f"the store at {store.location} does not say what its teacher says: over {found.rows} rows made again, the "
            f"softened distributions differ by {found.mean:.2g} on the mean (total variation; at most "
            f"{tolerance:g} is arithmetic). Data, augmentation or libraries have changed since it was extracted: "
            f"extract it anew with --overwrite, or go back to what it was made with (`kcd-pipeline inspect` says what)."
        )
    return found


def _places(store: KnowledgeStore, views: int, rows: int, seed: int) -> list[tuple[int, range]]:
    """(view, span of samples): at least four spans, spread over views, at random starts."""
    random = np.random.default_rng(seed)
    spans = max(4, min(views, rows // 16))
    size = min(max(rows // spans, 1), store.layout.samples)
    starts = random.integers(0, store.layout.samples - size + 1, spans)
    chosen = random.permutation(views)
    return [(int(chosen[n % views]), range(int(start), int(start) + size)) for n, start in enumerate(starts)]


def _distances(extractor: Extractor, store: KnowledgeStore, view: int, span: range) -> NDArray[np.float64]:
    """Total variation distance of each row of `span`, `[n]`, softened, so that confident rows count too."""
    fresh = extractor.logits(view, span)
    parts = store.encoding.encode(fresh, view=view, first=span.start)
    again = store.encoding.decode(parts, fresh.shape[1])
    stored = store.read_rows(view, span.start, span.stop)
    return np.abs(np.exp(log_softmax(again)) - np.exp(log_softmax(stored))).sum(axis=1) / 2
