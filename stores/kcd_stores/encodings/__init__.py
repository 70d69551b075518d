"""Encodings by name."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kcd_stores.encodings.base import ArraySpec, Encoding, row_bytes
from kcd_stores.encodings.dense import BitRounded, Float, Int8, widened_range
from kcd_stores.encodings.features import WithFeatures
from kcd_stores.encodings.sparse import Sample, TopK
from kcd_stores.errors import StoreUsageError

__all__ = [
    "ENCODINGS",
    "ArraySpec",
    "Encoding",
    "WithFeatures",
    "describe_features",
    "make_encoding",
    "row_bytes",
    "widened_range",
    "with_features",
]

# numcodecs' codecs are outside zarr's own list; every zarr-python reads them, which is what is promised
warnings.filterwarnings("ignore", message="Numcodecs codecs are not in the Zarr version 3 specification")
# the padding of a last chunk is NaN and becomes some byte; nothing ever reads it
warnings.filterwarnings("ignore", message="invalid value encountered in cast", module="numcodecs.fixedscaleoffset")

ENCODINGS: dict[str, Callable[..., Encoding]] = {
    "float32": partial(Float, "float32"),
    "float16": partial(Float, "float16"),
    "bitround": BitRounded,
    "int8": Int8,
    "topk": TopK,
    "sample": Sample,
}


def make_encoding(name: str, **settings: Any) -> Encoding:
    """The encoding called `name`, with its settings.

    Raises
    ------
    StoreUsageError
        If there is none of that name, or it has no such settings.
    """
    if name not in ENCODINGS:
        raise StoreUsageError(f"there is no encoding '{name}'; there are: {', '.join(ENCODINGS)}")
    try:
        return ENCODINGS[name](**settings)
    except TypeError as error:
        raise StoreUsageError(f"encoding {name} cannot have the settings {settings}: {error}") from error


def describe_features(encoding: Encoding) -> dict[str, Any] | None:
    """The features of an encoding as a store's attributes hold them, which `with_features` takes; None without any."""
    if not isinstance(encoding, WithFeatures):
        return None
    return {"dim": encoding.extra, "encoding": {"name": encoding.of.name, **encoding.of.settings()}}


def with_features(logits: Encoding, features: Mapping[str, Any] | None) -> Encoding:
    """The encoding of logits, and of the features that `describe_features` described."""
    if features is None:
        return logits
    return WithFeatures(logits=logits, of=make_encoding(**features["encoding"]), extra=features["dim"])
