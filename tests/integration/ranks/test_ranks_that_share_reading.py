"""Ranks read the store once together, and end together when the part of one is damaged."""

import shutil
from pathlib import Path

import pytest
from tests.support.ranks import Launch, assert_same_run, settings

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
