"""Promises of every encoding: bounds on its error, proper distributions, and real zarr arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special
from tests.support.plain_zarr import read_numbers

from kcd_stores import (
    CorruptStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    StoreUsageError,
    WithFeatures,
    choose_layout,
    fitted_pca,
    fitted_pq,
    make_encoding,
    row_bytes,
    verify_store,
)
from kcd_stores.encodings import ENCODINGS, widened_range

C = 100
ROWS = 300


def peaked(rows: int = ROWS, classes: int = C, seed: int = 0) -> np.ndarray:
    """Return logits like those of a teacher on its own training set: noise, and one class far above it."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (rows, classes))
    logits[np.arange(rows), random.integers(0, classes, rows)] += random.uniform(8, 22, rows)
    return logits.astype(np.float32)


SETTINGS: dict[str, dict[str, Any]] = {
    "int8": {"low": -20.0, "high": 40.0},
    "topk": {"k": 8},
    "pca": fitted_pca(peaked(), components=48, k=8).settings(),
    "pq": fitted_pq(peaked(), code_bytes=32, k=8).settings(),
}


def store_of(path: Path, logits: np.ndarray, name: str, **settings: Any) -> KnowledgeStore:
    """Make a store of one view of `logits`, in several blocks and chunks, the last ones not full."""
    encoding = make_encoding(name, **(settings or SETTINGS.get(name, {})))
    rows, classes = logits.shape
    layout = choose_layout(
        views=2, samples=rows, classes=classes, row_bytes=row_bytes(encoding, classes), block_rows=128
    )
    writer = KnowledgeWriter.create(path, layout=layout, encoding=encoding, made_from={})
    for block in range(layout.blocks):
        part = layout.rows(block)
        writer.write_block(0, block, logits[part.start : part.stop], seconds=0)
    return writer.store


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_view_reads_the_same_whole_in_part_and_reopened(tmp_path: Path, name: str) -> None:
    store = store_of(tmp_path / "s", peaked(), name)
    whole = store.read_view(0)
    assert whole.shape == (ROWS, C)
    assert np.isfinite(whole).all()
    again = KnowledgeStore.open(tmp_path / "s")
    np.testing.assert_array_equal(again.read_rows(0, 100, 270), whole[100:270])
    assert again.describe_encoding() == store.describe_encoding()


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("float32", lambda z: np.zeros_like(z)),
        ("float16", lambda z: np.maximum(np.abs(z) * 2.0**-11, 2.0**-25)),
        ("bitround", lambda z: np.abs(z) * 2.0**-8),  # 7 bits are kept
        ("int8", lambda z: np.full_like(z, 60 / 510 * 1.0001)),  # half of one of 255 steps from -20 to 40
    ],
)
def test_dense_encodings_read_as_logits_by_zarr_alone_within_their_error(tmp_path: Path, name: str, bound: Any) -> None:
    logits = peaked()
    store_of(tmp_path / "s", logits, name)
    plain = read_numbers(tmp_path / "s", "logits")[0]
    assert (np.abs(plain.astype(np.float64) - logits) <= bound(logits)).all()


@pytest.mark.parametrize("name", ["float16", "bitround", "int8", "topk", "pca", "pq"])
def test_the_softened_distribution_is_kept(tmp_path: Path, name: str) -> None:
    logits = peaked()
    decoded = store_of(tmp_path / "s", logits, name).read_view(0)
    teacher, stored = (
        special.log_softmax(logits / 4, axis=1),
        special.log_softmax(decoded.astype(np.float64) / 4, axis=1),
    )
    divergence = (np.exp(teacher) * (teacher - stored)).sum(axis=1).mean()
    assert divergence < {"float16": 1e-6, "bitround": 1e-5, "int8": 1e-3, "topk": 0.2, "pca": 0.1, "pq": 0.1}[name]
    assert (decoded.argmax(1) == logits.argmax(1)).mean() > 0.99


# --- top-k --------------------------------------------------------------------------------------------------


