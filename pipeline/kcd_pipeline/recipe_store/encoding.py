"""The encoding and the layout of the store that a recipe asks for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.config import StoreConfig
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.recipe_store.source import StoreSource
from kcd_stores import (
    Encoding,
    Fidelity,
    Layout,
    OutOfRangeError,
    Storage,
    WithFeatures,
    choose_layout,
    fitted_pca,
    make_encoding,
    measure_fidelity,
    row_bytes,
    widened_range,
)
from kcd_stores.encodings.pca import require_counts

NO_LOGITS = "none"  # the encoding of rows that are features alone
RANGE_ROWS = 8192  # from which the range of int8 is taken if the recipe leaves it open
FIDELITY_ROWS = 2048  # on which the fidelity of a new store's encoding is measured, however many views it has


def required_encoding(config: StoreConfig) -> dict[str, Any]:
    """Return the description that a store's encoding must match, in all keys that it names.

    Features are named only if the recipe wants them: a store may hold features that a recipe does not use.
    """
    features = {"features": {"encoding": {"name": config.features_encoding}}} if config.features else {}
    if not config.logits:
        return {"name": NO_LOGITS, **features}
    return {"name": config.encoding, **encoding_settings(config), **features}


def encoding_settings(config: StoreConfig) -> dict[str, Any]:
    """Return the settings of the recipe's encoding, without those that a trial finds: int8's range, pca's basis."""
    if config.encoding == "int8" and config.int8_range is not None:
        return {"low": config.int8_range[0], "high": config.int8_range[1]}
    settings = {
        "bitround": {"keep_bits": config.keep_bits},
        "topk": {"k": config.top_k},
        "sample": {"draws": config.draws},
        "pca": {"components": config.components, "k": config.top_k},
    }
    return settings.get(config.encoding, {})


def new_encoding(source: StoreSource) -> Encoding:
    """Return the encoding of a new store of `source`, fitted to a trial where the recipe leaves settings open.

    Raises
    ------
    UserError
        If its settings do not fit the data.
    """
    wanted, classes, wording = source.settings, source.classes, source.wording
    trial_rows = cache(partial(source.trial_rows, RANGE_ROWS, views=wanted.views))
    encoding = make_encoding(NO_LOGITS)
    try:
        if classes:
            encoding = _of_logits(wanted, classes, trial_rows)
        encoding.arrays(classes)
    except ValueError as error:
        raise UserError(f"{wording.encoding_key} {wanted.encoding} does not fit {wording.data}: {error}") from error
    if not source.feature_columns:
        return encoding
    feature_settings = _range_of(trial_rows()[:, classes:]) if wanted.features_encoding == "int8" else {}
    return WithFeatures(
        logit_encoding=encoding,
        feature_encoding=make_encoding(wanted.features_encoding, **feature_settings),
        feature_columns=source.feature_columns,
    )


def _of_logits(wanted: StoreConfig, classes: int, trial_rows: Callable[[], NDArray[np.float32]]) -> Encoding:
    """Return the encoding of logits; ValueError is raised if its settings do not fit."""
    settings = encoding_settings(wanted)
    if wanted.encoding == "pca":
        require_counts(**settings, classes=classes)  # before the teacher runs
        return fitted_pca(trial_rows()[:, :classes], **settings)
    if wanted.encoding == "int8" and not settings:
        settings = _range_of(trial_rows()[:, :classes])
    return make_encoding(wanted.encoding, **settings)


def new_layout(source: StoreSource, encoding: Encoding) -> Layout:
    """Return the layout of a new store of `source` in `encoding`; raise UserError if no store can be that large."""
    try:
        return choose_layout(
            views=source.settings.views,
            samples=source.samples,
            classes=source.classes,
            row_bytes=row_bytes(encoding, source.classes),
            block_rows=source.settings.block_rows,
        )
    except ValueError as error:
        raise UserError(
            f"store.views or store.block_rows does not fit {source.wording.data}: {error}. Set fewer views, or blocks "
            f"of another size."
        ) from error


def trial_fidelity(storage: Storage, source: StoreSource, encoding: Encoding) -> Fidelity:
    """Measure `encoding` on some rows of `source`, before anything is written to `storage`.

    Raises
    ------
    FailedError
        If a row does not fit the encoding.
    """
    rows = source.trial_rows(FIDELITY_ROWS, views=1)
    with refusals_as_failures(f"nothing was written to {storage}", source.wording.range_advice):
        return measure_fidelity(rows, encoding)


@contextmanager
def refusals_as_failures(failure: str, range_advice: str) -> Iterator[None]:
    """Turn the ValueError of rows that a store does not take into a FailedError that begins with `failure`.

    `range_advice` is a sentence for a user whose numbers are outside the range of the encoding.
    """
    try:
        yield
    except ValueError as error:
        advice = f". {range_advice}" if isinstance(error, OutOfRangeError) else ""
        raise FailedError(f"{failure}: {error}{advice}") from error


def _range_of(numbers: NDArray[np.float32]) -> dict[str, float]:
    low, high = widened_range(numbers)
    return {"low": low, "high": high}
