"""Images that are made ahead of the teacher: in order, one batch ahead, by one pass over several blocks."""

import multiprocessing
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kcd_pipeline.errors import UserError
from kcd_pipeline.teacher_rows import LocalMaker, RowPieces, Span, TeacherRows, blocks
from kcd_pipeline.teacher_rows.ahead import made_ahead
from kcd_pipeline.teacher_rows.forward import Batch
from kcd_stores import KnowledgeWriter, Layout, make_encoding

SECONDS = 30  # that a thread may take, on a machine that is busy
LAYOUT = Layout(views=3, samples=40, classes=4, block_rows=16, chunk_rows=8)  # blocks of 16, 16 and 8 rows


def test_the_next_item_is_made_while_the_caller_has_one() -> None:
    began = [threading.Event() for _ in range(4)]
    threads = set()

    def numbers() -> Generator[int, None, None]:
        for number, event in enumerate(began):
            threads.add(threading.current_thread())
            event.set()
            yield number

    seen = []
    for number in made_ahead(numbers()):
        seen.append(number)
        assert began[min(number + 1, 3)].wait(SECONDS)
        assert not any(event.is_set() for event in began[number + 2 :])
    assert seen == [0, 1, 2, 3]
    assert threading.current_thread() not in threads
    assert len(threads) == 1


def test_an_error_comes_in_the_place_of_its_item() -> None:
    def two_and_an_error() -> Generator[int, None, None]:
        yield 0
        yield 1
        raise UserError("the third cannot be read")

    made = made_ahead(two_and_an_error())
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(UserError, match="the third cannot be read"):
        next(made)


def test_what_is_left_early_is_closed() -> None:
    closed = []

    def endless() -> Generator[int, None, None]:
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    made = made_ahead(endless())
    next(made)
    made.close()
    assert closed
    assert not any(thread.name.startswith("made-ahead") for thread in threading.enumerate())


class _Images:
    """Images that are the samples' own numbers, and the samples of each pass over them."""

    def __init__(self) -> None:
        self.passes: list[tuple[int, list[int]]] = []

    def batches(self, cut: list[NDArray[np.int64]], view: int) -> Generator[Batch, None, None]:
        self.passes.append((view, [len(index) for index in cut]))
        for index in cut:
            assert torch.is_inference_mode_enabled()
            yield index, torch.from_numpy(np.stack([index, index * 0 + view, index % 3, index % 7], 1)).float()


def teacher_over(images: Any, *, ahead: bool) -> TeacherRows:
    identity: Any = torch.nn.Identity()
    nothing: Any = None
    return TeacherRows(
        identity, images, nothing, batch_size=6, tap=None, logits=False, weights=Path("none"), ahead=ahead
    )


def stored(folder: Path, make_rows: Any, missing: list[tuple[int, int]]) -> NDArray[Any]:
    writer = KnowledgeWriter.create(
        folder / "store.zarr", layout=LAYOUT, encoding=make_encoding("float32"), made_from={}
    )
    LocalMaker(make_rows, view_lines=False).make(writer, missing)
    assert [(int(view), int(block)) for view, block in np.argwhere(writer.store.complete())] == missing
    return np.concatenate([writer.store.read_rows(v, *_ends(b)) for v, b in missing])


def _ends(block: int) -> tuple[int, int]:
    rows = LAYOUT.rows(block)
    return rows.start, rows.stop


def test_blocks_of_a_view_are_made_by_one_pass_whose_batches_begin_with_each_block(tmp_path: Path) -> None:
    missing = [(0, 0), (0, 1), (0, 2), (1, 1), (2, 0), (2, 2)]
    ahead, plain = _Images(), _Images()
    found = stored(tmp_path / "ahead", teacher_over(ahead, ahead=True).pieces, missing)
    alone = teacher_over(plain, ahead=False)

    def block_by_block(spans: Sequence[Span], on_batch: Any) -> RowPieces:
        for view, samples in spans:
            yield alone.rows(view, samples, on_batch)

    np.testing.assert_array_equal(found, stored(tmp_path / "plain", block_by_block, missing))
    # 16 rows by 6 are 6, 6 and 4; 8 are 6 and 2
    assert ahead.passes == [(0, [6, 6, 4, 6, 6, 4, 6, 2]), (1, [6, 6, 4]), (2, [6, 6, 4, 6, 2])]
    assert len(plain.passes) == len(missing)


def test_the_first_batch_of_the_next_view_is_made_while_the_last_one_of_a_view_is_computed() -> None:
    images = _Images()
    made: list[int] = []
    pieces = teacher_over(images, ahead=True).pieces([(0, range(6)), (1, range(6))], made.append)
    next(pieces)
    deadline = time.monotonic() + SECONDS
    while len(images.passes) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made == [6]
    assert images.passes == [(0, [6]), (1, [6])]
    pieces.close()


def test_a_process_that_is_forked_while_items_are_made_ends_well() -> None:
    """A process that decodes pictures is forked by the first batch; torch warns of one that ends with another code."""

    def forked() -> Generator[int | None, None, None]:
        process = multiprocessing.get_context("fork").Process(target=str)
        process.start()
        process.join(SECONDS)
        yield process.exitcode

    assert list(made_ahead(forked())) == [0]


def test_a_pass_is_of_few_rows_where_a_view_has_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "PASS_ROWS", 32)
    images = _Images()
    stored(tmp_path, teacher_over(images, ahead=True).pieces, [(1, 0), (1, 1), (1, 2)])
    assert images.passes == [(1, [6, 6, 4, 6, 6, 4]), (1, [6, 2])]
