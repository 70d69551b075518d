"""Comparing a store with its teacher: a few rows are made again and held against the stored ones.

A store that no longer fits its augmentation, its libraries or its data set is found here, before a run is spent on
targets that belong to other pictures.

Letters: n rows, C classes, D features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import FailedError
from kcd_pipeline.recipe_store import expected_origin, require_made_from
from kcd_pipeline.teacher import with_teacher_images
from kcd_pipeline.teacher_rows import Extractor
from kcd_stores import CondensedRows, Encoding, KnowledgeStore, make_encoding, read_condensed
from kcd_stores.knowledge import CONDENSED_KEY, log_softmax

# mean distance between stored and fresh rows that other arithmetic (device, threads, batch size) can explain
TOLERANCE = 2e-3
SAMPLED_TOLERANCE = 2e-2  # of the encoding `sample`, where a last bit may move one of the draws
LEAST_SPANS = 4  # of neighbouring rows that are compared
ROWS_PER_SPAN = 16  # about, if that makes more spans


@dataclass(frozen=True, kw_only=True)
class TeacherAgreement:
    """The distances between stored rows and fresh ones: total variation at T = 4, 0..1.

    Attributes
    ----------
    rows
        Number of rows that were compared.
    mean, largest
        Mean and largest distance.
    tolerance
        Largest mean that other arithmetic can explain.
    """

    rows: int
    mean: float
    largest: float
    tolerance: float


def compare_with_teacher(
    config: Config,
    *,
    rows: int,
    seed: int = 0,
    dataset: Dataset | None = None,
    teacher: nn.Module | None = None,
) -> TeacherAgreement:
    """Make about `rows` random rows again, encode and decode them as the store does, and compare them with its rows.

    Spans of neighbouring rows are taken from each view in turn. Of a condensed store only the rows that are taught as
    they were stored are compared, for a teacher never gave the perturbed ones.

    Parameters
    ----------
    dataset
        The recipe's data set, if it is loaded already.
    teacher
        A teacher that was passed as an object, in the place of the recipe's.

    Raises
    ------
    UserError, StoreUsageError
        If data, weights or store are missing, or do not belong together.
    FailedError
        If the rows differ by more than other arithmetic can explain.
    """
    if dataset is None:
        config = with_teacher_images(config)
        dataset = load_dataset(config.data)
    store = _open_store(config, dataset, teacher)
    extractor = Extractor(config, dataset, teacher=teacher)
    condensed = read_condensed(store)
    unperturbed = np.arange(store.layout.samples) if condensed is None else np.flatnonzero(condensed.epsilon == 0)
    distances = np.concatenate(
        [
            _distances(extractor, store, condensed, view, span)
            for view, span in _random_spans(unperturbed, config.store.views, rows, seed)
        ]
    )
    found = TeacherAgreement(
        rows=len(distances),
        mean=float(distances.mean()),
        largest=float(distances.max()),
        tolerance=_tolerance(store),
    )
    _require_agreement(store, found)
    return found


def _open_store(config: Config, dataset: Dataset, teacher: nn.Module | None) -> KnowledgeStore:
    """Open the recipe's store; raise StoreUsageError if it was made from something else or is not complete."""
    store = KnowledgeStore.open(config.store.path, features=config.store.features)
    require_made_from(store, expected_origin(config, dataset, build_augmentation(config.augmentation), teacher))
    store.require_views(config.store.views)
    return store


def _tolerance(store: KnowledgeStore) -> float:
    """Return the mean distance that other arithmetic can explain, for the encodings that the rows went through."""
    encodings = {store.encoding.name, store.made_from.get(CONDENSED_KEY, {}).get("encoding", {}).get("name")}
    return SAMPLED_TOLERANCE if "sample" in encodings else TOLERANCE


def _require_agreement(store: KnowledgeStore, found: TeacherAgreement) -> None:
    """Raise FailedError if the mean distance is above the tolerance."""
    if found.mean > found.tolerance:
        raise FailedError(
            f"the store at {store.location} does not say what its teacher says: over {found.rows} rows made again, the "
            f"softened distributions differ by {found.mean:.2g} on the mean (total variation; at most "
            f"{found.tolerance:g} is arithmetic). Data, augmentation or libraries have changed since it was extracted: "
            f"extract it anew with --overwrite, or go back to what it was made with (`kcd-pipeline inspect` says what)."
        )


def _random_spans(
    comparable: NDArray[np.int64], views: int, rows: int, seed: int
) -> list[tuple[int, NDArray[np.int64]]]:
    """Return (view, rows) of at least LEAST_SPANS spans of `comparable` rows, about `rows` in all, at random starts.

    The spans go through the views in a random order.
    """
    random = np.random.default_rng(seed)
    spans = max(LEAST_SPANS, min(views, rows // ROWS_PER_SPAN))
    size = min(max(rows // spans, 1), len(comparable))
    starts = random.integers(0, len(comparable) - size + 1, spans)
    order = random.permutation(views)
    return [(int(order[n % views]), comparable[start : start + size]) for n, start in enumerate(starts.tolist())]


def _distances(
    extractor: Extractor, store: KnowledgeStore, condensed: CondensedRows | None, view: int, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the distances `[n]`, 0..1, of the stored rows `rows[n]` (ascending) from the rows that are made now.

    The distance is the total variation of the softened distributions, so that it also shows in confident rows. If
    features are read, it is the relative distance of the features where that is larger.
    """
    samples = rows if condensed is None else condensed.samples[rows]
    fresh = extractor.rows(view, samples)[:, : store.columns]
    if condensed is not None:  # its rows went through the store that was condensed, then through this one
        settings = {
            key: value for key, value in store.made_from[CONDENSED_KEY]["encoding"].items() if key != "features"
        }
        fresh = _encoded_and_decoded(make_encoding(**settings), fresh, view, samples)
    again = _encoded_and_decoded(store.encoding, fresh, view, rows)
    stored = store.read_rows(view, int(rows[0]), int(rows[-1]) + 1)[rows - rows[0]]
    classes = store.layout.classes
    distances = np.zeros(len(rows))
    if classes:
        p, q = (np.exp(log_softmax(part[:, :classes])) for part in (again, stored))
        distances = np.abs(p - q).sum(axis=1) / 2
    if store.encoding.feature_columns:
        distances = np.maximum(distances, _relative_distances(again[:, classes:], stored[:, classes:]))
    return distances


def _encoded_and_decoded(encoding: Encoding, fresh: NDArray[Any], view: int, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return `fresh[n, C]` (or `[n, C + D]`) as a store would give them back that holds them as `rows[n]` of `view`.

    Rows are encoded one by one, because the draws of `sample` depend on the row's place.
    """
    classes = fresh.shape[1] - encoding.feature_columns
    decoded = []
    for row, place in zip(fresh, rows, strict=True):
        parts = encoding.encode(row[None].astype(np.float32), view=view, first=int(place))
        decoded.append(encoding.decode(parts, classes))
    return np.concatenate(decoded)


def _relative_distances(features: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Euclidean distances `[n]` of features `[n, D]`, divided by the larger of both lengths."""
    a, b = features.astype(np.float64), others.astype(np.float64)
    length = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return np.linalg.norm(a - b, axis=1) / np.maximum(length, np.finfo(np.float64).tiny)