def test_topk_keeps_the_largest_and_the_mass_of_the_rest_by_hand() -> None:
    """p = (0.6, 0.2, 0.1, 0.1): the two largest stay, the rest has mass 0.2, shared evenly: 0.1 each."""
    logits = np.log(np.array([[0.1, 0.6, 0.1, 0.2]], np.float32))
    encoding = make_encoding("topk", k=2)
    parts = encoding.encode(logits, view=0, first=0)
    assert parts["classes"].tolist() == [[1, 3]]
    assert parts["rest"] == pytest.approx(np.log(0.2), abs=1e-6)
    np.testing.assert_allclose(np.exp(encoding.decode(parts, 4)), [[0.1, 0.6, 0.1, 0.2]], rtol=1e-3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_topk_decodes_to_a_proper_distribution_with_the_teachers_tail(temperature: float) -> None:
    logits = peaked()
    encoding = make_encoding("topk", k=8)
    decoded = encoding.decode(encoding.encode(logits, view=0, first=0), C)
    p = special.softmax(decoded / temperature, axis=1)
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    top = np.argsort(-logits, axis=1)[:, :8]
    tail = special.softmax(logits.astype(np.float64), axis=1)
    np.put_along_axis(tail, top, 0, axis=1)
    stored = special.softmax(decoded.astype(np.float64), axis=1)
    np.put_along_axis(stored, top, 0, axis=1)
    np.testing.assert_allclose(stored.sum(axis=1), tail.sum(axis=1), rtol=0.03)  # float16 of the largest: 2**-11 * 22


def test_topk_of_a_teacher_that_is_certain_to_one_in_ten_million_has_no_negative_tail() -> None:
    """p = 1 - 1e-7: `1 - sum(top-k)` in float16 would be 0 or negative; from log-sum-exp the tail is 1e-7."""
    logits = np.zeros((1, C), dtype=np.float32)
    logits[0, 7] = np.log((1 - 1e-7) / (1e-7 / 99))  # softmax: 1 - 1e-7 for class 7, 1e-7 / 99 for the others
    encoding = make_encoding("topk", k=8)
    decoded = encoding.decode(encoding.encode(logits, view=0, first=0), C)
    p = special.softmax(decoded.astype(np.float64), axis=1)[0]
    assert (p > 0).all()
    assert np.delete(p, 7).sum() == pytest.approx(1e-7, rel=0.02)


@pytest.mark.parametrize(("classes", "dtype"), [(10, "uint8"), (255, "uint8"), (256, "uint16"), (40_000, "uint16")])
def test_class_ids_take_the_smallest_integer_that_fits(classes: int, dtype: str) -> None:
    (_, ids, _) = make_encoding("topk", k=2).arrays(classes)
    assert ids.dtype == dtype
    logits = np.zeros((1, classes), dtype=np.float32)
    logits[0, -1] = 5
    parts = make_encoding("topk", k=2).encode(logits, view=0, first=0)
    assert parts["classes"].tolist() == [[classes - 1, 0]]
    assert ids.fill_value >= classes, "what was never written is no class"


# --- sampling -----------------------------------------------------------------------------------------------


def test_samples_expectation_is_the_teachers_distribution() -> None:
    """20,000 independent draws of the same row: every class within 4.5 standard errors of its probability."""
    p = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
    logits = np.repeat(np.log(p)[None], 400, axis=0).astype(np.float32)
    encoding = make_encoding("sample", draws=50)
    decoded = encoding.decode(encoding.encode(logits, view=3, first=10), 5)
    estimate = special.softmax(decoded.astype(np.float64), axis=1)
    np.testing.assert_allclose(estimate.sum(axis=1), 1)
    standard_error = np.sqrt(p * (1 - p) / (400 * 50))
    assert (np.abs(estimate.mean(axis=0) - p) < 4.5 * standard_error).all()
    counts = estimate * 50
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-4)  # whole numbers of draws


def test_a_sample_depends_on_sample_and_view_and_on_nothing_else() -> None:
    logits = np.repeat(peaked(1, 30) / 4, 40, axis=0).astype(np.float32)
    encoding = make_encoding("sample", draws=20)
    whole = encoding.encode(logits, view=1, first=0)["classes"]
    np.testing.assert_array_equal(whole[25:], encoding.encode(logits[25:], view=1, first=25)["classes"])
    assert (whole != encoding.encode(logits, view=2, first=0)["classes"]).any()
    assert len(np.unique(whole, axis=0)) > 20


# --- what is refused ----------------------------------------------------------------------------------------


def test_int8_clips_nothing() -> None:
    with pytest.raises(ValueError, match=r"logit 41 \(row 1, class 0\) is outside -20 to 40.*nothing is clipped"):
        make_encoding("int8", low=-20.0, high=40.0).encode(np.array([[0, 1], [41, 0]], np.float32), view=0, first=0)


def test_int8s_range_is_wider_than_the_logits_seen() -> None:
    assert widened_range(np.array([-5, 15, 0], np.float32)) == (-15.0, 25.0)
    assert widened_range(np.array([2, 2], np.float32)) == (1.0, 3.0)


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("topk", {"k": 10}, "1 to 9 of 10"),
        ("sample", {"draws": 0}, "at least one"),
        ("bitround", {"keep_bits": 24}, "1 to 23"),
        ("int8", {"low": 1.0, "high": 1.0}, "low < high"),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make_encoding(name, **settings).arrays(10)


def test_unknown_names_and_settings_are_refused() -> None:
    with pytest.raises(StoreUsageError, match="no encoding 'zip'; there are: float32"):
        make_encoding("zip")
    with pytest.raises(StoreUsageError, match="topk cannot have the settings"):
        make_encoding("topk", size=3)


