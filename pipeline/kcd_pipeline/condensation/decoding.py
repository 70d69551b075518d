"""Packed rows decoded by torch, where they lie: on a GPU, a batch is sent as it is held, and decoded there.

The numbers are those of `Packing.decode`, bit by bit: tables are made by numpy, and what is computed here are float32
numbers in the order of numpy, or sums of whole numbers that are exact in any order. No function here waits for the
device.

Letters: B batch, W bytes of a packed row, C classes, D features, k classes of `topk`.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from kcd_pipeline.device_moves import to_device
from kcd_stores import Encoding, Packing, WithFeatures
from kcd_stores.encodings import ArraySpec, NoLogits
from kcd_stores.encodings.dense import BitRounded, Float, Int8
from kcd_stores.encodings.pca import PCA
from kcd_stores.encodings.pq import PQ
from kcd_stores.encodings.sparse import Sample, TopK

Elements = Mapping[str, Tensor]  # `[B, *row_shape]` of each array of an encoding, by its name
FLOATS = {2: torch.float16, 4: torch.float32}
SIGNED = {2: torch.int16, 4: torch.int32}  # of as many bytes as unsigned numbers, which torch can do little with


def decoder_of(packing: Packing, device: torch.device) -> Callable[[Tensor], Tensor] | None:
    """Return a function that decodes `packed[B, W]` uint8 on `device` to rows `[B, C]` or `[B, C + D]`.

    None is returned for an encoding that only numpy decodes.
    """
    decode = _decoder(packing.encoding, packing.classes, device)
    if decode is None:
        return None
    specs = {spec.name: spec for spec in packing.arrays}
    starts = {name: packing.fields.fields[name][1] for name in specs} if packing.fields.fields else {}

    def decoded(packed: Tensor) -> Tensor:
        return decode({name: _elements(packed, spec, starts[name]) for name, spec in specs.items()})

    return decoded


def _elements(packed: Tensor, spec: ArraySpec, start: int) -> Tensor:
    """Return the elements `[B, *row_shape]` of one array: floating numbers, or integers."""
    held = spec.memory_dtype
    size = math.prod(spec.row_shape) * held.itemsize
    part = packed
    if size < packed.shape[1]:  # a copy, for the bytes of a number to lie where a number may lie
        part = packed[:, start : start + size].clone(memory_format=torch.contiguous_format)
    shape = (len(packed), *spec.row_shape)
    if spec.zero_bytes:
        return part.view(torch.bfloat16).view(shape)  # the upper half of a float32
    if held.kind == "f":
        return part.view(FLOATS[held.itemsize]).view(shape)
    if held.itemsize == 1:
        return part.view(torch.int8 if held.kind == "i" else torch.uint8).view(shape)
    return (part.view(SIGNED[held.itemsize]).to(torch.int64) & ((1 << 8 * held.itemsize) - 1)).view(shape)


def _decoder(encoding: Encoding, classes: int, device: torch.device) -> Callable[[Elements], Tensor] | None:
    """Return a function that decodes the elements of an encoding; None if there is none in torch."""
    if isinstance(encoding, Float | BitRounded):
        return lambda elements: elements["logits"]
    if isinstance(encoding, Int8):
        return _of_bytes(encoding, device)
    if isinstance(encoding, TopK):
        return _of_topk(encoding, classes)
    if isinstance(encoding, Sample):
        return _of_draws(encoding, classes, device)
    if isinstance(encoding, PCA):
        return _of_components(encoding, device)
    if isinstance(encoding, PQ):
        return _of_codewords(encoding, device)
    return _with_features(encoding, classes, device) if isinstance(encoding, WithFeatures) else None


def _of_bytes(encoding: Int8, device: torch.device) -> Callable[[Elements], Tensor]:
    every_byte = np.arange(256, dtype=np.uint8)[None]
    table = to_device(encoding.decode({"logits": every_byte}, every_byte.size)[0], device)
    return lambda elements: table[elements["logits"].to(torch.int64)]


def _of_topk(encoding: TopK, classes: int) -> Callable[[Elements], Tensor]:
    of_others = float(encoding.share_of_rest(classes))

    def decode(elements: Elements) -> Tensor:
        logits = (elements["rest"] - of_others)[:, None].repeat(1, classes)
        return logits.scatter_(1, elements["classes"].to(torch.int64), elements["values"].to(torch.float32))

    return decode


def _of_draws(encoding: Sample, classes: int, device: torch.device) -> Callable[[Elements], Tensor]:
    table = to_device(encoding.logits_of_counts, device)

    def decode(elements: Elements) -> Tensor:
        drawn = elements["classes"].to(torch.int64)
        counts = torch.zeros((len(drawn), classes), dtype=torch.int64, device=drawn.device)
        return table[counts.scatter_add_(1, drawn, torch.ones_like(drawn))]

    return decode


def _of_components(encoding: PCA, device: torch.device) -> Callable[[Elements], Tensor]:
    weights, scales, means = (to_device(part.copy(), device) for part in encoding.parts_of_basis)
    step = float(np.float32(encoding.correction_step))

    def decode(elements: Elements) -> Tensor:
        logits = _exact_product(elements["codes"].to(torch.float32), weights).mul_(scales).add_(means)
        return _corrected(logits, elements, step)

    return decode


def _of_codewords(encoding: PQ, device: torch.device) -> Callable[[Elements], Tensor]:
    _, *parts = encoding.parts_of_basis
    codewords, weights, scales, means = (to_device(part.copy(), device) for part in parts)
    groups, components = (to_device(place, device) for place in encoding.places)
    step = float(np.float32(encoding.correction_step))

    def decode(elements: Elements) -> Tensor:
        coordinates = codewords[elements["codes"].to(torch.int64)[:, groups], components]
        logits = _exact_product(coordinates, weights).mul_(scales).add_(means)
        return _corrected(logits, elements, step)

    return decode


def _exact_product(coordinates: Tensor, weights: Tensor) -> Tensor:
    """Return the product of whole numbers in float32, of which no sum is rounded."""
    device = coordinates.device.type
    with torch.autocast(device if device != "meta" else "cpu", enabled=False):
        return coordinates @ weights


def _corrected(logits: Tensor, elements: Elements, step: float) -> Tensor:
    """Add corrections to `logits[B, C]`, in place, if there are any."""
    if "corrections" not in elements:
        return logits
    corrections = elements["corrections"].to(torch.float32) * step
    return logits.scatter_add_(1, elements["classes"].to(torch.int64), corrections)


def _with_features(encoding: WithFeatures, classes: int, device: torch.device) -> Callable[[Elements], Tensor] | None:
    of_features = _decoder(encoding.feature_encoding, encoding.feature_columns, device)
    if of_features is None:
        return None
    if isinstance(encoding.logit_encoding, NoLogits):
        return lambda elements: of_features({"logits": elements["features"]})
    of_logits = _decoder(encoding.logit_encoding, classes, device)
    if of_logits is None:
        return None

    def decode(elements: Elements) -> Tensor:
        logits, features = of_logits(elements), of_features({"logits": elements["features"]})
        return torch.cat([logits.to(torch.float32), features.to(torch.float32)], dim=1)

    return decode
