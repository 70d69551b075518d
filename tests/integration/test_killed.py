"""Real processes, killed with SIGKILL at random and at the worst moments: nothing is lost, nothing differs.

Children come from a fork server that has torch loaded, so that each starts in a fraction of a second.
"""

import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.files import file_contents, knowledge_contents
from tests.support.forks import forks
from tests.support.killed import EPOCHS, kill, settings, start, train, train_and_die
from tests.support.plain_zarr import open_array, read_array
from tests.support.runs import run_facts

from kcd_pipeline.config import Config
from kcd_pipeline.distillation import distill
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.teacher import train_teacher
from kcd_stores import KnowledgeStore, KnowledgeWriter
from kcd_stores.knowledge import creation


@pytest.fixture(scope="module")
def context() -> Any:
    return forks()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained teacher and a whole store."""
    folder = tmp_path_factory.mktemp("killed")
    config = settings(folder / "run")
    train_teacher(config)
    extract_teacher(config)
    return folder


# --- extraction ---------------------------------------------------------------------------------------------


def extract(config: Config, ready: Path) -> None:
    ready.touch()
    extract_teacher(config)


@pytest.fixture(scope="module")
def undisturbed(context: Any, home: Path) -> tuple[dict[str, bytes], float]:
    """The bytes of a store whose extraction nothing disturbed, and how many seconds it took in a child."""
    config = settings(home / "run", store__path=home / "undisturbed.zarr", store__views=24)
    started = wait_until_ready(context, config, home / "undisturbed.ready")
    started[0].join(120)
    assert started[0].exitcode == 0
    return knowledge_contents(config.store.path), time.perf_counter() - started[1]


def wait_until_ready(context: Any, config: Config, ready: Path) -> tuple[BaseProcess, float]:
    process = start(context, extract, config, ready)
    while not ready.exists():
        assert process.is_alive(), f"the child died before it began, with {process.exitcode}"
        time.sleep(0.001)
    return process, time.perf_counter()


@pytest.mark.parametrize("moment", range(10))
def test_extraction_killed_at_a_random_moment_and_finished_has_the_same_bytes(
    context: Any, home: Path, undisturbed: tuple[dict[str, bytes], float], moment: int
) -> None:
    expected, seconds = undisturbed
    config = settings(home / "run", store__path=home / f"killed-{moment}.zarr", store__views=24)
    # a random moment within each tenth of the whole
    delay = seconds * (moment + random.Random(moment).random()) / 10
    process, _ = wait_until_ready(context, config, home / f"killed-{moment}.ready")
    process.join(delay)
    kill(process)
    extract_teacher(config)
    assert knowledge_contents(config.store.path) == expected
    assert np.isfinite(read_array(config.store.path, "seconds")).all()


def test_the_next_call_makes_only_what_is_missing(context: Any, home: Path) -> None:
    config = settings(home / "run", store__path=home / "again.zarr")
    first = extract_teacher(config)
    assert (first.blocks_made, first.blocks_found) == (4 * 5, 0)  # 4 views of 300 samples in blocks of 64
    before = knowledge_contents(config.store.path)
    open_array(config.store.path, "complete", "r+")[2, 3] = 0
    second = extract_teacher(config)
    assert (second.blocks_made, second.blocks_found) == (1, 19)
    assert knowledge_contents(config.store.path) == before
    assert extract_teacher(config).blocks_made == 0


# --- distillation -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def never_stopped(home: Path) -> dict[str, Any]:
    config = settings(home / "never-stopped")
    distill(config)
    facts = run_facts(config.run_dir)
    assert [len(plan[0]) for plan in facts["plans"]] == [300, 255, 210]  # 100, 85 and 70 percent
    assert len(facts["metrics"]) == EPOCHS
    return facts


@pytest.mark.parametrize("epoch", range(1, EPOCHS))
def test_a_run_killed_after_any_epoch_and_resumed_is_the_run_never_stopped(
    context: Any, home: Path, never_stopped: dict[str, Any], epoch: int
) -> None:
    config = settings(home / f"killed-after-{epoch}")
    folder = RunFolder(config.run_dir)
    process = start(context, train, config)
    while process.is_alive() and len(folder.read_metrics()) < epoch:
        time.sleep(0.001)
    kill(process)
    distill(config, resume=True)
    assert run_facts(config.run_dir) == never_stopped


@pytest.mark.parametrize(
    ("where", "occasion"),
    [
        ("values are written", 1),
        ("values are written", 4),
        ("a plan is written", 1),
        ("a plan is written", 3),
        ("the ranking is made", 1),
        ("metrics are written", 3),
        ("best weights are written", 2),
        ("a checkpoint is begun", 1),
        ("a checkpoint is begun", 4),
        ("a manifest is written", 3),
        ("a checkpoint is renamed", 3),
        ("older checkpoints are removed", 3),
        ("the summary is written", 1),
    ],
)
def test_a_run_killed_at_the_worst_moment_and_resumed_is_the_run_never_stopped(
    context: Any, home: Path, never_stopped: dict[str, Any], where: str, occasion: int
) -> None:
    config = settings(home / f"killed-when {where} {occasion}")
    process = start(context, train_and_die, config, where, occasion)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    distill(config, resume=True)
    assert run_facts(config.run_dir) == never_stopped


@pytest.mark.loops
def test_runs_killed_again_and_again_are_the_run_never_stopped(
    context: Any, home: Path, never_stopped: dict[str, Any]
) -> None:
    """Each run is killed at random moments until it ends by itself."""
    moments, kills, runs = random.Random(12), 0, 0
    while kills < 10:
        config = settings(home / f"again-and-again-{runs}")
        runs += 1
        while True:
            process = start(context, train, config)
            process.join(moments.uniform(0.2, 2) if kills < 10 else 120)
            if not kill(process):
                break
            kills += 1
        assert run_facts(config.run_dir) == never_stopped


@pytest.mark.parametrize(
    "ablation",
    [
        {"condense__track": "latest", "condense__perturb": "pair"},
        {"condense__keep": "random", "seed": 3},
        {"condense__keep": "least", "condense__perturb": "off"},
    ],
    ids=lambda ablation: "-".join(map(str, ablation.values())),
)
def test_an_ablation_killed_and_resumed_is_the_ablation_never_stopped(
    context: Any, home: Path, never_stopped: dict[str, Any], ablation: dict[str, Any]
) -> None:
    name = "-".join(map(str, ablation.values()))
    whole = settings(home / f"{name}-whole", **ablation)
    distill(whole)
    config = settings(home / f"{name}-killed", **ablation)
    folder = RunFolder(config.run_dir)
    process = start(context, train, config)
    while process.is_alive() and len(folder.read_metrics()) < 3:  # in the middle of the second stage
        time.sleep(0.001)
    kill(process)
    distill(config, resume=True)
    facts = run_facts(whole.run_dir)
    assert run_facts(config.run_dir) == facts
    assert facts["kept"] == never_stopped["kept"], "the schedule is the same"
    assert facts["weights"] != never_stopped["weights"]
    assert any(plan[1] != [-1] * len(plan[1]) for plan in facts["plans"]) == ("off" not in ablation.values())


@pytest.mark.loops
@pytest.mark.parametrize("policy", ["infobatch", "weighted"])
def test_a_policy_killed_and_resumed_is_the_policy_never_stopped(context: Any, home: Path, policy: str) -> None:
    """Killed when the plan of the fourth epoch, a stage of its own, is about to be made."""
    keys = {"condense__policy": policy, "condense__balance": "class"}
    whole, config = (settings(home / f"{policy}-{name}", **keys) for name in ("whole", "killed"))
    distill(whole)
    process = start(context, train_and_die, config, "the ranking is made", 3)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert len(RunFolder(config.run_dir).read_metrics()) == 3
    distill(config, resume=True)
    assert run_facts(config.run_dir) == run_facts(whole.run_dir)


def test_a_teacher_killed_and_trained_on_is_the_teacher_never_stopped(context: Any, home: Path) -> None:
    config = settings(home / "run", teacher__weights=home / "killed-teacher.safetensors")
    folder = RunFolder(home / "killed-teacher.training")
    process = start(context, train_teacher, config)
    while process.is_alive() and len(folder.read_metrics()) < 1:
        time.sleep(0.001)
    kill(process)
    trained = train_teacher(config)
    assert not trained.already
    assert trained.weights.read_bytes() == (home / "teacher.safetensors").read_bytes()
    assert train_teacher(config).already


# --- signals ------------------------------------------------------------------------------------------------


def interrupted_cli(arguments: list[str]) -> None:
    from kcd_pipeline.cli import main

    main(arguments, prog_name="kcd-pipeline")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_with_a_line_and_loses_nothing(
    context: Any, home: Path, never_stopped: dict[str, Any], number: int, code: int
) -> None:
    config = settings(home / f"interrupted-{code}")
    folder = RunFolder(config.run_dir)
    plain = home / "interrupted.yaml"
    plain.write_text(_yaml(config))
    process = start(context, interrupted_cli, ["distill", str(plain)])
    while process.is_alive() and len(folder.read_metrics()) < 2:
        time.sleep(0.001)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == code
    distill(config)
    assert run_facts(config.run_dir) == never_stopped


def _yaml(config: Config) -> str:
    import yaml

    return yaml.safe_dump(config.plain())


def test_two_processes_extracting_the_same_rows_write_the_same_bytes(home: Path) -> None:
    """A block depends only on its place, so finishing another's store is safe."""
    one = settings(home / "run", store__path=home / "one.zarr", store__views=2)
    extract_teacher(one)
    whole = KnowledgeStore.open(home / "shared.zarr")
    np.testing.assert_array_equal(KnowledgeStore.open(home / "one.zarr").read_view(1), whole.read_view(1))