@pytest.mark.parametrize("name", ["topk", "sample", "int8", "pca", "pq"])
def test_a_shard_that_is_gone_is_missed_in_every_array(tmp_path: Path, name: str) -> None:
    store = store_of(tmp_path / "s", peaked(), name)
    for spec in store.encoding.arrays(C):
        (shard,) = (
            (store.path / spec.name / "c" / "0" / "1").rglob("0")
            if spec.row_shape
            else [store.path / spec.name / "c" / "0" / "1"]
        )
        data = shard.read_bytes()
        shard.unlink()
        with pytest.raises(CorruptStoreError, match=f"{spec.name}/c/0/1"):
            store.read_view(0)
        shard.write_bytes(data)
    store.read_view(0)


# --- size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "most"), [("float16", 200), ("int8", 100), ("topk", 40), ("sample", 50), ("pca", 60), ("pq", 50)]
)
def test_bytes_a_row_of_a_hundred_classes(tmp_path: Path, name: str, most: int) -> None:
    rows = 4096
    store = store_of(tmp_path / "s", peaked(rows), name)
    assert store.inventory.knowledge_bytes() / rows <= most


@pytest.mark.parametrize("name", ENCODINGS)
def test_what_will_be_read_is_known_before_it_is_written(tmp_path: Path, name: str) -> None:
    logits = peaked()
    store = store_of(tmp_path / "s", logits, name)
    parts = store.encoding.encode(logits, view=0, first=0)
    decoded = store.encoding.decode(parts, C)
    if name == "sample":  # drawn block by block: a sum over a whole view rounds differently, once in a million draws
        assert (decoded == store.read_view(0)).mean() > 0.999
    else:
        np.testing.assert_array_equal(decoded, store.read_view(0))


# --- features -----------------------------------------------------------------------------------------------

D = 24


def with_features(path: Path, name: str, of: str) -> tuple[KnowledgeStore, np.ndarray]:
    """Make a store of logits and features; return it and the float32 rows that it was made from."""
    random = np.random.default_rng(1)
    rows = np.concatenate([peaked(), np.maximum(random.normal(0.5, 1, (ROWS, D)), 0).astype(np.float32)], axis=1)
    settings = {"low": -1.0, "high": 9.2} if of == "int8" else {}
    encoding = WithFeatures(
        logit_encoding=make_encoding(name, **SETTINGS.get(name, {})),
        feature_encoding=make_encoding(of, **settings),
        feature_columns=D,
    )
    layout = choose_layout(views=2, samples=ROWS, classes=C, row_bytes=row_bytes(encoding, C), block_rows=128)
    writer = KnowledgeWriter.create(path, layout=layout, encoding=encoding, made_from={})
    for block in range(layout.blocks):
        part = layout.rows(block)
        writer.write_block(0, block, rows[part.start : part.stop], seconds=0)
    return writer.store, rows


@pytest.mark.parametrize("name", ["float16", "int8", "topk", "pca", "pq"])
@pytest.mark.parametrize("of", ["float16", "int8"])
def test_features_lie_in_the_same_blocks_and_read_by_zarr_alone(tmp_path: Path, name: str, of: str) -> None:
    _, rows = with_features(tmp_path / "s", name, of)
    plain = read_numbers(tmp_path / "s", "features")[0].astype(np.float64)
    bound = 0.0201 if of == "int8" else np.abs(rows[:, C:]) * 2.0**-11 + 1e-7  # half of 255 steps from -1 to 9.2
    assert (np.abs(plain - rows[:, C:]) <= bound).all()
    store = KnowledgeStore.open(tmp_path / "s", features=True)
    found = store.read_rows(0, 100, 290)
    assert found.shape == (190, C + D)
    np.testing.assert_array_equal(found[:, C:], plain[100:290])
    assert store.features is not None
    assert store.features == {"dim": D, "encoding": store.features["encoding"]}


def test_who_wants_logits_alone_does_not_read_features(tmp_path: Path) -> None:
    written, _ = with_features(tmp_path / "s", "float16", "float16")
    both = KnowledgeStore.open(tmp_path / "s", features=True)
    alone = KnowledgeStore.open(tmp_path / "s")
    np.testing.assert_array_equal(alone.read_view(0), both.read_view(0)[:, :C])
    assert alone.bytes_read < both.bytes_read * (C + D / 2) / (C + D)
    assert alone.identity == both.identity == written.identity
    assert written.inventory.knowledge_bytes() == both.bytes_read


def test_a_store_with_features_grows_with_them_and_is_verified_with_them(tmp_path: Path) -> None:
    store, rows = with_features(tmp_path / "s", "int8", "float16")
    grown = KnowledgeWriter.open(tmp_path / "s").grow(3)
    assert grown.store.columns == C + D
    grown.write_block(2, 0, rows[:128], seconds=0)
    shard = store.path / "features" / "c" / "0" / "1" / "0"
    shard.write_bytes(shard.read_bytes()[:-9] + b"123456789")
    (damage,) = verify_store(tmp_path / "s").damage
    assert "features/c/0/1/0" in damage
    with pytest.raises(ValueError, match=r"of the features: logit 70000"):
        grown.write_block(2, 1, np.full((128, C + D), 7e4, np.float32) * (np.arange(C + D) >= C), seconds=0)
