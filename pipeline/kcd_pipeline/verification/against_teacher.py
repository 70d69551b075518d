"""Whether a store still says what its teacher says: a few rows made again and compared.

A store and an augmentation, a library or a data set that have drifted apart are caught here, before a run is spent on
targets that belong to other pictures.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import FailedError
from kcd_pipeline.extraction.extractor import Extractor
from kcd_pipeline.recipe_store.origin import expected_origin
from kcd_stores import CondensedRows, Encoding, KnowledgeStore, make_encoding, read_condensed
from kcd_stores.knowledge import CONDENSED_KEY, log_softmax

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


def compare_with_teacher(config: Config, *, rows: int, seed: int = 0, dataset: Dataset | None = None) -> Comparison:
    """Make about `rows` random rows again, through the store's own encoding, and compare.

    `dataset` is the recipe's, where it is loaded already.

    Rows come in runs of neighbours, from every view in turn; of a condensed store only those that are taught as they
    were stored, for a perturbed row is what no teacher said of its picture.

    Raises
    ------
    UserError, StoreUsageError
        If data, weights or store are missing, or do not match.
    FailedError
        If they differ by more than other arithmetic could explain.
    """
    dataset = dataset or load_dataset(config.data)
    store = KnowledgeStore.open(config.store.path, features=config.store.features)
    store.require_made_from(expected_origin(config, dataset, build_augmentation(config.augmentation)))
    store.require_views(config.store.views)
    extractor = Extractor(config, dataset)
    condensed = read_condensed(store)
    as_stored = np.arange(store.layout.samples) if condensed is None else np.flatnonzero(condensed.epsilon == 0)
    places = _places(as_stored, config.store.views, rows, seed)
    distances = np.concatenate([_distances(extractor, store, condensed, view, where) for view, where in places])
    encodings = {store.encoding.name, store.made_from.get(CONDENSED_KEY, {}).get("encoding", {}).get("name")}
    tolerance = SAMPLED_TOLERANCE if "sample" in encodings else TOLERANCE
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


def _places(comparable: NDArray[np.int64], views: int, rows: int, seed: int) -> list[tuple[int, NDArray[np.int64]]]:
    """(view, rows of it): at least four runs of `comparable` rows, spread over views, at random starts."""
    random = np.random.default_rng(seed)
    spans = max(4, min(views, rows // 16))
    size = min(max(rows // spans, 1), len(comparable))
    starts = random.integers(0, len(comparable) - size + 1, spans)
    chosen = random.permutation(views)
    return [(int(chosen[n % views]), comparable[start : start + size]) for n, start in enumerate(starts.tolist())]


def _distances(
    extractor: Extractor, store: KnowledgeStore, condensed: CondensedRows | None, view: int, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How far each of `rows[n]` (ascending) is from what the teacher says now, `[n]`, 0..1.

    Total variation distance, softened, so that confident rows count too; of features, where they are read, the distance
    as a share of their length, if that is more.
    """
    samples = rows if condensed is None else condensed.samples[rows]
    fresh = extractor.rows(view, samples)[:, : store.columns]
    if condensed is not None:  # which came by way of the store that was condensed
        name_and_settings = {k: v for k, v in store.made_from[CONDENSED_KEY]["encoding"].items() if k != "features"}
        fresh = _through(make_encoding(**name_and_settings), fresh, view, samples)
    again = _through(store.encoding, fresh, view, rows)
    stored = store.read_rows(view, int(rows[0]), int(rows[-1]) + 1)[rows - rows[0]]
    classes = store.layout.classes
    p, q = (np.exp(log_softmax(part[:, :classes])) for part in (again, stored))
    distances = np.abs(p - q).sum(axis=1) / 2
    if store.encoding.feature_columns:
        distances = np.maximum(distances, _apart(again[:, classes:], stored[:, classes:]))
    return distances


def _through(encoding: Encoding, fresh: NDArray[Any], view: int, rows: NDArray[np.int64]) -> NDArray[Any]:
    """`fresh[n, C]` as they are read back once laid down as `rows[n]`, row by row: what is drawn depends on it."""
    classes = fresh.shape[1] - encoding.feature_columns
    again = []
    for row, place in zip(fresh, rows, strict=True):
        parts = encoding.encode(row[None].astype(np.float32), view=view, first=int(place))
        rounded = {spec.name: spec.rounded(parts[spec.name]) for spec in encoding.arrays(classes)}
        again.append(encoding.decode(rounded, classes))
    return np.concatenate(again)


def _apart(features: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """How far apart rows of features `[n, D]` are, as a share of their length: `[n]`."""
    a, b = features.astype(np.float64), others.astype(np.float64)
    length = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return np.linalg.norm(a - b, axis=1) / np.maximum(length, np.finfo(np.float64).tiny)
