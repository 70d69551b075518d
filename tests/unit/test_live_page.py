"""A live page is rendered again when runs have gone on, not more often, and stays while they cannot be read."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kcd_pipeline.errors import DamagedError
from kcd_pipeline.reports.live import page as live_page
from kcd_pipeline.reports.live.page import LivePage, Rendered
from kcd_pipeline.reports.live.watch import state_digest


class Clock:
    """A clock that stands still until it is moved, and the time of the processor that was spent."""

    now, spent = 1000.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.spent


class CountedPage(LivePage):
    """A page whose rendering takes `cost` seconds of the processor and ten times as long, or fails."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(lambda: ([folder], None), command="")
        self.folder, self.clock, self.cost, self.count = folder, clock, 0.1, 0
        self.failure: Exception | None = None

    def _render(self) -> Rendered:
        self._watched = [self.folder]
        self.clock.now += 10 * self.cost
        self.clock.spent += self.cost
        self.count += 1
        if self.failure is not None:
            raise self.failure
        return Rendered(digest=state_digest([self.folder]), html=str(self.count).encode())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "kd"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\n")
    return folder


@pytest.fixture
def page(run: Path, monkeypatch: pytest.MonkeyPatch) -> CountedPage:
    clock = Clock()
    monkeypatch.setattr(live_page, "time", clock)
    return CountedPage(run.parent, clock)


def add_epoch(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write("{}\n")


def test_a_page_is_rendered_again_only_when_runs_have_gone_on(page: CountedPage, run: Path) -> None:
    first = page.current()
    page.clock.now += 60
    assert page.current() is first
    add_epoch(run)
    second = page.current()
    assert (first.html, second.html) == (b"1", b"2")
    assert first.digest != second.digest


@pytest.mark.parametrize(("cost", "pause"), [(0.1, 2.0), (3.0, 12.0)])
def test_renderings_leave_the_processor_to_the_runs(page: CountedPage, run: Path, cost: float, pause: float) -> None:
    page.cost = cost
    page.current()
    add_epoch(run)
    page.clock.now += 2.01  # the first one has no other pause
    second = page.current()
    assert second.html == b"2"
    add_epoch(run)
    page.clock.now += pause - 0.01
    assert page.current() is second
    page.clock.now += 0.02
    assert page.current().html == b"3"


def test_a_page_stays_while_a_run_cannot_be_read_and_says_why(page: CountedPage, run: Path) -> None:
    first = page.current()
    add_epoch(run)
    page.failure = DamagedError("metrics.jsonl is\ndamaged.")
    page.clock.now += 60
    kept = page.current()
    assert (kept.html, kept.digest) == (first.html, first.digest)
    assert json.loads(kept.state)["problem"].startswith(r"metrics.jsonl is\ndamaged.")
    page.failure = None
    assert page.current() is kept, "not tried again within the pause"
    page.clock.now += 60
    whole = page.current()
    assert (whole.html, json.loads(whole.state)) == (b"3", {"digest": whole.digest, "problem": None})


def test_what_is_wrong_from_the_beginning_is_raised(page: CountedPage) -> None:
    page.failure = DamagedError("metrics.jsonl is damaged.")
    with pytest.raises(DamagedError):
        page.current()


def finish(run: Path) -> None:
    (run / "summary.json").write_text("{}")


def checkpoint(run: Path) -> None:
    folder = run / "checkpoint" / "epoch-00000"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")


def touch(run: Path) -> None:
    os.utime(run / "config.yaml", ns=(1, 1))


def begin_another(run: Path) -> None:
    other = run.parent / "none"
    other.mkdir()
    (other / "config.yaml").write_text("seed: 0\n")


@pytest.mark.parametrize("change", [add_epoch, finish, checkpoint, touch, begin_another])
def test_all_that_a_report_shows_changes_the_digest(run: Path, change: Callable[[Path], None]) -> None:
    before = state_digest([run.parent])
    assert state_digest([run.parent]) == before
    change(run)
    assert state_digest([run.parent]) != before


def test_what_a_report_does_not_show_leaves_the_digest(run: Path) -> None:
    before = state_digest([run.parent])
    (run / "notes.txt").write_text("mine")
    store = run.parent / "store.zarr"
    store.mkdir()
    (store / "zarr.json").write_text("{}")
    assert state_digest([run.parent]) == before


def test_runs_that_are_not_there_yet_are_empty(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    before = state_digest([folder])
    folder.mkdir()
    assert state_digest([folder]) == before
