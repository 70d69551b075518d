"""Stores that are blended while they are read: numbers against scipy and by hand, any cut of the rows, refusals.

By hand, T = 1, C = 2, weights 3 and 1: softmax(0, log 3) = (1/4, 3/4) and softmax(0, 0) = (1/2, 1/2). Their mean is
3/4 (1/4, 3/4) + 1/4 (1/2, 1/2) = (5/16, 11/16), whose logits differ by log(11/5). As logits the second stands
3/4 log 3 above the first.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp, softmax

from kcd_stores import (
    BlendedStores,
    KnowledgeStore,
    KnowledgeWriter,
    Share,
    StoreMismatchError,
    StoreUsageError,
    batches,
    choose_layout,
    make_encoding,
    open_stream,
    plan_streaming,
)
from kcd_stores.streaming.protocol import Reading

SAMPLES, CLASSES = 70, 5


def store_of(
    folder: Path, logits: NDArray[np.float32], *, encoding: str = "float32", block_rows: int | None = None
) -> KnowledgeStore:
    """Make a store of `logits[V, N, C]`."""
    views, samples, classes = logits.shape
    layout = choose_layout(views=views, samples=samples, classes=classes, row_bytes=4 * classes, block_rows=block_rows)
    writer = KnowledgeWriter.create(folder, layout=layout, encoding=make_encoding(encoding), made_from={})
    for view, block in layout.all_blocks():
        span = layout.rows(block)
        writer.write_block(view, block, logits[view, span.start : span.stop], seconds=1.0)
    return writer.store


@pytest.fixture(scope="module")
def logits() -> NDArray[np.float32]:
    """Logits `[3 stores, V, N, C]`, some of them far apart."""
    rng = np.random.default_rng(5)
    return (rng.standard_normal((3, 2, SAMPLES, CLASSES)) * [[[[1.0]]], [[[8.0]]], [[[60.0]]]]).astype(np.float32)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, logits: NDArray[np.float32]) -> list[KnowledgeStore]:
    """Stores of the logits, whose blocks have different sizes."""
    folder = tmp_path_factory.mktemp("stores")
    return [store_of(folder / f"{n}.zarr", logits[n], block_rows=rows) for n, rows in enumerate((16, 64, 32))]


def test_numbers_by_hand(tmp_path: Path) -> None:
    pair = [
        store_of(tmp_path / "a", np.log(np.array([[[1, 3]]], np.float32))),
        store_of(tmp_path / "b", np.array([[[7, 7]]], np.float32)),  # a constant in a row's logits changes nothing
    ]
    mixed = BlendedStores(pair, weights=[3, 1]).read_rows(0, 0, 1)
    np.testing.assert_allclose(mixed[0], np.log(11 / 5) * np.array([-0.5, 0.5]), rtol=1e-6)
    mean = BlendedStores(pair, weights=[3, 1], blend="logits").read_rows(0, 0, 1)
    np.testing.assert_allclose(mean[0], 0.75 * np.log(3) * np.array([-0.5, 0.5]), rtol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_probabilities_are_the_weighted_mean_at_the_temperature(
    stores: list[KnowledgeStore], logits: NDArray[np.float32], temperature: float
) -> None:
    blended = BlendedStores(stores, weights=[1, 2, 5], temperature=temperature)
    softened = log_softmax(logits.astype(np.float64) / temperature, axis=-1)
    expected = logsumexp(softened, axis=0, b=np.array([1, 2, 5]).reshape(3, 1, 1, 1) / 8)
    for view in range(2):
        rows = blended.read_rows(view, 0, SAMPLES)
        np.testing.assert_allclose(softmax(rows / temperature, axis=1), np.exp(expected[view]), rtol=2e-5, atol=1e-12)
        np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-4)


def test_logits_are_the_weighted_mean_of_the_centred_ones(
    stores: list[KnowledgeStore], logits: NDArray[np.float32]
) -> None:
    blended = BlendedStores(stores, weights=[1, 2, 5], blend="logits")
    centred = logits.astype(np.float64) - logits.mean(axis=-1, keepdims=True, dtype=np.float64)
    expected = (centred * np.array([1, 2, 5]).reshape(3, 1, 1, 1) / 8).sum(axis=0)
    np.testing.assert_allclose(blended.read_rows(1, 0, SAMPLES), expected[1], atol=2e-5)


def test_equal_teachers_are_one_teacher(tmp_path: Path, logits: NDArray[np.float32]) -> None:
    twice = [store_of(tmp_path / name, logits[0]) for name in "ab"]
    for blend in ("probabilities", "logits"):
        rows = BlendedStores(twice, weights=[1, 9], blend=blend, temperature=4).read_rows(0, 0, SAMPLES)
        np.testing.assert_allclose(softmax(rows, axis=1), softmax(logits[0, 0], axis=1), rtol=1e-5)


def test_far_apart_teachers_give_finite_logits(tmp_path: Path) -> None:
    pair = [
        store_of(tmp_path / name, np.array([[[size, 0, -size]]], np.float32)) for name, size in (("a", 1e4), ("b", 9e3))
    ]
    rows = BlendedStores(pair, weights=[1, 1]).read_rows(0, 0, 1)
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(softmax(rows, axis=1), [[1, 0, 0]], atol=2e-38)


@pytest.mark.parametrize("blend", ["probabilities", "logits"])
def test_rows_do_not_depend_on_how_they_are_cut(stores: list[KnowledgeStore], blend: str) -> None:
    blended = BlendedStores(stores, weights=[1, 2, 5], blend=blend, temperature=4)  # type: ignore[arg-type]
    whole = blended.read_rows(1, 0, SAMPLES)
    for cuts in ([0, 1, 2, 3, 37, 70], [0, 15, 16, 17, 64, 69, 70]):
        parts = [blended.read_rows(1, start, stop) for start, stop in itertools.pairwise(cuts)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
    out = np.empty((10, CLASSES), np.float32)
    assert blended.read_rows(1, 30, 40, out=out) is out
    assert out.tobytes() == whole[30:40].tobytes()


@pytest.mark.parametrize(("memory", "ranks"), [(10**6, 1), (10**6, 3), (2_700, 1), (2_700, 2)])
def test_every_way_of_streaming_hands_out_the_blended_rows(
    stores: list[KnowledgeStore], memory: int, ranks: int
) -> None:
    blended = BlendedStores(stores, weights=[1, 1, 1], temperature=4)
    whole = blended.read_rows(0, 0, SAMPLES)
    kept, partner = np.arange(0, SAMPLES, 2), np.where(np.arange(35) % 2, np.arange(1, SAMPLES, 2), -1)
    streaming = plan_streaming(blended, memory=memory, batch_size=7, partners=True)
    assert (streaming.window_sizes is None) == (memory == 10**6)
    reading = Reading(seed=1, epoch=0, view=0, kept=kept, partner=partner)
    seen: list[int] = []
    for rank in range(ranks):
        share = Share(rank=rank, ranks=ranks)
        stream = open_stream(blended, [0], streaming, batch_size=7, share=share)
        for portion in stream.read(reading):
            own = share.select(portion.order, 7)
            for index in (own, reading.partners_of(own)):
                assert portion.rows[index].tobytes() == whole[index].tobytes()
            seen += own.tolist()
        stream.close()
    assert sorted(seen) == kept.tolist()


def test_a_loop_of_ones_own_reads_it_like_a_store(stores: list[KnowledgeStore]) -> None:
    blended = BlendedStores(stores[:2], weights=[1, 1])
    found = {
        int(i): row
        for index, rows in batches(blended, view=1, batch_size=8)
        for i, row in zip(index, rows, strict=True)
    }
    np.testing.assert_array_equal(np.stack([found[i] for i in range(SAMPLES)]), blended.read_rows(1, 0, SAMPLES))
    assert blended.bytes_read == stores[0].bytes_read + stores[1].bytes_read > 0


def test_a_block_is_complete_where_it_is_in_every_store(tmp_path: Path, logits: NDArray[np.float32]) -> None:
    whole = store_of(tmp_path / "whole", logits[0], block_rows=32)
    layout = choose_layout(views=2, samples=SAMPLES, classes=CLASSES, row_bytes=20, block_rows=16)
    writer = KnowledgeWriter.create(tmp_path / "part", layout=layout, encoding=make_encoding("float32"), made_from={})
    for block in (0, 1, 2):  # samples 0 to 47
        writer.write_block(0, block, logits[1, 0, 16 * block : 16 * block + 16], seconds=0)
    found = BlendedStores([whole, writer.store], weights=[1, 1]).complete()
    assert found.tolist() == [[True, False, False], [False, False, False]]


@pytest.mark.parametrize(
    ("weights", "blend", "temperature", "words"),
    [
        ([1], "probabilities", 1.0, "two or more stores"),
        ([1, 0], "probabilities", 1.0, "must be positive"),
        ([1, float("nan")], "logits", 1.0, "must be positive"),
        ([1, 1], "probabilities", 0.0, "must be positive"),
        ([1, 1], "sum", 1.0, "'sum'"),
    ],
)
def test_wrong_arguments_are_refused(
    stores: list[KnowledgeStore], weights: Sequence[float], blend: str, temperature: float, words: str
) -> None:
    with pytest.raises(StoreUsageError, match=words):
        BlendedStores(stores[:2], weights=weights, blend=blend, temperature=temperature)  # type: ignore[arg-type]


def test_stores_of_other_sizes_are_refused_with_both_sides(tmp_path: Path, stores: list[KnowledgeStore]) -> None:
    for shape, words in (((2, SAMPLES - 1, CLASSES), "70 samples .* 69"), ((2, SAMPLES, 4), "5 classes .* 4")):
        other = store_of(tmp_path / f"of {shape}", np.zeros(shape, np.float32))
        with pytest.raises(StoreMismatchError, match=words) as caught:
            BlendedStores([stores[0], other], weights=[1, 1])
        assert str(stores[0].location) in str(caught.value)
        assert str(other.location) in str(caught.value)


def test_draws_of_classes_have_no_mean_of_logits(tmp_path: Path, stores: list[KnowledgeStore]) -> None:
    drawn = store_of(tmp_path / "drawn", np.zeros((2, SAMPLES, CLASSES), np.float32), encoding="sample")
    with pytest.raises(StoreUsageError, match="Blend probabilities"):
        BlendedStores([stores[0], drawn], weights=[1, 1], blend="logits")
    assert np.isfinite(BlendedStores([stores[0], drawn], weights=[1, 1]).read_rows(0, 0, SAMPLES)).all()
