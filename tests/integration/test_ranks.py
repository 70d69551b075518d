"""Several real processes train one student over gloo: the run of one process, and what happens when one of them dies.

Ranks come from a fork server that has torch loaded, with the variables that torchrun sets; one test starts the
launchers themselves. The student computes in double precision: what differs is then how the work is divided, and not
how sums are rounded.
"""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kcd_pipeline.cli import main
from kcd_pipeline.config import load_config
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.models import load_weights
from kcd_pipeline.runs import RunFolder, read_predictions
from kcd_pipeline.teacher import train_teacher
from kcd_stores import KnowledgeStore, PlanStore, ValueStore

PRELOADED = [
    "kcd_pipeline.distillation",
    "kcd_pipeline.verification",
    "sklearn.datasets",
    "tensorboard",
]
EPOCHS = 6
BATCH = 149  # 300 samples: 149, 149 and 2, which is none for the third of three ranks


class Doubled(nn.Module):
    """A small network with batch norm, in float64 from its first to its last layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, classes),
        ).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x.double())
        return logits


def doubled(*, channels: int, classes: int) -> nn.Module:
    return Doubled(channels, classes)


def settings(home: Path, name: str, **more: Any) -> list[str]:
    """Return a small but whole recipe on real digits: three stages, and four views that epochs use in turn."""
    chosen = {
        "data.limit_per_class": 30,
        "teacher.model": "resnet8",
        "teacher.weights": home / "teacher.safetensors",
        "teacher.epochs": 2,
        "store.path": home / "store.zarr",
        "store.views": 4,
        "store.block_rows": 64,
        "student.model": f"{__name__}:doubled",
        "distill.epochs": EPOCHS,
        "distill.batch_size": BATCH,
        "distill.lr": 0.01,
        "condense.interval": 2,
        "run.dir": home / name,
        "run.threads": 1,
    } | {key.replace("__", "."): value for key, value in more.items()}
    return ["digits", *(f"--set={key}={value}" for key, value in chosen.items())]


@pytest.fixture(scope="module")
def context() -> Any:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained teacher and a whole store."""
    folder = tmp_path_factory.mktemp("ranks")
    config = load_config("digits", [argument.removeprefix("--set=") for argument in settings(folder, "none")[1:]])
    train_teacher(config)
    extract_teacher(config)
    return folder


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def one_rank(variables: dict[str, str], arguments: Sequence[str], said: Path) -> None:
    """Run `kcd-pipeline distill` as torchrun would, with the variables of a rank; its output goes to a file."""
    os.environ.update(variables)
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        main(["distill", *arguments], prog_name="kcd-pipeline")


class Together:
    """Ranks of one run, started as a launcher would."""

    def __init__(self, context: Any, home: Path, ranks: int, arguments: Sequence[str], **variables: str) -> None:
        self.said = [home / f"said-{time.monotonic_ns()}-{rank}" for rank in range(ranks)]
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(ranks)}
        shared |= {"OMP_NUM_THREADS": "1"} | variables
        self.ranks: list[BaseProcess] = []
        for rank, said in enumerate(self.said):
            own = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else variables
            self.ranks.append(context.Process(target=one_rank, args=(own, arguments, said)))
            self.ranks[-1].start()

    def ended(self, seconds: float = 120) -> list[int | None]:
        """Wait for all; return their exit codes, None for those that are killed because they take too long."""
        until = time.monotonic() + seconds
        for rank in self.ranks:
            rank.join(max(until - time.monotonic(), 0))
        codes = [rank.exitcode for rank in self.ranks]
        for rank in self.ranks:
            rank.kill()
        return codes

    def words(self, rank: int) -> str:
        return self.said[rank].read_text()

    def wait_for(self, folder: RunFolder, epochs: int) -> None:
        while len(folder.read_metrics()) < epochs:
            assert all(rank.is_alive() for rank in self.ranks), self.words(0)
            time.sleep(0.001)


