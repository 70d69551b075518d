"""The order of an epoch, in either mode: every kept sample once, as seed, epoch and layout decide and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcd_stores import (
    KnowledgeWriter,
    Layout,
    Reading,
    StoreUsageError,
    choose_layout,
    make_encoding,
    open_stream,
    plan_streaming,
)
from kcd_stores.streaming.order import Share, WindowSizes, choose_window_sizes, cut_batches, plan_windows
from kcd_stores.streaming.rows import spans


@st.composite
def window_sizes(draw: st.DrawFn) -> WindowSizes:
    window = draw(st.integers(1, 60))
    return WindowSizes(window_rows=window, strip_rows=draw(st.integers(1, window)))


kept_samples = st.sets(st.integers(0, 400), min_size=1).map(lambda chosen: np.array(sorted(chosen)))
seeds, epochs = st.integers(0, 2**63 - 1), st.integers(0, 500)


@given(seed=seeds, epoch=epochs, kept=kept_samples, sizes=window_sizes(), batch_size=st.integers(1, 90))
def test_an_epoch_in_windows_visits_each_kept_sample_exactly_once(
    seed: int, epoch: int, kept: np.ndarray, sizes: WindowSizes, batch_size: int
) -> None:
    windows = list(plan_windows(seed, epoch, kept, sizes, batch_size=batch_size))
    order = np.concatenate([window.order for window in windows])
    assert np.sort(order).tolist() == kept.tolist()
    assert [window.last for window in windows] == [False] * (len(windows) - 1) + [True]
    # each row is read once, and lies in its window or is carried into it from the one before
    assert np.sort(np.concatenate([window.read for window in windows])).tolist() == kept.tolist()
    before = np.empty(0, dtype=np.int64)
    for window in windows:
        assert set(window.carried) <= set(before)
        before = np.union1d(window.carried, window.read)
        assert set(window.order) <= set(before)
        assert (np.diff(window.read) > 0).all()
        assert len(window.read) < sizes.window_rows + sizes.strip_rows
        assert len(window.carried) <= batch_size + 1


@given(seed=seeds, epoch=epochs, kept=kept_samples, sizes=window_sizes(), batch_size=st.integers(1, 90))
def test_windows_end_where_batches_do_and_the_batch_size_changes_no_order(
    seed: int, epoch: int, kept: np.ndarray, sizes: WindowSizes, batch_size: int
) -> None:
    plain = np.concatenate([window.order for window in plan_windows(seed, epoch, kept, sizes)])
    windows = plan_windows(seed, epoch, kept, sizes, batch_size=batch_size)
    batches = [index.tolist() for window in windows for index in cut_batches(window.order, batch_size)]
    assert batches == [index.tolist() for index in cut_batches(plain, batch_size)]
    assert len(kept) == 1 or batch_size == 1 or all(len(index) > 1 for index in batches)


@given(kept=kept_samples, sizes=window_sizes())
def test_strips_stay_whole_and_epochs_differ(kept: np.ndarray, sizes: WindowSizes) -> None:
    orders = []
    for epoch in (0, 1):
        windows = list(plan_windows(7, epoch, kept, sizes))
        strips = [set((window.read // sizes.strip_rows).tolist()) for window in windows]
        assert sum(len(strip) for strip in strips) == len(set().union(*strips)), "a strip lies in one window"
        orders.append(np.concatenate([window.order for window in windows]).tolist())
    assert len(kept) < 20 or orders[0] != orders[1]


@given(
    samples=st.integers(1, 3_000_000),
    classes=st.integers(1, 30_000),
    size=st.sampled_from([2, 4]),
    encoded=st.integers(1, 100_000),
)
def test_window_sizes_are_a_function_of_the_store_and_always_valid(
    samples: int, classes: int, size: int, encoded: int
) -> None:
    layout = choose_layout(views=1, samples=samples, classes=classes, row_bytes=encoded)
    sizes = choose_window_sizes(layout, classes * size)
    assert sizes.strip_rows <= layout.chunk_rows
    assert sizes.window_rows == 1 or sizes.window_rows * classes * size <= 32 * 2**20
    assert sizes.window_rows == 1 or sizes.window_rows * 8 <= samples


@given(read=kept_samples, strip_rows=st.integers(1, 50), piece_rows=st.integers(1, 200))
def test_spans_are_the_samples_in_order_and_no_longer_than_a_piece(
    read: np.ndarray, strip_rows: int, piece_rows: int
) -> None:
    found = spans(read, strip_rows, piece_rows)
    assert [i for lo, hi in found for i in range(lo, hi)] == list(range(len(read)))
    for lo, hi in found:
        strips = np.unique(read[lo:hi] // strip_rows)
        assert (np.diff(strips) == 1).all()
        assert len(strips) <= max(piece_rows // strip_rows, 1)


# --- the stream itself, on real stores -------------------------------------------------------------------------


@st.composite
def stored(draw: st.DrawFn) -> Layout:
    chunk_rows = draw(st.integers(1, 8))
    return Layout(
        views=2,
        samples=draw(st.integers(16, 120)),
        classes=draw(st.integers(2, 5)),
        block_rows=chunk_rows * draw(st.integers(1, 6)),
        chunk_rows=chunk_rows,
    )


def rows_of(layout: Layout, view: int, samples: np.ndarray) -> np.ndarray:
    """Return logits that tell view and sample, exact in float16."""
    return samples[:, None] + np.arange(layout.classes, dtype=np.float32) / 8 + 512 * view


@settings(max_examples=15)  # each writes a store
@given(layout=stored(), data=st.data(), batch_size=st.integers(1, 20))
def test_any_epoch_of_any_store_in_either_mode(
    tmp_path_factory: pytest.TempPathFactory, layout: Layout, data: st.DataObject, batch_size: int
) -> None:
    path: Path = tmp_path_factory.mktemp("shuffled")
    writer = KnowledgeWriter.create(path / "s.zarr", layout=layout, encoding=make_encoding("float16"), made_from={})
    for view, block in layout.all_blocks():
        rows = rows_of(layout, view, np.array(layout.rows(block)))
        writer.write_block(view, block, rows.astype(np.float32), seconds=0)
    store = writer.store
    kept = np.array(sorted(data.draw(st.sets(st.integers(0, layout.samples - 1), min_size=1))))
    dropped = np.setdiff1d(np.arange(layout.samples), kept)[: len(kept)]
    partner = np.full(len(kept), -1)
    partner[: len(dropped)] = data.draw(st.permutations(dropped.tolist())) if len(dropped) else []
    views, whole = [1, 0], 2 * layout.samples * store.row_bytes
    readings = [Reading(seed=3, epoch=e, view=v, kept=kept, partner=partner) for e, v in enumerate(views)]
    orders: dict[str, list[int]] = {}
    for memory in (whole, 2 * whole, whole - 1, data.draw(st.integers(whole // 2, whole - 1))):
        try:
            streaming = plan_streaming(store, memory=memory, batch_size=batch_size, partners=True)
        except StoreUsageError:  # half a view does not hold two batches that are as large as windows
            assert memory < whole
            continue
        assert (streaming.window_sizes is None) == (memory >= whole)
        stream, seen = open_stream(store, views, streaming, batch_size=batch_size, scratch=path), []
        for now, then in zip(readings, [readings[1], None], strict=True):
            order = []
            for portion in stream.read(now, then):
                np.testing.assert_array_equal(
                    portion.rows[portion.order], rows_of(layout, now.view, portion.order).astype(np.float16)
                )
                partners = partner[np.searchsorted(kept, portion.order)]
                partners = partners[partners >= 0]
                np.testing.assert_array_equal(
                    portion.rows[partners], rows_of(layout, now.view, partners).astype(np.float16)
                )
                order += portion.order.tolist()
            assert sorted(order) == kept.tolist()
            seen += order
        stream.close()
        shares = [Share(rank=rank, ranks=3) for rank in range(3)]
        assert orders.setdefault(streaming.describe(), seen) == seen, "a budget chooses the mode, and nothing else"
        for share in shares:
            stream = open_stream(store, views, streaming, batch_size=batch_size, scratch=path, share=share)
            orders_of_all = []
            for now, then in zip(readings, [readings[1], None], strict=True):
                for portion in stream.read(now, then):
                    mine = share.select(portion.order, batch_size)
                    partners = partner[np.searchsorted(kept, mine)]
                    for wanted in (mine, partners[partners >= 0]):
                        expected = rows_of(layout, now.view, wanted).astype(np.float16)
                        np.testing.assert_array_equal(portion.rows[wanted], expected)
                    orders_of_all += portion.order.tolist()
            stream.close()
            assert orders_of_all == seen, "the order is the same for any number of ranks"


@given(size=st.integers(0, 40), batch_size=st.integers(1, 12), ranks=st.integers(1, 5))
def test_ranks_share_every_batch_between_them(size: int, batch_size: int, ranks: int) -> None:
    order = np.random.default_rng(size).permutation(size)
    shares = [Share(rank=rank, ranks=ranks) for rank in range(ranks)]
    for batch in cut_batches(order, batch_size):
        parts = [batch[share.part_of(len(batch))] for share in shares]
        np.testing.assert_array_equal(np.concatenate(parts), batch)
        sizes = [len(part) for part in parts]
        assert sizes == sorted(sizes, reverse=True)
        some = [size for size in sizes if size]
        assert some[0] - some[-1] <= 1
        assert some[-1] >= min(len(batch), 2)
    assert sorted(np.concatenate([share.select(order, batch_size) for share in shares])) == list(range(size))


@pytest.mark.parametrize(("rank", "ranks"), [(2, 2), (-1, 3), (0, 0)])
def test_a_rank_that_is_not_there_has_no_share(rank: int, ranks: int) -> None:
    with pytest.raises(ValueError, match=f"no rank {rank} among {ranks}"):
        Share(rank=rank, ranks=ranks)
