"""Encoding by product quantisation: arithmetic by hand, codewords, groups, limits, stores that are gone on with."""

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
    fitted_pq,
    make_encoding,
    verify_store,
)
from kcd_stores.encodings.pq import CODEWORDS, group_sizes, k_means

C, B, K = CORRELATED_CLASSES, 6, 3


def by_hand(
    sizes: list[int], codewords: list[list[int]], weights: list[list[int]], scales: list[float], means: list[float]
) -> str:
    """Return a basis whose codewords are those given, and zeros for the others of the 255."""
    held = np.zeros((CODEWORDS, sum(sizes)), np.int8)
    held[: len(codewords)] = codewords or held[:0]
    whole = np.array(sizes, "<u2").tobytes() + held.tobytes() + np.array(weights, np.int8).tobytes()
    return base64.b64encode(whole + np.array([scales, means], "<f4").tobytes()).decode()


def test_a_row_is_decoded_as_worked_by_hand() -> None:
    """Byte 1 of the first group gives (2, -1), byte 2 of the second gives 3.

    Weights (10, 0, 4), (1, 5, -8), (0, 1, 2): 19, -2, 22; times (1/2, 1, 1/4), plus (1, 2, 3): 10.5, 0, 8.5. One step
    of 1/2 for class 2: 9.
    """
    basis = by_hand(
        [2, 1],
        [[7, 7, 7], [2, -1, 0], [0, 0, 3]],
        [[10, 0, 4], [1, 5, -8], [0, 1, 2]],
        [0.5, 1, 0.25],
        [1, 2, 3],
    )
    settings: dict[str, Any] = {"code_bytes": 2, "components": 3, "correction_step": 0.5, "largest_error": 0.01}
    encoding = make_encoding("pq", **settings, k=1, basis=basis)
    assert [spec.row_shape for spec in encoding.arrays(3)] == [(2,), (1,), (1,)]
    parts: dict[str, Any] = {"codes": np.array([[1, 2]], np.uint8), "classes": np.array([[2]], np.uint8)}
    decoded = encoding.decode(parts | {"corrections": np.array([[1]], np.int8)}, 3)
    assert decoded.tolist() == [[10.5, 0.0, 9.0]]
    alone = make_encoding("pq", **settings, k=0, basis=basis)
    assert [spec.name for spec in alone.arrays(3)] == ["codes"]
    exact = alone.decode({"codes": parts["codes"]}, 3)
    assert exact.tolist() == [[10.5, 0.0, 8.5]]
    assert alone.encode(exact, view=0, first=0)["codes"].tolist() == [[1, 2]]


def test_the_sum_is_exact_whatever_the_order_and_the_batch() -> None:
    rows = correlated(600)
    encoding = fitted_pq(rows, code_bytes=B, k=K)
    parts = encoding.encode(rows, view=0, first=0)
    whole = encoding.decode(parts, C)
    chosen = np.random.default_rng(1).permutation(600)[:37]
    np.testing.assert_array_equal(
        encoding.decode({name: part[chosen] for name, part in parts.items()}, C), whole[chosen]
    )
    sizes, codewords, weights, scales, means = encoding.parts_of_basis
    starts = np.cumsum(sizes) - sizes
    expected = np.empty_like(whole)
    for row, codes in enumerate(parts["codes"]):
        own = [codewords[code, start : start + size] for code, start, size in zip(codes, starts, sizes, strict=True)]
        total = np.concatenate(own).astype(np.int64) @ weights.astype(np.int64)
        expected[row] = total.astype(np.float32) * scales + means
        expected[row, parts["classes"][row]] += parts["corrections"][row] * np.float32(encoding.correction_step)
    np.testing.assert_array_equal(whole, expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_the_distribution_is_proper_and_near_the_teachers_at_every_temperature(temperature: float) -> None:
    """The causes are widest at 3 and take about 8 bits each, which leaves as much as the noise that is left out."""
    fitted, others = correlated(2000), correlated(400, seed=1)
    encoding = fitted_pq(fitted, code_bytes=B, k=K)
    decoded = encoding.decode(encoding.encode(others, view=0, first=0), C)
    p = special.softmax(others.astype(np.float64) / temperature, axis=1)
    q = special.softmax(decoded.astype(np.float64) / temperature, axis=1)
    assert (q > 0).all()
    np.testing.assert_allclose(q.sum(axis=1), 1)
    assert special.rel_entr(p, q).sum(axis=1).mean() < 4 * 0.2**2 / 2 / temperature**2


def test_fewer_bytes_than_pca_for_the_same_divergence() -> None:
    """Rows whose components have little to tell each: a byte for several of them is worth more than a byte for each."""
    random = np.random.default_rng(0)
    shape = random.normal(0, 1, (C, C)) * np.geomspace(1, 0.3, C)[:, None]
    fitted, others = ((random.normal(0, 1, (rows, C)) @ shape).astype(np.float32) for rows in (4000, 1000))

    def divergence(encoding: Any) -> float:
        decoded = encoding.decode(encoding.encode(others, view=0, first=0), C)
        p, q = (special.softmax(rows.astype(np.float64) / 4, axis=1) for rows in (others, decoded))
        return float(special.rel_entr(p, q).sum(axis=1).mean())

    assert divergence(fitted_pq(fitted, code_bytes=10, k=0)) < 0.5 * divergence(fitted_pca(fitted, components=10, k=0))


def test_groups_are_worth_as_many_bits_each() -> None:
    """Variances 2^16, 2^8, 2^8, 2^4 (four times): bits 8, 4, 4, 2, 2, 2, 2 above the level of 1, in three bytes."""
    assert group_sizes(np.array([2.0**16, 2.0**8, 2.0**8, 16, 16, 16, 16]), 3).tolist() == [1, 2, 4]
    assert group_sizes(np.array([4.0, 2.0, 1.0]), 3).tolist() == [1, 1, 1]
    assert group_sizes(np.array([2.0**20, 1e-30, 1e-30]), 2).sum() >= 2


def test_codewords_are_the_means_of_their_points() -> None:
    corners = np.array([[0, 0], [9, 0], [0, 9]], np.float32)
    few = corners[np.arange(300) % 3]
    found = k_means(few)
    assert found.shape == (CODEWORDS, 2)
    assert {tuple(row) for row in found.tolist()} == {tuple(row) for row in corners.tolist()}


def test_what_is_unlike_the_trial_is_refused() -> None:
    encoding = fitted_pq(correlated(2000), code_bytes=B, k=K)
    with pytest.raises(OutOfRangeError, match=r"the logits of row 2 are unlike those .* is the limit; .* float16"):
        encoding.encode(correlated(4) * np.array([[1], [1], [9], [9]], np.float32), view=0, first=0)
    unlike = correlated(2)
    unlike[1, 7] += 90  # no codeword has it
    with pytest.raises(OutOfRangeError, match="row 1"):
        encoding.encode(unlike, view=0, first=0)
    encoding.encode(correlated(2000, seed=1), view=0, first=0)
    with pytest.raises(ValueError, match="got 7 rows and 4 bytes"):
        fitted_pq(correlated(7), code_bytes=4, k=1)
    with pytest.raises(ValueError, match="not finite"):
        fitted_pq(np.full((20, C), np.nan, np.float32), code_bytes=4, k=1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"code_bytes": 41}, "1 to 40 bytes for 40 classes, got 41"),
        ({"k": 40}, "0 to 39 of 40 classes, got k 40"),
        ({"components": 5}, "6 to 40 components for 6 bytes and 40 classes, got 5"),
        ({"correction_step": 0.0}, "correction_step above 0"),
        ({"largest_error": float("inf")}, "largest_error above 0"),
        ({"basis": "AAAA"}, "bytes for 40 classes, got 3"),
        ({"basis": "no base64!"}, "base64"),
        ({"components": 6, "basis": by_hand([1] * 6, [], [[0] * C] * 6, [1.0] * C, [float("nan")] * C)}, "not below"),
        ({"components": 6, "basis": by_hand([0, 2, 1, 1, 1, 1], [], [[0] * C] * 6, [1.0] * C, [0.0] * C)}, "groups"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], reason: str) -> None:
    settings = fitted_pq(correlated(300), code_bytes=B, k=K).settings() | change
    with pytest.raises(ValueError, match=reason):
        make_encoding("pq", **settings).arrays(C)


