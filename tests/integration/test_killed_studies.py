"""Real processes of a study: killed, interrupted, and on a cluster. They end with the numbers of one never stopped."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster
from tests.support.commands import succeed
from tests.support.runs import run_facts
from tests.support.studies import CommandHere, study_results, write_study

from kcd_pipeline.study import places, stores

pytestmark = pytest.mark.loops

COMMAND = [sys.executable, "-m", "kcd_pipeline", "study", "question.yaml", "--jobs", "2"]
COMPARE = "[[kcd, kd], {arms: [kcd, kd], budget: rows}]"
END_SECONDS = 90  # within which what a killed study has left ends by itself


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(COMMAND, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(folder: Path) -> str:
    """Call the same command in this process, which has torch loaded; return what it prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for module in (places, stores):
            patch.setattr(module, "Command", CommandHere)
        return succeed(*COMMAND[3:])


def facts(folder: Path) -> dict[str, object]:
    """Return the results of all runs, which have the same names in every folder."""
    return {run.name: run_facts(run) for run in sorted((folder / "runs").glob("*-seed*"))}


def write_taught(folder: Path, source: Path) -> None:
    """Write the study into `folder`, with the teacher and the store of `source`."""
    write_study(folder, epochs=6, seeds=1, compare=COMPARE)
    for name in ("teacher.training", "store.zarr"):
        shutil.copytree(source / name, folder / name)
    shutil.copy(source / "teacher.safetensors", folder)


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("never-stopped")
    write_study(folder, epochs=6, seeds=1, compare=COMPARE)
    finish(folder)
    assert len(facts(folder)) == 3
    return folder


def test_a_study_killed_again_and_again_ends_with_the_numbers_of_one_never_stopped(
    never_stopped: Path, tmp_path: Path
) -> None:
    """Only the process of the study is killed: its commands must end by themselves, or be waited for."""
    write_study(tmp_path, epochs=6, seeds=1, compare=COMPARE)
    chooser, left, killed = random.Random(0), [], 0
    for _ in range(6):
        process = start(tmp_path)
        time.sleep(chooser.uniform(2, 8))  # it takes 2 seconds to start a command
        with psutil.Process(process.pid).oneshot():
            left += psutil.Process(process.pid).children(recursive=True)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()
    assert killed >= 5, "it was not finished too early"
    said = finish(tmp_path)
    assert "failed" not in said
    assert not psutil.wait_procs(left, timeout=END_SECONDS)[1]
    assert facts(tmp_path) == facts(never_stopped)
    assert study_results(tmp_path) == study_results(never_stopped)


def test_ctrl_c_stops_all_runs_at_a_checkpoint_and_the_same_command_goes_on(
    never_stopped: Path, tmp_path: Path
) -> None:
    write_taught(tmp_path, never_stopped)
    process = start(tmp_path)
    while not list(tmp_path.glob("runs/*-seed*/checkpoint/epoch-*")):
        assert process.poll() is None
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=END_SECONDS)[0]
    assert process.returncode == 130, said
    assert "Interrupted. What was complete is kept; the same command goes on from there." in said
    assert "failed" not in said
    assert "Traceback" not in said
    assert not [child for child in children if child.is_running()]
    assert list(tmp_path.glob("runs/*-seed*/checkpoint*"))
    finish(tmp_path)
    assert facts(tmp_path) == facts(never_stopped)
    assert study_results(tmp_path) == study_results(never_stopped)


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """Two workers, started apart from the command."""
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as made:
        yield made


def test_students_on_two_workers_of_a_cluster_are_those_of_this_machine(
    never_stopped: Path, tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe of digits sets run.threads, on which the last bits of a result may depend."""
    write_taught(tmp_path, never_stopped)
    monkeypatch.chdir(tmp_path)
    said = succeed("study", "question.yaml", "--scheduler", cluster.scheduler_address)
    assert f"2 at a time, on 2 workers of {cluster.scheduler_address}" in said
    assert "3 of 3: " in said
    assert facts(tmp_path) == facts(never_stopped)
    assert study_results(tmp_path) == study_results(never_stopped)
