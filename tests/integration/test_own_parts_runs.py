"""Runs of parts outside the package: killed and resumed to the same weights, refused once a source has changed."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.commands import run_command, succeed
from tests.support.forks import forks
from tests.support.own_parts import EXAMPLES, importable

from kcd_pipeline.config import load_config
from kcd_pipeline.distillation import distill

pytestmark = pytest.mark.loops

SETTINGS = [
    *("teacher.model=resnet8", "teacher.epochs=2", "store.views=2", "distill.epochs=6", "condense.interval=2"),
    *("run.threads=1", "run.device=cpu"),
]
KILLED = "run.dir=runs/own_parts/killed"


def words(*more: str) -> list[str]:
    return ["own_parts/recipe.yaml", *(word for setting in (*SETTINGS, *more) for word in ("--set", setting))]


def train_in(folder: str) -> None:
    """Train in a process of its own, until it is killed."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    distill(load_config("own_parts/recipe.yaml", [*SETTINGS, KILLED]))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with the parts of examples/own_parts, a teacher, a store, and a whole run."""
    shutil.copytree(EXAMPLES / "own_parts", tmp_path / "own_parts")
    monkeypatch.chdir(tmp_path)
    with importable(tmp_path):
        succeed("train-teacher", *words())
        succeed("extract-teacher", *words())
        succeed("distill", *words("run.dir=runs/own_parts/whole"))
        yield tmp_path


def kill_in_training(home: Path, run: Path) -> None:
    """Start the same run in another folder, and kill it once it has a checkpoint."""
    process = forks().Process(target=train_in, args=(str(home),))
    process.start()
    until = time.monotonic() + 120
    while not list(run.glob("checkpoint/epoch-*[0-9]")):
        assert process.is_alive(), "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.002)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert not (run / "summary.json").exists()


def without_times(run: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    clock = ("seconds", "rows_per_second", "bytes_read")
    return [{key: value for key, value in line.items() if key not in clock} for line in lines]


def test_a_run_of_own_parts_is_killed_resumed_and_told_apart(home: Path) -> None:
    whole, killed = home / "runs/own_parts/whole", home / "runs/own_parts/killed"
    kill_in_training(home, killed)

    optimisation = home / "own_parts" / "optimisation.py"
    source = optimisation.read_text()
    optimisation.write_text(source + "# changed\n")
    refused = run_command("distill", *words(KILLED))
    assert (refused.exit_code, "parts.distill.optimizer: found" in refused.stderr) == (2, True), refused.stderr
    optimisation.write_text(source)
    refused = run_command("distill", *words(KILLED, "distill.optimizer_arguments={}"))
    assert "distill.optimizer_arguments.weight_decay: found 0.1, expected (nothing)" in refused.stderr

    assert "going on from epoch" in run_command("distill", *words(KILLED)).stderr
    assert (killed / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert without_times(killed) == without_times(whole)
    metrics = ["own_parts.metrics:balanced_accuracy", "own_parts.metrics:top_k_accuracy(k=2)"]
    assert list(json.loads((killed / "summary.json").read_text())["metrics"]) == metrics
    assert set(json.loads((killed / "origin.json").read_text())["parts"]) == {
        *("data.name", "augmentation.name", "distill.loss.name", "distill.optimizer", "distill.schedule"),
        *("distill.metrics", "condense.policy", "condense.value"),
    }

    others = ["distill.loss={name: kd}", "distill.optimizer=torch.optim:AdamW", "distill.optimizer_arguments={}"]
    succeed("distill", *words(*others))
    shutil.rmtree(home / "own_parts")  # nothing that a run names is imported by a report
    for name in [name for name in sys.modules if name.startswith("own_parts")]:
        del sys.modules[name]
    report = run_command("report", "runs/own_parts", "--json")
    names = [arm["name"] for arm in json.loads(report.stdout)["arms"]]
    assert len(names) == 2, "the killed run and the whole one are one arm"
    assert sorted("match_logits" in name for name in names) == [False, True], names
