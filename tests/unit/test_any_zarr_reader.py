"""Every dense encoding is read by another reader of zarr 3, TensorStore, and the attributes of its arrays."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
from tests.support.encodings import pca_settings, pq_settings

from kcd_stores import KnowledgeStore, KnowledgeWriter, Layout, WithFeatures, make_encoding
from kcd_stores.encodings import ENCODINGS

LAYOUT = Layout(views=2, samples=75, classes=12, block_rows=32, chunk_rows=8)  # the last shard and chunk not full
FEATURES = 5
SETTINGS: dict[str, dict[str, Any]] = {
    "int8": {"low": -30.0, "high": 40.0},
    "topk": {"k": 3},
    "pca": pca_settings(LAYOUT.classes),
    "pq": pq_settings(LAYOUT.classes),
}


def dense() -> list[str]:
    """Return the names of the encodings that have an array of all logits."""
    made = {name: make_encoding(name, **SETTINGS.get(name, {})).arrays(LAYOUT.classes) for name in ENCODINGS}
    return [name for name, specs in made.items() if "logits" in {spec.name for spec in specs}]


def make(path: Path, name: str, features: str) -> KnowledgeStore:
    """Make a store whose last block of view 1 is missing; view 0 has a chunk of nothing but the lowest number."""
    encoding = WithFeatures(
        logit_encoding=make_encoding(name, **SETTINGS.get(name, {})),
        feature_encoding=make_encoding(features, **SETTINGS.get(features, {})),
        feature_columns=FEATURES,
    )
    writer = KnowledgeWriter.create(path, layout=LAYOUT, encoding=encoding, made_from={})
    random = np.random.default_rng(0)
    for view, block in LAYOUT.all_blocks():
        rows = random.normal(0, 4, (len(LAYOUT.rows(block)), LAYOUT.classes + FEATURES)).astype(np.float32)
        if (view, block) == (0, 1):
            rows[8:16] = SETTINGS["int8"]["low"]
        if (view, block) != (1, LAYOUT.blocks - 1):
            writer.write_block(view, block, rows, seconds=0)
    return writer.store


def read_by_tensorstore(path: Path) -> np.ndarray[Any, Any]:
    kvstore = {"driver": "file", "path": str(path)}
    array = tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, read=True, open=True).result()
    return np.asarray(array.read().result())


def decoded(elements: np.ndarray[Any, Any], attributes: dict[str, float]) -> np.ndarray[Any, Any]:
    """Decode by the CF conventions, as xarray does: the product and the sum in float64."""
    if "scale_factor" not in attributes:
        return elements
    return elements * np.float64(attributes["scale_factor"]) + np.float64(attributes["add_offset"])


@pytest.mark.parametrize(("name", "features"), [(name, "int8" if name == "int8" else "float16") for name in dense()])
def test_tensorstore_reads_the_rows_of_every_dense_encoding(tmp_path: Path, name: str, features: str) -> None:
    store = make(tmp_path / "s", name, features)
    whole = KnowledgeStore.open(tmp_path / "s", features=True)
    known = LAYOUT.rows(LAYOUT.blocks - 1).start
    parts = {}
    for spec in store.encoding.arrays(LAYOUT.classes):
        elements = read_by_tensorstore(tmp_path / "s" / spec.name)
        assert elements.dtype == spec.dtype
        attributes = json.loads((tmp_path / "s" / spec.name / "zarr.json").read_text())["attributes"]
        parts[spec.name] = decoded(elements, attributes).astype(np.float32)
    for view, rows in ((0, LAYOUT.samples), (1, known)):
        found = np.concatenate([parts["logits"][view], parts["features"][view]], axis=1)[:rows]
        np.testing.assert_array_equal(found, whole.read_rows(view, 0, rows).astype(np.float32))
    if store.encoding.arrays(LAYOUT.classes)[0].dtype.kind == "f":
        assert np.isnan(parts["logits"][1, known:]).all(), "what was never written is no number"
    complete = read_by_tensorstore(tmp_path / "s" / "complete")
    np.testing.assert_array_equal(complete, store.complete())


def codec_names(value: Any) -> set[str]:
    """Return all names of codecs in a metadata document."""
    if isinstance(value, list):
        return set().union(*(codec_names(part) for part in value)) if value else set()
    if not isinstance(value, dict):
        return set()
    inner = set().union(*(codec_names(part) for part in value.values())) if value else set()
    return inner | ({value["name"]} if isinstance(value.get("name"), str) else set())


@pytest.mark.parametrize("name", ENCODINGS)
def test_metadata_name_codecs_of_the_specification_alone(tmp_path: Path, name: str) -> None:
    make(tmp_path / "s", name, "int8")
    for file in (tmp_path / "s").glob("*/zarr.json"):
        named = codec_names(json.loads(file.read_text())["codecs"])
        assert named <= {"sharding_indexed", "bytes", "blosc", "crc32c"}, file
