"""A block that is encoded piece by piece: the same bytes as one encoded whole, in less memory."""

import tracemalloc
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kcd_pipeline.errors import FailedError
from kcd_pipeline.teacher_rows import LocalMaker, RowPieces, Span, TeacherRows
from kcd_pipeline.teacher_rows.forward import Batch
from kcd_stores import KnowledgeWriter, Layout, make_encoding
from kcd_stores.knowledge import layout as layouts

N, C, PIECE = 96, 16, 24
LAYOUT = Layout(views=1, samples=N, classes=C, block_rows=64, chunk_rows=16)  # the last block has 32 rows
ENCODINGS: dict[str, dict[str, Any]] = {
    "float32": {},
    "float16": {},
    "bitround": {"keep_bits": 7},
    "int8": {"low": -30.0, "high": 30.0},
    "topk": {"k": 3},
    "sample": {"draws": 5, "seed": 7},
}
ROWS = np.random.default_rng(0).normal(0, 4, (N, C)).astype(np.float32)


def new_writer(folder: Path, name: str) -> KnowledgeWriter:
    encoding = make_encoding(name, **ENCODINGS[name])
    return KnowledgeWriter.create(folder / "store.zarr", layout=LAYOUT, encoding=encoding, made_from={})


def pieces(spans: Sequence[Span], on_batch: Callable[[int], None]) -> RowPieces:
    for _, samples in spans:
        for start in range(0, len(samples), PIECE):
            yield ROWS[samples[start : start + PIECE]]


def data_of(writer: KnowledgeWriter) -> dict[str, bytes]:
    names = (name for block in range(LAYOUT.blocks) for name in writer._opened.shard_names(0, block))
    return {name: (writer.store.path / name).read_bytes() for name in names}


@pytest.mark.parametrize("name", list(ENCODINGS))
def test_pieces_make_the_bytes_of_the_whole(tmp_path: Path, name: str) -> None:
    whole, cut = new_writer(tmp_path / "whole", name), new_writer(tmp_path / "cut", name)
    for view, block in LAYOUT.all_blocks():
        span = LAYOUT.rows(block)
        whole.write_block(view, block, ROWS[span.start : span.stop], seconds=0)
    LocalMaker(pieces).make(cut, list(LAYOUT.all_blocks()))
    assert data_of(cut) == data_of(whole)
    assert cut.store.complete().all()
    np.testing.assert_array_equal(cut.store.read_view(0), whole.store.read_view(0))


def test_a_block_takes_its_own_rows_and_no_others(tmp_path: Path) -> None:
    writer = new_writer(tmp_path, "topk")
    encoded = writer.begin_block(0, 1)
    encoded.add(ROWS[:20])
    assert not encoded.full
    with pytest.raises(ValueError, match=r"block \(0, 1\) takes rows of shape \(32, 16\), got \(20, 16\)"):
        writer.finish_block(encoded, seconds=0)
    with pytest.raises(ValueError, match=r"takes rows of shape \(32, 16\), got \(13, 16\) behind 20"):
        encoded.add(ROWS[:13])
    encoded.add(ROWS[:12])
    assert encoded.full
    assert not writer.store.complete().any()


def test_a_number_out_of_range_is_named_with_the_sample_that_its_piece_begins_with(tmp_path: Path) -> None:
    writer = new_writer(tmp_path, "int8")

    def with_a_large_one(spans: Sequence[Span], on_batch: object) -> RowPieces:
        yield ROWS[:24]
        yield np.full((40, C), 99, np.float32)

    said = r"view 0, block 0 .*in the rows from sample 24 on, logit 99 \(row 0, class 0\).*wider store.int8_range"
    with pytest.raises(FailedError, match=said):
        LocalMaker(with_a_large_one).make(writer, [(0, 0)])


class _Images:
    """Images whose batch is the samples' own numbers."""

    def batches(self, cut: list[NDArray[np.int64]], view: int) -> Generator[Batch, None, None]:
        for index in cut:
            yield index, torch.from_numpy(ROWS[index])


def test_a_teachers_pieces_are_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    identity: Any = torch.nn.Identity()
    images: Any = _Images()
    nothing: Any = None
    teacher = TeacherRows(identity, images, nothing, batch_size=10, tap=None, logits=False, weights=Path("none"))
    whole = list(teacher.pieces([(0, range(5, 80))]))
    monkeypatch.setattr(layouts, "PIECE_BYTES", 4 * C * 25)  # 25 rows, so 2 batches
    cut = list(teacher.pieces([(0, range(5, 80))]))
    assert [len(piece) for piece in whole] == [75]
    assert [len(piece) for piece in cut] == [20, 20, 20, 15]
    np.testing.assert_array_equal(np.concatenate(cut), ROWS[5:80])
    np.testing.assert_array_equal(teacher.rows(0, range(5, 80)), ROWS[5:80])


def test_the_rows_of_a_large_block_are_never_in_memory_at_once(tmp_path: Path) -> None:
    """A block of 2,048 rows of 1,000 classes is 8.2 MB of float32, a piece of 64 rows 0.3 MB."""
    classes, block = 1_000, 2_048
    layout = Layout(views=1, samples=block, classes=classes, block_rows=block, chunk_rows=block)
    writer = KnowledgeWriter.create(
        tmp_path / "store.zarr", layout=layout, encoding=make_encoding("topk", k=8), made_from={}
    )
    piece = np.random.default_rng(0).normal(size=(64, classes)).astype(np.float32)

    def fresh_pieces(spans: Sequence[Span], on_batch: object) -> RowPieces:
        for _ in range(block // 64):
            yield piece.copy()

    tracemalloc.start()
    try:
        LocalMaker(fresh_pieces, view_lines=False).make(writer, [(0, 0)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e6  # two pieces, and what the encoding of one takes: an order of its classes is int64
