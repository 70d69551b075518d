"""The encoding and the layout of the store that a recipe asks for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.config import StoreConfig
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.recipe_store.source import StoreSource
from kcd_stores import (
    ENCODINGS,
    Encoding,
    EncodingTrial,
    Fidelity,
    Layout,
    OutOfRangeError,
    Storage,
    WithFeatures,
    choose_layout,
    fitted_pca,
    fitted_pq,
    make_encoding,
    measure_fidelity,
    row_bytes,
    try_encodings,
    widened_range,
)
from kcd_stores.encodings.pca import require_counts
from kcd_stores.encodings.pq import require_code_bytes

NO_LOGITS = "none"  # the encoding of rows that are features alone
RANGE_ROWS = 8192  # from which the range of int8 is taken if the recipe leaves it open
FIDELITY_ROWS = 2048  # on which the fidelity of a new store's encoding is measured, however many views it has
AUTO = "auto"  # the name that stands for the smallest encoding within a divergence
AUTO_ROWS = 4096  # of the trial that chooses it, ...
AUTO_LOGITS = 2**24  # ... which has fewer rows of many classes
MEASURED = 4  # one in so many of these rows is measured; encodings are fitted to the others
# settings that are tried besides the recipe's own
OTHER_SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "bitround": tuple({"keep_bits": bits} for bits in (3, 4, 5, 6, 7)),
    "topk": tuple({"k": k} for k in (4, 8, 16, 32, 64)),
    "pca": tuple({"components": count} for count in (16, 32, 64, 128, 256, 512)),
    "pq": tuple({"code_bytes": count} for count in (16, 64, 192)),
}


@dataclass(frozen=True, kw_only=True)
class NewEncoding:
    """The encoding of a new store, and the trial that its encoding of logits was chosen by, or None."""

    encoding: Encoding
    trial: EncodingTrial | None = None


def required_encoding(config: StoreConfig) -> dict[str, Any]:
    """Return the description that a store's encoding must match, in all keys that it names.

    Features are named only if the recipe wants them: a store may hold features that a recipe does not use.
    """
    features = {"features": {"encoding": {"name": config.features_encoding}}} if config.features else {}
    if not config.logits:
        return {"name": NO_LOGITS, **features}
    if config.encoding == AUTO:
        return {"name": AUTO, "max_kl": config.max_kl, **features}
    return {"name": config.encoding, **encoding_settings(config, config.encoding), **features}


def encoding_settings(config: StoreConfig, name: str) -> dict[str, Any]:
    """Return a recipe's settings of an encoding, without those that a trial finds: int8's range, a basis."""
    if name == "int8" and config.int8_range is not None:
        return {"low": config.int8_range[0], "high": config.int8_range[1]}
    settings = {
        "bitround": {"keep_bits": config.keep_bits},
        "topk": {"k": config.top_k},
        "sample": {"draws": config.draws},
        "pca": {"components": config.components, "k": config.top_k},
        "pq": {"code_bytes": config.code_bytes, "k": config.top_k},
    }
    return settings.get(name, {})


def new_encoding(source: StoreSource) -> NewEncoding:
    """Return the encoding of a new store of `source`, fitted to a trial where the recipe leaves settings open.

    Raises
    ------
    UserError
        If its settings do not fit the data, or no encoding is within the divergence that `auto` may have.
    FailedError
        If a logit that encodings are tried on is not finite.
    """
    wanted, classes, wording = source.settings, source.classes, source.wording
    auto = bool(classes) and wanted.encoding == AUTO
    count = min(AUTO_ROWS, max(AUTO_LOGITS // classes, 1)) if auto else RANGE_ROWS
    trial_rows = cache(partial(source.trial_rows, count, views=wanted.views))
    found = NewEncoding(encoding=make_encoding(NO_LOGITS))
    if auto:
        found = _chosen(source, trial_rows()[:, :classes])
    elif classes:
        try:
            settings = encoding_settings(wanted, wanted.encoding)
            encoding = _fitted(wanted.encoding, settings, classes, lambda: trial_rows()[:, :classes])
        except ValueError as error:
            raise UserError(f"{wording.encoding_key} {wanted.encoding} does not fit {wording.data}: {error}") from error
        found = NewEncoding(encoding=encoding)
    if not source.feature_columns:
        return found
    feature_settings = _range_of(trial_rows()[:, classes:]) if wanted.features_encoding == "int8" else {}
    with_features = WithFeatures(
        logit_encoding=found.encoding,
        feature_encoding=make_encoding(wanted.features_encoding, **feature_settings),
        feature_columns=source.feature_columns,
    )
    return NewEncoding(encoding=with_features, trial=found.trial)


def _fitted(
    name: str, settings: dict[str, Any], classes: int, trial_logits: Callable[[], NDArray[np.float32]]
) -> Encoding:
    """Return the encoding called `name`, fitted to some logits `[n, C]` where `settings` leave anything open.

    ValueError is raised if the settings do not fit the number of classes.
    """
    if name == "pca":
        require_counts(**settings, classes=classes)  # before the teacher runs
        return fitted_pca(trial_logits(), **settings)
    if name == "pq":
        require_code_bytes(**settings, classes=classes)
        return fitted_pq(trial_logits(), **settings)
    if name == "int8" and not settings:
        settings = _range_of(trial_logits())
    encoding = make_encoding(name, **settings)
    encoding.arrays(classes)
    return encoding


def _chosen(source: StoreSource, logits: NDArray[np.float32]) -> NewEncoding:
    """Return the smallest encoding of `logits[n, C]` within the divergence that the recipe allows, and its trial.

    It is measured on other rows than it was fitted to.
    """
    measured = np.arange(len(logits)) % MEASURED == 0
    fitted_to = logits if measured.all() else logits[~measured]
    with refusals_as_failures("no encoding can be chosen", source.wording.range_advice):
        candidates = _candidates(source, fitted_to)
        trial = try_encodings(logits[measured], candidates, max_kl=source.settings.max_kl)
    try:
        return NewEncoding(encoding=trial.chosen.encoding, trial=trial)
    except ValueError as error:
        raise UserError(
            f"{source.wording.encoding_key} {AUTO}: {error}. Raise store.max_kl, or name an encoding."
        ) from error


def _candidates(source: StoreSource, logits: NDArray[np.float32]) -> list[Encoding]:
    """Return every encoding that fits, with the recipe's settings and with those that are tried besides."""
    if not np.isfinite(logits).all():
        raise ValueError("the teacher made a logit that is not finite")
    encodings = []
    for name in ENCODINGS:
        own = encoding_settings(source.settings, name)
        others = ({**own, **other} for other in OTHER_SETTINGS.get(name, ()))
        for settings in (own, *(other for other in others if other != own)):
            try:
                encodings.append(_fitted(name, settings, source.classes, lambda: logits))
            except ValueError:
                continue  # such as more classes or components to keep than there are
    return encodings


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