Launch = Callable[..., Together]


@pytest.fixture
def launch(context: Any, home: Path) -> Launch:
    return lambda ranks, arguments, **variables: Together(context, home, ranks, arguments, **variables)


@pytest.fixture(scope="module")
def alone(context: Any, home: Path) -> Path:
    """The run of a single process."""
    run = Together(context, home, 1, settings(home, "alone"))
    assert run.ended() == [0], run.words(0)
    return home / "alone"


def assert_same_run(found: Path, expected: Path, *, tolerance: float = 1e-5) -> None:
    """Compare values and weights within `tolerance`; frequencies, plans and counts exactly."""
    one, other = (ValueStore.open(path / "values.zarr") for path in (found, expected))
    for epoch in range(EPOCHS):
        value, frequency = one.read(epoch)
        np.testing.assert_allclose(value, other.read(epoch)[0], atol=tolerance)
        np.testing.assert_array_equal(frequency, other.read(epoch)[1])
        np.testing.assert_allclose(one.read_latest(epoch), other.read_latest(epoch), atol=tolerance)
    for plan, same in zip(*(PlanStore(path / "plans.zarr").read_all() for path in (found, expected)), strict=True):
        for name in ("kept", "partner", "epsilon"):
            np.testing.assert_array_equal(getattr(plan, name), getattr(same, name))
        np.testing.assert_allclose(plan.weight, same.weight, rtol=tolerance)
    for name in ("weights.safetensors", "best.safetensors"):
        weights, same_weights = (load_weights(path / name).state for path in (found, expected))
        assert weights.keys() == same_weights.keys()
        for key, tensor in weights.items():
            torch.testing.assert_close(tensor, same_weights[key], atol=tolerance, rtol=tolerance)
    predicted, same_predicted = (read_predictions(path / "predictions.safetensors") for path in (found, expected))
    assert predicted is not None
    assert same_predicted is not None
    np.testing.assert_array_equal(predicted.labels, same_predicted.labels)
    assert (predicted.likeliest == same_predicted.likeliest).mean() > 0.99, "what is rounded may turn over two classes"
    for line, same_line in zip(*(RunFolder(path).read_metrics() for path in (found, expected)), strict=True):
        for key in ("epoch", "samples", "rows", "steps", "test_accuracy"):
            assert line[key] == same_line[key], key
        assert line["loss"] == pytest.approx(same_line["loss"], abs=tolerance)
        assert line["train_accuracy"] == pytest.approx(same_line["train_accuracy"])


@pytest.mark.parametrize("ranks", [2, 3])
def test_several_ranks_are_the_run_of_one_process(home: Path, alone: Path, launch: Launch, ranks: int) -> None:
    run = launch(ranks, settings(home, f"ranks-{ranks}"))
    assert run.ended() == [0] * ranks, run.words(0)
    assert_same_run(home / f"ranks-{ranks}", alone)
    assert f"after {EPOCHS} epochs" in run.words(0)
    assert [run.words(rank) for rank in range(1, ranks)] == [""] * (ranks - 1), "rank 0 speaks for all"
    assert {line["ranks"] for line in RunFolder(home / f"ranks-{ranks}").read_metrics()} == {ranks}


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


def test_ranks_that_stream_in_windows_are_the_run_of_one_process(home: Path, launch: Launch) -> None:
    whole = 2 * 300 * KnowledgeStore.open(home / "store.zarr").row_bytes
    small = {"store__memory": whole - 1, "distill__batch_size": 32}
    for ranks in (1, 2):
        run = launch(ranks, settings(home, f"windows-{ranks}", **small))
        assert run.ended() == [0] * ranks, run.words(0)
    assert "block shuffle" in RunFolder(home / "windows-2").read_summary()["streaming"]
    assert_same_run(home / "windows-2", home / "windows-1")


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
    """Of 149, 149 and 2 samples, the first two batches are one step; the last has none for the third of three ranks."""
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
