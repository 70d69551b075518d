"""Ranks read the store once together, and end together when the part of one is damaged."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from tests.support.ranks import Launch, assert_same_run, settings

from kcd_pipeline.config import load_config
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.runs import RunFolder
from kcd_stores import KnowledgeStore


@pytest.mark.parametrize("whole", [True, False])
def test_ranks_together_read_what_one_process_reads(home: Path, launch: Launch, whole: bool) -> None:
    """A view is 5 chunks. In every stage but the first, samples have partners."""
    memory = 2 * 300 * KnowledgeStore.open(home / "store.zarr").row_bytes - (not whole)
    read = {}
    for ranks in (1, 2):
        name = f"reads-{whole}-{ranks}"
        run = launch(ranks, settings(home, name, store__memory=memory, distill__batch_size=32))
        assert run.ended() == [0] * ranks, run.words(0)
        read[ranks] = sum(line["bytes_read"] for line in RunFolder(home / name).read_metrics())
    assert_same_run(home / f"reads-{whole}-2", home / f"reads-{whole}-1")
    assert read[2] == pytest.approx(read[1], rel=0.05), "each rank reading everything, it would be twice as much"


@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_chunk_is_named_by_the_rank_that_reads_it_and_ends_both(
    home: Path, tmp_path: Path, launch: Launch, whole: bool
) -> None:
    """The damage lies in the part of rank 1, in a view that is read while the first epoch is trained."""
    store = tmp_path / "store.zarr"
    shutil.copytree(home / "store.zarr", store)
    memory = 2 * 300 * KnowledgeStore.open(store).row_bytes - (not whole)
    (store / "logits" / "c" / "1" / "4" / "0").unlink()
    arguments = settings(tmp_path, "run", store__memory=memory, distill__batch_size=32, condense__interval=6)
    run = launch(2, [*arguments, f"--set=teacher.weights={home / 'teacher.safetensors'}"])
    assert run.ended(60) == [1, 1], [run.words(rank) for rank in (0, 1)]
    assert "logits/c/1/4/0" in " ".join(run.words(1).split())
    assert "another rank has ended" in " ".join(run.words(0).split())
    assert len(RunFolder(tmp_path / "run").read_metrics()) == 1, "the first epoch is complete"


@pytest.mark.loops
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("interrupted", [[0], [1], [0, 1]])
def test_ranks_that_are_interrupted_end_and_go_on(
    home: Path, launch: Launch, whole: bool, interrupted: list[int]
) -> None:
    """A rank that ends waits for its read ahead, in which the other takes part or ends."""
    memory = 2 * 300 * KnowledgeStore.open(home / "store.zarr").row_bytes - (not whole)
    name = "-".join(["interrupted", *map(str, [*interrupted, whole])])
    arguments = settings(home, name, store__memory=memory, distill__batch_size=32)
    run = launch(2, arguments)
    run.wait_for(RunFolder(home / name), 2)
    for rank in interrupted:
        pid = run.ranks[rank].pid
        assert pid is not None
        os.kill(pid, signal.SIGINT)
    codes = run.ended(60)
    assert None not in codes, [run.words(rank) for rank in (0, 1)]
    assert all(codes)
    again = launch(2, [*arguments, "--resume"])
    assert again.ended() == [0, 0], again.words(0)


@pytest.mark.loops
@pytest.mark.parametrize("whole", [True, False])
def test_ranks_that_stop_early_finish_the_read_ahead_together(home: Path, launch: Launch, whole: bool) -> None:
    """At this learning rate validation images soon tell that nothing is gained; the next epoch is read by then."""
    more = {
        "data__validation": 0.2, "store__path": home / "smaller.zarr", "distill__patience": 1, "distill__lr": 0.3,
        "distill__epochs": 12, "condense__interval": 12, "distill__batch_size": 32,
    }  # fmt: skip
    config = load_config("digits", [word.removeprefix("--set=") for word in settings(home, "", **more)[1:]])
    if not (home / "smaller.zarr").exists():
        extract_teacher(config)
    store = KnowledgeStore.open(home / "smaller.zarr")
    more["store__memory"] = 2 * store.layout.samples * store.row_bytes - (not whole)
    run = launch(2, settings(home, f"early-{whole}", **more))
    assert run.ended() == [0, 0], run.words(0)
    assert RunFolder(home / f"early-{whole}").read_summary()["epochs"] < 12
