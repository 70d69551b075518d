"""Rows that are held packed: their bytes, what they decode to by numpy and by torch, and the memory that they take."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from tests.support.waiting import RefuseToWait

from kcd_pipeline.condensation import SentRows, rows_for
from kcd_pipeline.condensation.decoding import decoder_of
from kcd_pipeline.config import load_config
from kcd_pipeline.distillation.preparation import _plan_streaming
from kcd_stores import (
    Encoding,
    HeldRows,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Packing,
    Reading,
    ViewRows,
    WithFeatures,
    make_encoding,
    open_stream,
    plan_streaming,
)
from kcd_stores.encodings import NoLogits, fitted_pca, fitted_pq
from kcd_stores.streaming.rows import read_whole

SAMPLES, D = 300, 5
INT8 = make_encoding("int8", low=-30.0, high=40.0)
ROWS = np.random.default_rng(0).normal(0, 4, (1000, 12)).astype(np.float32)
# encoding, classes, bytes of a packed row by hand
FORMS: dict[str, tuple[Encoding, int, int]] = {
    "float32": (make_encoding("float32"), 12, 4 * 12),
    "float16": (make_encoding("float16"), 12, 2 * 12),
    "bitround, 7 bits": (make_encoding("bitround"), 12, 2 * 12),
    "bitround, 10 bits": (make_encoding("bitround", keep_bits=10), 12, 4 * 12),
    "int8": (INT8, 13, 13),
    "topk": (make_encoding("topk", k=3), 12, 3 * (2 + 1) + 4),
    "topk of 300 classes": (make_encoding("topk", k=5), 300, 5 * (2 + 2) + 4),
    "sample": (make_encoding("sample", draws=7), 12, 7),
    "sample of 70,000 classes": (make_encoding("sample", draws=3), 70_000, 3 * 4),
    "pca": (fitted_pca(ROWS, components=4, k=2), 12, 4 + 2 * 2),
    "pca, none corrected": (fitted_pca(ROWS, components=4, k=0), 12, 4),
    "pq": (fitted_pq(ROWS, code_bytes=4, k=2), 12, 4 + 2 * 2),
    "pq, none corrected": (fitted_pq(ROWS, code_bytes=4, k=0), 12, 4),
    "int8 with features": (
        WithFeatures(logit_encoding=INT8, feature_encoding=make_encoding("float16"), feature_columns=D),
        12,
        12 + 2 * D,
    ),
    "topk with int8 features": (
        WithFeatures(logit_encoding=make_encoding("topk", k=3), feature_encoding=INT8, feature_columns=D),
        12,
        13 + D,
    ),
    "features alone": (
        WithFeatures(logit_encoding=NoLogits(), feature_encoding=make_encoding("float16"), feature_columns=D),
        0,
        2 * D,
    ),
}


@pytest.fixture(scope="module", params=FORMS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KnowledgeStore:
    encoding, classes, _ = FORMS[request.param]
    samples = SAMPLES if classes < 1000 else 40
    return make(tmp_path_factory.mktemp("packed") / request.param, encoding, classes, samples)


def make(path: Path, encoding: Encoding, classes: int, samples: int = SAMPLES) -> KnowledgeStore:
    layout = Layout(views=1, samples=samples, classes=classes, block_rows=128, chunk_rows=16)
    writer = KnowledgeWriter.create(path, layout=layout, encoding=encoding, made_from={})
    random = np.random.default_rng(0)
    for view, block in layout.all_blocks():
        shape = (len(layout.rows(block)), classes + encoding.feature_columns)
        writer.write_block(view, block, random.normal(0, 4, shape).astype(np.float32), seconds=0)
    return KnowledgeStore.open(path, features=True)


def expected_rows(store: KnowledgeStore) -> np.ndarray:
    """Return the rows of view 0, read by zarr alone and decoded whole."""
    group = zarr.open_group(store.path, mode="r")
    arrays = [spec.name for spec in store.encoding.arrays(store.layout.classes)]
    parts = {name: np.asarray(group[name][0]) for name in arrays}  # type: ignore[index]  # an array
    return store.encoding.decode(parts, store.layout.classes)


def some_index(store: KnowledgeStore) -> np.ndarray:
    return np.random.default_rng(1).integers(0, store.layout.samples, 33)


@pytest.mark.parametrize("name", FORMS)
def test_a_packed_row_takes_the_bytes_of_its_elements(name: str) -> None:
    encoding, classes, row_bytes = FORMS[name]
    assert Packing(encoding=encoding, classes=classes).row_bytes == row_bytes


def test_looked_up_rows_are_those_that_zarr_alone_reads(store: KnowledgeStore) -> None:
    expected, index = expected_rows(store), some_index(store)
    found = read_whole(store, 0)[index]
    assert found.dtype == expected.dtype == store.dtype
    assert found.tobytes() == expected[index].tobytes()
    assert store.read_rows(0, 5, 37).tobytes() == expected[5:37].tobytes()


def test_torch_decodes_a_batch_to_the_same_numbers_without_waiting(store: KnowledgeStore) -> None:
    expected, view = expected_rows(store).astype(np.float32), read_whole(store, 0)
    decode, on_meta = (decoder_of(store.packing, torch.device(device)) for device in ("cpu", "meta"))
    assert decode is not None
    assert on_meta is not None
    for index in (some_index(store), np.array([7])):
        packed = torch.from_numpy(view.taken(index))
        with RefuseToWait():
            found = decode(packed)
        assert found.to(torch.float32).numpy().tobytes() == expected[index].tobytes()
        without_values = on_meta(packed.to("meta"))
        assert (without_values.shape, without_values.dtype) == (found.shape, found.dtype)


def test_rows_for_a_device_are_looked_up_there(tmp_path: Path) -> None:
    store = make(tmp_path / "s", INT8, 12)
    meta, index = torch.device("meta"), np.arange(0, 40, 3)
    rows = rows_for(HeldRows(np.arange(40), read_whole(store, 0).rows[:40], store.packing), meta, "auto")
    found = rows[index]
    assert isinstance(found, torch.Tensor)
    assert (found.shape, found.dtype, found.device) == ((14, 12), torch.float32, meta)


def test_rows_that_wait_on_the_host_are_sent_packed() -> None:
    packing = Packing(encoding=INT8, classes=3)
    packed, seen = np.array([[0, 255, 51], [255, 0, 0]], np.uint8), []
    decode = decoder_of(packing, torch.device("cpu"))
    assert decode is not None

    def noting(batch: torch.Tensor) -> torch.Tensor:
        seen.append((batch.dtype, batch.shape))
        return decode(batch)

    found = SentRows(ViewRows(packed, packing), torch.device("cpu"), noting)[np.array([1, 0])]
    np.testing.assert_allclose(found.numpy(), [[40, -30, -30], [-30, 40, -16]], rtol=1e-6)  # -30 + 70 b / 255
    assert seen == [(torch.uint8, (2, 3))]


@pytest.mark.parametrize("partners", [False, True], ids=["alone", "with partners"])
def test_windows_of_packed_rows_decode_to_the_same_rows(store: KnowledgeStore, partners: bool, tmp_path: Path) -> None:
    samples, expected = store.layout.samples, expected_rows(store)
    whole = 2 * samples * store.packing.row_bytes
    streaming = plan_streaming(store, memory=whole - 1, batch_size=4, partners=partners)
    assert streaming.window_sizes is not None
    kept = np.arange(samples // 2)
    partner = np.where(kept % 3, -1, kept + samples // 2) if partners else None
    stream, seen = open_stream(store, [0], streaming, batch_size=4, scratch=tmp_path), 0
    for portion in stream.read(Reading(seed=0, epoch=0, view=0, kept=kept, partner=partner)):
        order = portion.order
        blended = np.empty(0, np.int64) if partner is None else partner[order][partner[order] >= 0]
        for index in (order, blended):
            assert portion.rows[index].tobytes() == expected[index].tobytes()
        seen += len(order)
    stream.close()
    assert seen == len(kept)


def test_the_budget_counts_packed_rows_and_windows_keep_their_sizes(tmp_path: Path) -> None:
    """Two views of 300 rows of 12 bytes are 7,200; decoded to float32, as versions held them, 28,800."""
    store = make(tmp_path / "s", INT8, 12)
    plan: dict[str, Any] = {"batch_size": 4, "partners": False}
    assert plan_streaming(store, memory=7_200, **plan).describe() == "whole views (memory of 7.2 kB or more)"
    few = plan_streaming(store, memory=7_199, **plan)
    earlier = plan_streaming(store, memory=28_799, held_decoded=True, **plan)
    assert earlier.describe() == "block shuffle (windows of 32, strips of 1; memory below 28.8 kB)"
    assert few.window_sizes == earlier.window_sizes
    assert few.held_bytes == 2 * (32 + 1 + 4 + 1) * 12


def test_a_run_that_an_earlier_version_began_goes_on_in_its_mode(tmp_path: Path) -> None:
    store = make(tmp_path / "s", INT8, 12)
    config = load_config("digits", ["store.memory=20000", "distill.batch_size=4", "distill.method=kd"])
    now = "whole views (store.memory of 7.2 kB or more)"
    begun = "block shuffle (windows of 32, strips of 1; store.memory below 28.8 kB)"
    other = "block shuffle (windows of 64, strips of 1; store.memory below 28.8 kB)"
    for streamed_as, expected in ((None, now), (now, now), (begun, begun), (other, now)):
        assert _plan_streaming(config, store, streamed_as).describe("store.memory") == expected


def test_a_number_that_rounding_cannot_have_left_is_no_data() -> None:
    (rounded,) = make_encoding("bitround").arrays(2)
    assert rounded.is_data(np.array([[1.0, 1.0078125]], np.float32))  # 1 + 2**-7
    assert not rounded.is_data(np.array([[1.0, 1.00390625]], np.float32))  # 1 + 2**-8, which 7 bits do not hold
