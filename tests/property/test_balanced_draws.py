"""The balanced sampler: shares of classes and samples, and repeated samples in every way of streaming."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcd_pipeline.training.sampling import draw_balanced
from kcd_stores import KnowledgeWriter, Layout, Reading, make_encoding, open_stream, plan_streaming
from kcd_stores.philox import permutation
from kcd_stores.streaming.order import Share, WindowSizes, cut_batches, plan_windows

seeds, epochs = st.integers(0, 2**63 - 1), st.integers(0, 500)
many_labels = st.lists(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 1, 4, 7]), min_size=1, max_size=60).map(np.array)


@settings(max_examples=40)
@given(seed=seeds, epoch=epochs, labels=many_labels, count=st.integers(1, 200))
def test_classes_and_their_samples_are_drawn_equally_often_to_within_one(
    seed: int, epoch: int, labels: np.ndarray, count: int
) -> None:
    samples, times = draw_balanced(labels, seed, epoch, count)
    assert times is not None
    assert times.sum() == count
    assert (np.diff(samples) > 0).all()
    assert (times >= 1).all()
    often = np.zeros(len(labels), dtype=np.int64)
    often[samples] = times
    of_class = [often[labels == label] for label in np.unique(labels)]
    shares = [one.sum() for one in of_class]
    assert max(shares) - min(shares) <= 1
    assert all(one.max() - one.min() <= 1 for one in of_class)
    again = draw_balanced(labels, seed, epoch, count)
    assert again.times is not None
    assert (again.samples.tolist(), again.times.tolist()) == (samples.tolist(), times.tolist())


def test_all_samples_of_a_large_class_are_drawn_in_time_and_rests_go_round() -> None:
    """100 samples, 90 of class 0 and 10 of class 1: 50 draws of each, so 50 of the 90 and each of the 10 five times."""
    labels = np.repeat([0, 1], [90, 10])
    seen = np.zeros(100, dtype=np.int64)
    for epoch in range(8):
        samples, times = draw_balanced(labels, 3, epoch, 100)
        assert times is not None
        seen[samples] += times
    assert (seen[90:] == 40).all()
    assert seen[:90].sum() == 400
    assert (seen[:90] > 0).all()  # the chance to miss one is (4/9)^8 = 0.15% each
    twice = np.zeros(3, dtype=np.int64)
    for epoch in range(60):
        samples, times = draw_balanced(np.array([0, 1, 2]), 3, epoch, 4)
        assert times is not None
        twice[samples] += times - 1
    assert twice.sum() == 60
    assert twice.min() > 10  # about 20 each


def test_an_order_of_repeats_has_each_item_as_often_and_that_of_single_ones_stays() -> None:
    items = np.array([2, 5, 9])
    order = permutation(1, 0, items, times=np.array([3, 1, 2]))
    assert sorted(order.tolist()) == [2, 2, 2, 5, 9, 9]
    ones = permutation(1, 0, np.arange(50), times=np.ones(50, dtype=np.int64))
    assert ones.tolist() == permutation(1, 0, np.arange(50)).tolist()
    # by the first number among them, repeated items are where they would be without repeats
    first = list(dict.fromkeys(permutation(1, 0, np.arange(50), times=np.full(50, 2)).tolist()))
    assert sorted(first) == list(range(50))


@settings(max_examples=30)
@given(
    seed=seeds,
    epoch=epochs,
    times=st.lists(st.integers(0, 5), min_size=1, max_size=60).map(np.array),
    batch_size=st.integers(1, 20),
    window=st.integers(1, 30),
)
def test_windows_hand_out_each_sample_as_often_as_asked(
    seed: int, epoch: int, times: np.ndarray, batch_size: int, window: int
) -> None:
    kept = np.flatnonzero(times)
    sizes = WindowSizes(window_rows=window, strip_rows=max(window // 4, 1))
    windows = list(plan_windows(seed, epoch, kept, sizes, batch_size=batch_size, times=times[kept]))
    order = np.concatenate([np.empty(0, np.int64), *(one.order for one in windows)])
    assert np.bincount(order, minlength=len(times)).tolist() == times.tolist()
    before: set[int] = set()
    for one in windows:
        assert set(one.carried) <= before
        before = set(one.carried) | set(one.read)
        assert set(one.order) <= before
        assert set(one.left) <= before
        assert len(one.order) % batch_size == 0 or one.last
    batches = [index.tolist() for one in windows for index in cut_batches(one.order, batch_size)]
    assert batches == [index.tolist() for index in cut_batches(order, batch_size)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows (i, i + 1/8) of view 0 and (512 + i, ...) of view 1, for 96 samples."""
    layout = Layout(views=2, samples=96, classes=2, block_rows=24, chunk_rows=6)
    path = tmp_path_factory.mktemp("balanced") / "s.zarr"
    writer = KnowledgeWriter.create(path, layout=layout, encoding=make_encoding("float16"), made_from={})
    for view, block in layout.all_blocks():
        rows = np.array(layout.rows(block))[:, None] + np.array([0, 0.125]) + 512 * view
        writer.write_block(view, block, rows.astype(np.float32), seconds=0)
    return path


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("budget", [1, 0.99])
def test_every_way_of_streaming_holds_the_rows_of_repeated_samples(stored: Path, ranks: int, budget: float) -> None:
    from kcd_stores import KnowledgeStore

    store, labels = KnowledgeStore.open(stored), np.repeat([0, 1, 2], [80, 12, 4])
    streaming = plan_streaming(store, memory=int(2 * 96 * store.row_bytes * budget), batch_size=5, partners=False)
    assert (streaming.window_sizes is None) == (budget == 1)
    readings = []
    for epoch in (0, 1):
        samples, times = draw_balanced(labels, 0, epoch, 96)
        readings.append(Reading(seed=0, epoch=epoch, view=epoch, kept=samples, times=times))
    for rank in range(ranks):
        share = Share(rank=rank, ranks=ranks)
        stream = open_stream(store, [0, 1], streaming, batch_size=5, scratch=stored.parent, share=share)
        for now, then in zip(readings, [readings[1], None], strict=True):
            order = []
            for portion in stream.read(now, then):
                mine = share.select(portion.order, 5)
                np.testing.assert_array_equal(portion.rows[mine][:, 0], (mine + 512 * now.view).astype(np.float16))
                order += portion.order.tolist()
            assert np.bincount(labels[order]).tolist() == [32, 32, 32]
            assert max(np.bincount(order)[92:]) == 8  # 32 draws of four samples
            assert budget < 1 or order == now.order().tolist()
        stream.close()


def test_another_epoch_of_draws_is_no_reading_that_was_begun() -> None:
    kept = np.arange(3)
    one, other = (
        Reading(seed=0, epoch=0, view=0, kept=kept, times=np.array(times)) for times in ([1, 2, 1], [2, 1, 1])
    )
    assert one.same(one)
    assert not one.same(other)
    assert not one.same(Reading(seed=0, epoch=0, view=0, kept=kept))
