"""Several real processes train one student over gloo: the run of one process, and what happens when one dies."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.ranks import EPOCHS, Launch, Together, assert_same_run, settings

from kcd_pipeline.cli import main
from kcd_pipeline.runs import RunFolder
from kcd_stores import KnowledgeStore, ValueStore


@pytest.fixture(scope="module")
def alone(context: Any, home: Path) -> Path:
    """The run of a single process."""
    run = Together(context, home, 1, settings(home, "alone"))
    assert run.ended() == [0], run.words(0)
    return home / "alone"


@pytest.mark.parametrize("ranks", [2, 3])
def test_several_ranks_are_the_run_of_one_process(home: Path, alone: Path, launch: Launch, ranks: int) -> None:
    run = launch(ranks, settings(home, f"ranks-{ranks}"))
    assert run.ended() == [0] * ranks, run.words(0)
    assert_same_run(home / f"ranks-{ranks}", alone)
    assert f"after {EPOCHS} epochs" in run.words(0)
    assert [run.words(rank) for rank in range(1, ranks)] == [""] * (ranks - 1), "rank 0 speaks for all"
    assert {line["ranks"] for line in RunFolder(home / f"ranks-{ranks}").read_metrics()} == {ranks}


def test_ranks_that_stream_in_windows_are_the_run_of_one_process(home: Path, launch: Launch) -> None:
    whole = 2 * 300 * KnowledgeStore.open(home / "store.zarr").row_bytes
    small = {"store__memory": whole - 1, "distill__batch_size": 32}
    for ranks in (1, 2):
        run = launch(ranks, settings(home, f"windows-{ranks}", **small))
        assert run.ended() == [0] * ranks, run.words(0)
    assert "block shuffle" in RunFolder(home / "windows-2").read_summary()["streaming"]
    assert_same_run(home / "windows-2", home / "windows-1")


def test_local_batch_norm_trains_on_the_same_samples(home: Path, alone: Path, launch: Launch) -> None:
    run = launch(2, settings(home, "local", run__batch_norm="local"))
    assert run.ended() == [0, 0], run.words(0)
    with pytest.raises(AssertionError):
        assert_same_run(home / "local", alone)
    ours, theirs = (ValueStore.open(path / "values.zarr").read(1)[1] for path in (home / "local", alone))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_other_and_one_process_goes_on(
    home: Path, alone: Path, launch: Launch, victim: int
) -> None:
    name, other = f"killed-{victim}", 1 - victim
    run = launch(2, settings(home, name))
    run.wait_for(RunFolder(home / name), 2)
    run.ranks[victim].kill()
    codes = run.ended(30)
    assert codes[victim] == -signal.SIGKILL
    assert codes[other] == 1
    assert "another rank has ended" in run.words(other)
    assert "goes on from there, with any number of ranks" in " ".join(run.words(other).split())
    assert "Traceback" not in run.words(other)
    again = launch(1, [*settings(home, name), "--resume"])
    assert again.ended() == [0], again.words(0)
    assert_same_run(home / name, alone)


def test_a_killed_process_is_gone_on_with_by_two_ranks(home: Path, alone: Path, launch: Launch) -> None:
    run = launch(1, settings(home, "one-then-two"))
    run.wait_for(RunFolder(home / "one-then-two"), 3)  # in the middle of a stage
    run.ranks[0].kill()
    run.ended(30)
    again = launch(2, [*settings(home, "one-then-two"), "--resume"])
    assert again.ended() == [0, 0], again.words(0)
    assert_same_run(home / "one-then-two", alone)
    assert {line["ranks"] for line in RunFolder(home / "one-then-two").read_metrics()} == {1, 2}


def test_a_rank_that_does_not_answer_is_waited_for_so_long_and_no_longer(home: Path, launch: Launch) -> None:
    run = launch(2, settings(home, "stopped"), KCD_RANKS_PATIENCE="3")
    run.wait_for(RunFolder(home / "stopped"), 1)
    pid = run.ranks[1].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    run.ranks[0].join(60)
    assert run.ranks[0].exitcode == 1
    assert "does not answer" in run.words(0)
    run.ended(0)


def test_what_rank_0_refuses_is_said_once(home: Path, alone: Path, launch: Launch) -> None:
    run = launch(2, settings(home, alone.name, seed=1))
    assert run.ended(60) == [2, 1]
    assert "seed" in run.words(0)
    assert run.words(1) == ""


def test_a_loss_over_the_samples_of_a_batch_is_refused(home: Path, launch: Launch) -> None:
    run = launch(2, settings(home, "dist", distill__loss__name="dist"))
    assert run.ended(60) == [2, 2]
    assert "each sees only its part" in run.words(0)
    assert run.words(1).startswith("[rank 1] Error: distill.loss.name is dist")
    assert not (home / "dist").exists()


@pytest.mark.parametrize("command", ["train-teacher", "extract-teacher", "demo"])
def test_other_commands_are_one_process(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    from click.testing import CliRunner

    monkeypatch.setenv("WORLD_SIZE", "2")
    done = CliRunner().invoke(main, [command, "digits"])
    assert done.exit_code == 2
    assert f"{command} is one process, but 2 were launched" in " ".join(done.output.split())