def write(path: Path, rows: np.ndarray, *, stopped: bool = False, k: int = K) -> KnowledgeStore:
    return write_view(path, rows, fitted_pq(rows, code_bytes=B, k=k), stopped=stopped)


@pytest.mark.parametrize("k", [0, K])
def test_a_writer_that_goes_on_writes_the_same_bytes(tmp_path: Path, k: int) -> None:
    rows = correlated(600)
    at_once, twice = write(tmp_path / "a", rows, k=k), write(tmp_path / "b", rows, stopped=True, k=k)
    found = shards(tmp_path / "a", "codes", "classes", "corrections")
    assert len(found) == (3 if k else 1) * at_once.layout.blocks
    assert shards(tmp_path / "b", "codes", "classes", "corrections") == found
    np.testing.assert_array_equal(at_once.read_view(0), twice.read_view(0))
    assert verify_store(tmp_path / "b").sound


def test_a_codeword_that_there_is_not_is_no_data(tmp_path: Path) -> None:
    """The byte 255 is read where nothing was written, and no codeword has that number."""
    store = write(tmp_path / "s", correlated(600))
    group: Any = zarr.open_group(tmp_path / "s", mode="r")
    assert group["codes"].fill_value == CODEWORDS
    assert int(group["codes"][:].max()) < CODEWORDS
    (spec,) = (spec for spec in store.encoding.arrays(C) if spec.name == "codes")
    assert not spec.is_data(np.full((2, B), CODEWORDS, np.uint8))


def test_zarr_and_numpy_alone_read_a_store(tmp_path: Path) -> None:
    store = write(tmp_path / "s", correlated(600))
    group: Any = zarr.open_group(tmp_path / "s", mode="r")
    described = group.attrs["encoding"]
    b, r, blob = described["code_bytes"], described["components"], base64.b64decode(described["basis"])
    sizes = np.frombuffer(blob, "<u2", b)
    codewords = np.frombuffer(blob, np.int8, 255 * r, 2 * b).reshape(255, r)
    weights = np.frombuffer(blob, np.int8, r * C, 2 * b + 255 * r).reshape(r, C)
    scales, means = np.frombuffer(blob, "<f4", offset=2 * b + 255 * r + r * C).reshape(2, C)
    codes = group["codes"][0]
    coordinates = codewords[np.repeat(codes, sizes, axis=1), np.arange(r)]
    logits = means + scales * (coordinates.astype(np.float32) @ weights.astype(np.float32))
    logits[np.arange(600)[:, None], group["classes"][0]] += described["correction_step"] * group["corrections"][0]
    np.testing.assert_allclose(store.read_view(0), logits, rtol=1e-6, atol=1e-6)
    assert store.encoding_label.startswith(f"pq(code_bytes={B}, components={r}, k=3, correction_step=")
    change_basis(tmp_path / "s")
    with pytest.raises(CorruptStoreError, match="checksum"):
        KnowledgeStore.open(tmp_path / "s")
