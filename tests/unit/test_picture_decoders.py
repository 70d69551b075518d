"""Processes that decode pictures: their pixels need no /dev/shm, memory ahead is bounded, and no wait is for ever."""

import time
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data._utils import MP_STATUS_CHECK_INTERVAL
from torch.utils.data._utils import worker as torch_worker

from kcd_pipeline.data.pictures import loader
from kcd_pipeline.data.pictures.budget import PixelBudget
from kcd_pipeline.data.pictures.handover import Pieces, shared_places
from kcd_pipeline.data.pictures.loader import AHEAD_BYTES, PictureViews, read_ahead
from kcd_pipeline.errors import FailedError

SHAPE = (3, 4, 5)


def numbered(samples: NDArray[np.int64], views: NDArray[np.int64]) -> list[Tensor]:
    return [torch.full(SHAPE, number, dtype=torch.uint8) for number in (10 * views + samples).tolist()]


def views_of(make_views: Any, workers: int) -> PictureViews:
    look: dict[str, Any] = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3, "device": torch.device("cpu")}
    return PictureViews(make_views, size=30, shape=SHAPE, workers=workers, **look)


def levels(batch: Tensor) -> list[int]:
    assert batch.shape[1:] == SHAPE
    return [round(float(image.unique().item())) for image in batch]


# --- handing over ----------------------------------------------------------------------------------------


def test_a_worker_writes_into_its_place_and_hands_over_a_number() -> None:
    places = shared_places(3, 2, SHAPE)
    pieces = Pieces(numbered, SHAPE, places)
    assert pieces[1, np.array([4, 7]), np.array([1, 1])] == 2
    assert pieces[2, np.array([5]), np.array([0])] == 1
    assert places[:, :, 0, 0, 0].tolist() == [[0, 0], [14, 17], [5, 0]]


def test_a_process_that_is_not_forked_hands_over_the_pixels_themselves() -> None:
    """Not as a file in /dev/shm: they are in what is pickled."""
    pieces: Pieces = ForkingPickler.loads(ForkingPickler.dumps(Pieces(numbered, SHAPE, shared_places(3, 2, SHAPE))))
    made = pieces[1, np.array([4, 7]), np.array([1, 1])]
    assert isinstance(made, np.ndarray)
    assert made[:, 0, 0, 0].tolist() == [14, 17]
    assert made.tobytes() in bytes(ForkingPickler.dumps(made))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_no_piece_overwrites_one_that_is_still_needed(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(loader, "PIECE", 2)
    monkeypatch.setattr(loader, "REQUESTS_AHEAD", 2)
    views = views_of(numbered, workers)
    order = np.random.default_rng(0).permutation(30)
    cut = [order[:17], order[17:18], order[18:]]  # a batch of nine pieces, which are more than there are places
    for view in (1, 2):
        for index, batch in views.batches(cut, view):
            time.sleep(0.02)  # workers run ahead as far as they may
            assert levels(batch) == [10 * view + sample for sample in index.tolist()]


def test_torch_makes_no_tensor_of_what_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a storage was moved to shared memory")

    monkeypatch.setattr("torch.multiprocessing.reductions.reduce_storage", refuse)
    monkeypatch.setattr("torch.multiprocessing.reductions.reduce_tensor", refuse)
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", refuse)
    ((_, batch),) = views_of(numbered, 1).batches([np.array([3, 4])], 0)
    assert levels(batch) == [3, 4]


# --- waiting ---------------------------------------------------------------------------------------------


def never(samples: NDArray[np.int64], views: NDArray[np.int64]) -> list[Tensor]:
    time.sleep(60)
    raise AssertionError


def test_a_worker_that_hands_over_nothing_ends_the_pass_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MP_STATUS_CHECK_INTERVAL == 5  # seconds that torch gives a worker to end by itself
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.1)
    monkeypatch.setattr(torch_worker, "MP_STATUS_CHECK_INTERVAL", 0.1)
    monkeypatch.setattr(loader, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(loader, "POLLS", 4)
    views = views_of(never, 1)
    started = time.monotonic()
    with pytest.raises(FailedError, match="have handed over nothing for 0 seconds, although they are alive"):
        list(views.batches([np.array([0])], 0))
    assert time.monotonic() - started < 20


def slow(samples: NDArray[np.int64], views: NDArray[np.int64]) -> list[Tensor]:
    time.sleep(0.4)
    return numbered(samples, views)


def test_a_worker_that_is_slower_than_a_poll_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "POLL_SECONDS", 0.1)
    ((_, batch),) = views_of(slow, 1).batches([np.array([2])], 1)
    assert levels(batch) == [12]


def exhausted(samples: NDArray[np.int64], views: NDArray[np.int64]) -> list[Tensor]:
    raise MemoryError("no room for a picture")


@pytest.mark.parametrize("workers", [0, 1])
def test_lack_of_memory_in_a_worker_is_that_error_here(workers: int) -> None:
    with pytest.raises(MemoryError, match=r"^no room for a picture$"):
        list(views_of(exhausted, workers).batches([np.array([2])], 1))


def test_workers_that_cannot_be_started_are_a_failure_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    views = views_of(numbered, 1)
    monkeypatch.setattr("multiprocessing.context.BaseContext.Queue", full)
    with pytest.raises(FailedError, match=r"cannot be started: .*No space left.* /dev/shm may be full.* data\.workers"):
        list(views.batches([np.array([2])], 1))


# --- memory ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 2, 8, 64, 200])
@pytest.mark.parametrize("side", [8, 64, 224, 1024, 3000])
def test_what_is_made_ahead_stays_within_its_bytes(workers: int, side: int) -> None:
    pictures, requests = read_ahead(3 * side * side, workers)
    assert 1 <= pictures <= 32
    assert 1 <= requests <= 4
    ahead = max(workers, 1) * pictures * requests
    assert ahead * 3 * side * side <= AHEAD_BYTES or ahead == max(workers, 1)
    if side <= 224 and workers <= 8:
        assert (pictures, requests) == (32, 4)  # ordinary pictures are read ahead as before


def test_pictures_are_decoded_at_once_as_far_as_their_pixels_allow() -> None:
    budget = PixelBudget(10)
    with budget.hold(4), budget.hold(6):
        assert budget._left == 0
    with budget.hold(99):  # larger than all: alone
        assert budget._left == 0
    assert budget._left == 10
    with pytest.raises(KeyError), budget.hold(3):
        raise KeyError
    assert budget._left == 10
