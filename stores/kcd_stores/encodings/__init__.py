"""Encodings: ways to store rows of logits and features, by name."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kcd_stores.encodings.dense import BitRounded, Float, Int8, widened_range
from kcd_stores.encodings.features import NoLogits, WithFeatures
from kcd_stores.encodings.packing import Packing
from kcd_stores.encodings.pca import PCA, fitted_pca
from kcd_stores.encodings.pq import PQ, fitted_pq
from kcd_stores.encodings.protocol import ArraySpec, Encoding, row_bytes
from kcd_stores.encodings.sparse import Sample, TopK
from kcd_stores.errors import StoreUsageError

__all__ = [
    "ENCODINGS",
    "ArraySpec",
    "Encoding",
    "NoLogits",
    "Packing",
    "WithFeatures",
    "describe_features",
    "encoding_label",
    "fitted_pca",
    "fitted_pq",
    "make_encoding",
    "row_bytes",
    "widened_range",
    "with_features",
]

ENCODINGS: dict[str, Callable[..., Encoding]] = {
    "float32": partial(Float, "float32"),
    "float16": partial(Float, "float16"),
    "bitround": BitRounded,
    "int8": Int8,
    "topk": TopK,
    "sample": Sample,
    "pca": PCA,
    "pq": PQ,
}  # of logits


def make_encoding(name: str, **settings: Any) -> Encoding:
    """Return the encoding called `name`, with these settings; `none` is that of rows without logits.

    Raises
    ------
    StoreUsageError
        If no encoding has that name, or it does not have these settings.
    """
    if name == NoLogits.name and not settings:
        return NoLogits()
    if name not in ENCODINGS:
        raise StoreUsageError(f"there is no encoding '{name}'; there are: {', '.join(ENCODINGS)}")
    try:
        return ENCODINGS[name](**settings)
    except TypeError as error:
        raise StoreUsageError(f"encoding {name} cannot have the settings {settings}: {error}") from error


def encoding_label(encoding: Encoding) -> str:
    """Return the encoding of logits and its settings that are numbers as people write them: `float16`, `topk(k=8)`."""
    numbers = {key: value for key, value in encoding.settings().items() if not isinstance(value, str)}
    settings = ", ".join(f"{key}={value}" for key, value in numbers.items())
    return f"{encoding.name}({settings})" if settings else encoding.name


def describe_features(encoding: Encoding) -> dict[str, Any] | None:
    """Return the features of an encoding as the attributes of a store hold them; None if it has no features."""
    if not isinstance(encoding, WithFeatures):
        return None
    of_features = encoding.feature_encoding
    return {"dim": encoding.feature_columns, "encoding": {"name": of_features.name, **of_features.settings()}}


def with_features(logits: Encoding, features: Mapping[str, Any] | None) -> Encoding:
    """Return `logits`, an encoding, with the features that `describe_features` described; `logits` alone for None."""
    if features is None:
        return logits
    return WithFeatures(
        logit_encoding=logits,
        feature_encoding=make_encoding(**features["encoding"]),
        feature_columns=features["dim"],
    )
