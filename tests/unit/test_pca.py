"""Encoding by principal components: arithmetic by hand, error beside numpy's own decomposition, limits."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from scipy import special
from tests.support.encodings import CORRELATED_CLASSES, change_basis, correlated, shards, write_view

from kcd_stores import (
    CorruptStoreError,
    KnowledgeStore,
    OutOfRangeError,
    fitted_pca,
    make_encoding,
)

C, R, K = CORRELATED_CLASSES, 6, 3


def by_hand(weights: list[list[int]], scales: list[float], means: list[float]) -> str:
    parts = np.array(weights, np.int8).tobytes() + np.array([scales, means], "<f4").tobytes()
    return base64.b64encode(parts).decode()


def test_a_row_is_decoded_as_worked_by_hand() -> None:
    """Codes (2, -1), weights (10, 0, 4) and (1, 5, -8): 19, -5, 16; times (1/2, 1, 1/4), plus (1, 2, 3): 10.5, -3, 7.

    One step of 1/2 for class 2: 7.5.
    """
    basis = by_hand([[10, 0, 4], [1, 5, -8]], [0.5, 1, 0.25], [1, 2, 3])
    encoding = make_encoding("pca", components=2, k=1, correction_step=0.5, basis=basis)
    assert [spec.row_shape for spec in encoding.arrays(3)] == [(2,), (1,), (1,)]
    parts: dict[str, Any] = {"codes": np.array([[2, -1]], np.int8), "classes": np.array([[2]], np.uint8)}
    decoded = encoding.decode(parts | {"corrections": np.array([[1]], np.int8)}, 3)
    assert decoded.tolist() == [[10.5, -3.0, 7.5]]
    again = encoding.encode(decoded, view=0, first=0)  # 10.5 is the largest, and has no error
    assert again["codes"].tolist() == [[2, -1]]
    assert (again["classes"].tolist(), again["corrections"].tolist()) == ([[0]], [[0]])


def test_the_sum_is_exact_whatever_the_order_and_the_batch() -> None:
    rows = correlated(300)
    encoding = fitted_pca(rows, components=R, k=K)
    parts = encoding.encode(rows, view=0, first=0)
    whole = encoding.decode(parts, C)
    chosen = np.random.default_rng(1).permutation(300)[:37]
    np.testing.assert_array_equal(
        encoding.decode({name: part[chosen] for name, part in parts.items()}, C), whole[chosen]
    )
    blob = base64.b64decode(encoding.basis)
    weights = np.frombuffer(blob[: R * C], np.int8).reshape(R, C).astype(np.int64)
    scales, means = np.frombuffer(blob[R * C :], "<f4").reshape(2, C)
    expected = (parts["codes"].astype(np.int64) @ weights).astype(np.float32) * scales + means
    for row, (classes, steps) in enumerate(zip(parts["classes"], parts["corrections"], strict=True)):
        expected[row, classes] += steps * np.float32(encoding.correction_step)
    np.testing.assert_array_equal(whole, expected)


def test_the_error_is_that_of_numpys_components_and_of_the_steps() -> None:
    """What R components leave, by numpy's singular values, is missed by less than half as much again."""
    fitted, others = correlated(2000), correlated(500, seed=1)
    encoding = fitted_pca(fitted, components=R, k=1)
    decoded = encoding.decode(encoding.encode(others, view=0, first=0), C)
    centre = fitted.mean(axis=0)
    _, _, directions = np.linalg.svd(fitted - centre, full_matrices=False)
    left = (others - centre) - (others - centre) @ directions[:R].T @ directions[:R]
    assert ((decoded - others) ** 2).mean() < 1.5 * (left**2).mean()
    assert ((decoded.argmax(axis=1)) == others.argmax(axis=1)).mean() > 0.9


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_the_distribution_is_proper_and_near_the_teachers_at_every_temperature(temperature: float) -> None:
    rows = correlated(400)
    encoding = fitted_pca(rows, components=R, k=K)
    decoded = encoding.decode(encoding.encode(rows, view=0, first=0), C)
    p = special.softmax(rows.astype(np.float64) / temperature, axis=1)
    q = special.softmax(decoded.astype(np.float64) / temperature, axis=1)
    assert (q > 0).all()
    np.testing.assert_allclose(q.sum(axis=1), 1)
    divergence = special.rel_entr(p, q).sum(axis=1).mean()
    assert divergence < 1.5 * 0.2**2 / 2 / temperature**2  # second order: the noise that is left out, of variance 0.04