# --- growing ------------------------------------------------------------------------------------------------


def test_a_grown_store_is_the_store_that_was_made_at_once(home: Path) -> None:
    """The older views stay untouched, and a reader who has the store open is not disturbed."""
    config = settings(home / "run", store__path=home / "growing.zarr", store__views=2)
    extract_teacher(config)
    reader = KnowledgeStore.open(config.store.path)
    first, identity = reader.read_view(1), reader.identity
    before = file_contents(Path(config.store.path, "logits", "c"))

    grown = extract_teacher(settings(home / "run", store__path=home / "growing.zarr"))
    assert (grown.blocks_made, grown.blocks_found) == (2 * 5, 2 * 5)
    assert grown.store.identity == identity
    after = file_contents(Path(config.store.path, "logits", "c"))
    assert {name: after[name] for name in before} == before
    np.testing.assert_array_equal(reader.read_view(1), first)
    assert knowledge_contents(config.store.path) == knowledge_contents(home / "shared.zarr")


def grow_and_die(path: str) -> None:
    """Die after the arrays have grown, and before the layout says so."""
    writer = KnowledgeWriter.open(path)

    def dying(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    creation.group_document = dying  # type: ignore[assignment]  # the worst moment
    writer.grow(4)


def test_a_store_killed_while_growing_is_grown_by_the_next_call(context: Any, home: Path) -> None:
    config = settings(home / "run", store__path=home / "half-grown.zarr", store__views=2)
    extract_teacher(config)
    process = start(context, grow_and_die, config.store.path)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    KnowledgeStore.open(config.store.path).require_views(2)
    extract_teacher(settings(home / "run", store__path=home / "half-grown.zarr"))
    assert knowledge_contents(config.store.path) == knowledge_contents(home / "shared.zarr")


@pytest.mark.loops
def test_fifty_random_kills_in_a_loop_then_finishing(
    context: Any, home: Path, undisturbed: tuple[dict[str, bytes], float]
) -> None:
    """The making is killed again and again; a store that is finished is compared, and another one is begun."""
    expected, seconds = undisturbed
    moments, kills, attempt, stores = random.Random(50), 0, 0, 0
    config = settings(home / "run", store__path=home / "fifty-0.zarr", store__views=24)
    while kills < 50:
        attempt += 1
        process, _ = wait_until_ready(context, config, home / f"fifty-{attempt}.ready")
        process.join(moments.uniform(0, seconds / 3))
        if kill(process):
            kills += 1
        else:
            assert knowledge_contents(config.store.path) == expected
            stores += 1
            config = settings(home / "run", store__path=home / f"fifty-{stores}.zarr", store__views=24)
    extract_teacher(config)
    assert knowledge_contents(config.store.path) == expected
