"""Ranks by policies, values, teachers, blends and rows, and by the launchers: the run of one process."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from tests.support.ranks import Launch, assert_same_run, free_port, settings

from kcd_pipeline.config import load_config
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.models import load_weights
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.teacher import train_teacher
from kcd_stores import KnowledgeStore, PlanStore, ValueStore


@pytest.mark.loops
@pytest.mark.parametrize("policy", ["annealed", "infobatch", "rs2", "weighted"])
def test_a_policy_of_two_ranks_is_that_of_one_process(home: Path, launch: Launch, policy: str) -> None:
    more = {"condense__policy": policy, "condense__balance": "class", "condense__schedule": "constant"}
    for ranks in (1, 2):
        run = launch(ranks, settings(home, f"{policy}-{ranks}", **more))
        assert run.ended() == [0] * ranks, run.words(0)
    assert_same_run(home / f"{policy}-2", home / f"{policy}-1")
    last = list(PlanStore(home / f"{policy}-1" / "plans.zarr").read_all())[-2]
    assert last.weighted == (policy in ("weighted", "infobatch"))


@pytest.mark.loops
def test_ranks_that_two_teachers_teach_are_the_run_of_one_process(home: Path, launch: Launch) -> None:
    second = f"model: resnet8, weights: {home}/second.safetensors, store: {home}/second.zarr, weight: 2, epochs: 1"
    both = {"other_teachers": f"[{{{second}}}]"}
    for part in load_config(
        "digits", [word.removeprefix("--set=") for word in settings(home, "", **both)[1:]]
    ).each_teacher():
        train_teacher(part)
        extract_teacher(part)
    for ranks in (1, 2):
        run = launch(ranks, settings(home, f"teachers-{ranks}", **both))
        assert run.ended() == [0] * ranks, run.words(0)
    assert_same_run(home / "teachers-2", home / "teachers-1")


@pytest.mark.loops
def test_an_average_and_steps_on_several_batches_are_the_same_for_several_ranks_and_after_a_kill(
    home: Path, launch: Launch
) -> None:
    """Cut 300 samples into batches of 149, 149 and 2: two are one step, and a third rank has no sample of the last."""
    more = {"distill__ema": 0.7, "distill__clip_norm": 1, "distill__accumulate": 2}
    whole = launch(1, settings(home, "averaged-alone", **more))
    assert whole.ended() == [0], whole.words(0)
    run = launch(2, settings(home, "averaged", **more))
    run.wait_for(RunFolder(home / "averaged"), 3)
    run.ranks[0].kill()
    run.ended(30)
    again = launch(3, [*settings(home, "averaged", **more), "--resume"])
    assert again.ended() == [0] * 3, again.words(0)
    assert_same_run(home / "averaged", home / "averaged-alone", tolerance=1e-4)
    one, two = (RunFolder(home / name) for name in ("averaged", "averaged-alone"))
    average, same = (load_weights(folder.averaged_weights).state for folder in (one, two))
    for key, tensor in average.items():
        torch.testing.assert_close(tensor, same[key], atol=1e-4, rtol=1e-4)
    assert {line["steps"] for line in one.read_metrics()} <= {1, 2}
    assert one.read_summary()["ema_test_accuracy"] == two.read_summary()["ema_test_accuracy"]


@pytest.mark.loops
def test_ranks_end_a_run_after_so_many_rows_as_one_process(home: Path, launch: Launch) -> None:
    """The last epoch has two samples, of which the second rank gets none."""
    for ranks in (1, 2):
        run = launch(ranks, settings(home, f"rows-{ranks}", distill__method="kd", distill__rows=5 * 300 + 2))
        assert run.ended() == [0] * ranks, run.words(0)
    assert_same_run(home / "rows-2", home / "rows-1")
    assert [line["rows"] for line in RunFolder(home / "rows-2").read_metrics()] == [300] * 5 + [2]


@pytest.mark.loops
def test_ranks_stop_early_where_one_process_does(home: Path, launch: Launch) -> None:
    """Each rank decides by itself; at this learning rate validation images soon tell that nothing is gained."""
    more = {
        "data__validation": 0.2, "store__path": home / "none.zarr", "distill__method": "none", "distill__patience": 1,
        "distill__lr": 0.3, "distill__epochs": 12,
    }  # fmt: skip
    for ranks in (1, 2):
        run = launch(ranks, settings(home, f"early-{ranks}", **more))
        assert run.ended() == [0] * ranks, run.words(0)
    one, two = (RunFolder(home / f"early-{ranks}") for ranks in (1, 2))
    assert one.read_summary()["epochs"] < 12
    keys = ("epochs", "stopped_early", "best_epoch", "validation_accuracy", "test_accuracy", "best_test_accuracy")
    assert [one.read_summary()[key] for key in keys] == [two.read_summary()[key] for key in keys]


@pytest.mark.loops
def test_ranks_whose_blends_rank_0_has_judged_are_the_run_of_one_process(home: Path, launch: Launch) -> None:
    """In windows, so that each portion asks rank 0 for the rows of its own blends."""
    memory = 2 * 300 * KnowledgeStore.open(home / "store.zarr").row_bytes - 1
    judged = {"store__memory": memory, "distill__batch_size": 32, "condense__perturb": "teacher"}
    for ranks in (1, 2):
        run = launch(ranks, settings(home, f"judged-{ranks}", **judged))
        assert run.ended() == [0] * ranks, run.words(0)
    assert_same_run(home / "judged-2", home / "judged-1")
    lines = [RunFolder(home / f"judged-{ranks}").read_metrics() for ranks in (1, 2)]
    one, two = ([line["teacher_rows"] for line in of] for of in lines)
    assert one == two == [0, 0, 2 * 44, 0, 2 * 44, 0]


@pytest.mark.loops
@pytest.mark.parametrize("value", ["forgetting", "gap"])
def test_any_value_is_the_same_for_several_ranks_and_after_a_kill(home: Path, launch: Launch, value: str) -> None:
    whole = launch(1, settings(home, f"{value}-alone", condense__value=value))
    assert whole.ended() == [0], whole.words(0)
    run = launch(2, settings(home, value, condense__value=value))
    run.wait_for(RunFolder(home / value), 3)  # in the middle of a stage
    run.ranks[0].kill()
    run.ended(30)
    again = launch(3, [*settings(home, value, condense__value=value), "--resume"])
    assert again.ended() == [0] * 3, again.words(0)
    assert ValueStore.open(home / value / "values.zarr").measure == value
    assert_same_run(home / value, home / f"{value}-alone")


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"],
    # without this option it starts one process; without a GPU they run on the CPU
    "accelerate launch": ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"],
}


@pytest.mark.loops
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_launchers_themselves(home: Path, launcher: str) -> None:
    """The whole command on a student of the zoo; killing a rank ends the launcher."""
    name = launcher.replace(" ", "-")
    options = LAUNCHERS[launcher] + ([f"--main_process_port={free_port()}"] if "accelerate" in launcher else [])
    arguments = settings(home, name, student__model="resnet8", distill__epochs=2000, condense__interval=1000)
    command = [sys.executable, "-m", *options, "-m", "kcd_pipeline", "distill", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (home / f"{name}.said").open("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment, start_new_session=True)
        try:
            folder = RunFolder(home / name)
            while len(folder.read_metrics()) < 2:
                assert process.poll() is None, (home / f"{name}.said").read_text()
                time.sleep(0.01)
            ranks = [int(pid) for pid in children(process.pid)]
            assert len(ranks) == 2
            os.kill(ranks[1], signal.SIGKILL)
            assert process.wait(60) == 1
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
    lines = folder.metrics.read_text().splitlines()
    assert json.loads(lines[0])["ranks"] == 2
    said_so = (home / f"{name}.said").read_text()
    assert "epoch 1/2000" in said_so
    assert "SIGKILL" in said_so


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