def test_all_components_of_few_classes_are_nearly_exact() -> None:
    rows = correlated(300)[:, :5]
    encoding = fitted_pca(rows, components=5, k=1)
    decoded = encoding.decode(encoding.encode(rows, view=0, first=0), 5)
    assert np.abs(decoded - rows).max() < 5 * 2 * np.abs(rows - rows.mean(axis=0)).max() * 2 / 127


def test_what_is_unlike_the_trial_is_refused_and_nothing_is_clipped() -> None:
    encoding = fitted_pca(correlated(300), components=R, k=K)
    with pytest.raises(OutOfRangeError, match=r"the logits of row 2 are unlike those .* component 0 has .* float16"):
        encoding.encode(correlated(4) * np.array([[1], [1], [9], [9]], np.float32), view=0, first=0)
    unlike = correlated(2)
    unlike[1, 7] += 90  # no component has it
    with pytest.raises(OutOfRangeError, match="row 1"):
        encoding.encode(unlike, view=0, first=0)
    with pytest.raises(ValueError, match="got 3 rows and 4 components"):
        fitted_pca(correlated(3), components=4, k=1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"components": 41}, "1 to 40 components of 40 classes, got 41"),
        ({"k": 40}, "0 to 39 of 40 classes, got k 40"),
        ({"correction_step": 0.0}, "correction_step above 0"),
        ({"basis": "AAAA"}, "560 bytes for 40 classes, got 3"),
        ({"basis": "no base64!"}, "base64"),
        ({"basis": by_hand([[0] * C] * R, [1.0] * C, [float("nan")] * C)}, "not below"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], reason: str) -> None:
    settings = fitted_pca(correlated(300), components=R, k=K).settings() | change
    with pytest.raises(ValueError, match=reason):
        make_encoding("pca", **settings).arrays(C)


def write(path: Path, rows: np.ndarray, *, stopped: bool = False) -> KnowledgeStore:
    return write_view(path, rows, fitted_pca(rows, components=R, k=K), stopped=stopped)


def test_a_writer_that_goes_on_writes_the_same_bytes(tmp_path: Path) -> None:
    rows = correlated(300)
    at_once, twice = write(tmp_path / "a", rows), write(tmp_path / "b", rows, stopped=True)
    found = shards(tmp_path / "a", "codes", "classes", "corrections")
    assert len(found) == 3 * at_once.layout.blocks
    assert shards(tmp_path / "b", "codes", "classes", "corrections") == found
    np.testing.assert_array_equal(at_once.read_view(0), twice.read_view(0))


def test_zarr_and_numpy_alone_read_a_store(tmp_path: Path) -> None:
    store = write(tmp_path / "s", correlated(300))
    group: Any = zarr.open_group(tmp_path / "s", mode="r")
    described = group.attrs["encoding"]
    blob = base64.b64decode(described["basis"])
    weights = np.frombuffer(blob[: R * C], np.int8).reshape(R, C).astype(np.float32)
    scales, means = np.frombuffer(blob[R * C :], "<f4").reshape(2, C)
    logits = means + scales * (group["codes"][0].astype(np.float32) @ weights)
    logits[np.arange(300)[:, None], group["classes"][0]] += described["correction_step"] * group["corrections"][0]
    np.testing.assert_allclose(store.read_view(0), logits, rtol=1e-6, atol=1e-6)
    assert store.encoding_label == f"pca(components=6, k=3, correction_step={described['correction_step']})"
    change_basis(tmp_path / "s")
    with pytest.raises(CorruptStoreError, match="checksum"):
        KnowledgeStore.open(tmp_path / "s")


def test_no_corrections_leave_one_array() -> None:
    rows = correlated(300)
    encoding = fitted_pca(rows, components=R, k=0)
    parts = encoding.encode(rows, view=0, first=0)
    assert list(parts) == ["codes"] == [spec.name for spec in encoding.arrays(C)]
    corrected = fitted_pca(rows, components=R, k=1)
    np.testing.assert_array_equal(parts["codes"], corrected.encode(rows, view=0, first=0)["codes"])
    assert np.abs(encoding.decode(parts, C) - rows).mean() < 0.25
