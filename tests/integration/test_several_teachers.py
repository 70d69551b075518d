"""Whole commands with two teachers: their stores, students of their blend, refusals, and a run that is killed."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tests.support.commands import run_command, succeed
from tests.support.forks import forks
from tests.support.runs import run_facts

from kcd_pipeline.config import load_config
from kcd_pipeline.distillation import distill
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.epoch import StepOutcome
from kcd_stores import KnowledgeStore


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe of two teachers, both trained and stored by one call of each command."""
    folder = tmp_path_factory.mktemp("teachers")
    recipe = {
        "extends": "digits",
        "data": {"name": "digits", "limit_per_class": 10, "test_limit_per_class": 5},
        "teacher": [
            {"model": "resnet8", "weights": f"{folder}/a.safetensors", "store": f"{folder}/a.zarr", "epochs": 1},
            {"model": "resnet14", "weights": f"{folder}/b.safetensors", "store": f"{folder}/b.zarr", "weight": 3},
        ],
        "store": {"views": 2},
        "distill": {"epochs": 4, "method": "kd"},
        "condense": {"interval": 1},
        "run": {"dir": f"{folder}/{{student}}-{{variant}}", "threads": 1, "device": "cpu"},
    }
    (folder / "two.yaml").write_text(yaml.safe_dump(recipe))
    trained = succeed("train-teacher", folder / "two.yaml")
    assert trained.count("trained in") == 2
    assert succeed("extract-teacher", folder / "two.yaml").count("2 blocks made") == 2
    return folder


def words(home: Path, *overrides: str) -> list[str]:
    return [str(home / "two.yaml"), *(word for override in overrides for word in ("--set", override))]


def refusal(*arguments: object) -> str:
    ended = run_command(*arguments)
    assert ended.exit_code == 2, ended.output
    return " ".join(ended.output.split())


def test_a_student_is_taught_the_weighted_mean_at_the_temperature(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets of the loss are, as softmax at T = 4, a quarter of the first teacher and three of the second."""
    seen: list[tuple[np.ndarray, torch.Tensor]] = []
    objective = StudentCurriculum._objective

    def noting(self: StudentCurriculum, taught: Any, rows: Any, *rest: Any) -> StepOutcome:
        seen.append((rest[-1], taught.batch(rows, rest[-1])))
        return objective(self, taught, rows, *rest)

    monkeypatch.setattr(StudentCurriculum, "_objective", noting)
    distill(load_config(str(home / "two.yaml"), ["distill.epochs=1", f"run.dir={home / 'noted'}"]))
    first, second = (
        torch.from_numpy(KnowledgeStore.open(home / name).read_view(0).astype(np.float64))
        for name in ("a.zarr", "b.zarr")
    )
    expected = (torch.softmax(first / 4, dim=1) + 3 * torch.softmax(second / 4, dim=1)) / 4
    assert sorted(np.concatenate([index for index, _ in seen]).tolist()) == list(range(100))
    for index, targets in seen:
        torch.testing.assert_close(torch.softmax(targets.double() / 4, dim=1), expected[index], rtol=1e-5, atol=1e-7)


def test_commands_and_reports_tell_of_both(home: Path) -> None:
    said = succeed("distill", *words(home))
    assert "resnet8-kd-2-teachers" in said
    run = RunFolder(home / "resnet8-kd-2-teachers")
    stores = [KnowledgeStore.open(home / name).identity for name in ("a.zarr", "b.zarr")]
    origin = run.read_origin()
    assert [origin["store"], *origin["other_stores"]] == stores
    assert [store["identity"] for store in run.read_summary()["other_stores"]] == stores[1:]
    succeed("distill", *words(home, "distill.method=kcd", "distill.blend=logits"))
    succeed("distill", *words(home, "other_teachers=[]", f"run.dir={home / 'one'}"))
    runs = [run.path, home / "resnet8-kcd-2-teachers-mean-of-logits", home / "one"]
    report = json.loads(succeed("report", *runs, "--json"))
    assert [arm["name"] for arm in report["arms"]] == [
        "kd resnet8 (2 teachers)",
        "kcd resnet8 (2 teachers, mean of logits)",
        "kd resnet8",
    ]
    assert [len(found["other_stores"]) for found in report["runs"]] == [1, 1, 0]
    assert "A+B" in succeed("report", *runs)
    assert "the store of one" in refusal("condense", runs[1], "--export", home / "exported.zarr")
    facts = json.loads(succeed("inspect", run.path, "--json"))
    assert [(teacher["model"], teacher["weight"]) for teacher in facts["teachers"]] == [("resnet8", 1), ("resnet14", 3)]
    assert "resnet14 (weight 3" in succeed("inspect", run.path)


def test_a_store_is_verified_with_its_own_teacher(home: Path) -> None:
    assert "made again by the teacher" in succeed("verify", home / "b.zarr", "--teacher", home / "two.yaml")
    shutil.copytree(home / "b.zarr", home / "copy.zarr")
    assert "the store of none of them" in refusal("verify", home / "copy.zarr", "--teacher", home / "two.yaml")


def test_stores_that_do_not_match_the_recipe_or_each_other_are_refused(home: Path) -> None:
    second = f"{{model: resnet14, weights: {home}/b.safetensors, store: {home}/%s.zarr}}"
    other = f"teacher=[{second % 'padded'}]"
    succeed("extract-teacher", *words(home, other, "augmentation.padding=2"))
    said = refusal("distill", *words(home, f"other_teachers=[{second % 'padded'}]"))
    assert f"{home}/padded.zarr was made from something else" in said
    assert "augmentation.padding: found 2, expected 1" in said
    succeed("extract-teacher", *words(home, f"teacher=[{second % 'short'}]", "store.views=1"))
    assert f"{home}/short.zarr has 1 views" in refusal("distill", *words(home, f"other_teachers=[{second % 'short'}]"))
    images = words(home, "data.limit_per_class=9", f"teacher=[{second % 'fewer'}]")
    succeed("extract-teacher", *images)
    said = refusal("distill", *words(home, f"other_teachers=[{second % 'fewer'}]"))
    assert "dataset.fingerprint" in said
    missing = refusal("distill", *words(home, f"other_teachers=[{second % 'missing'}]"))
    assert f"no knowledge store at {home}/missing.zarr" in missing
    assert "kcd-pipeline extract-teacher" in missing


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("distill.method=kcd", "condense.perturb=teacher"), "by which one teacher is shown blended pictures"),
        (("distill.loss.name=pkt",), "has none"),
    ],
)
def test_what_one_teacher_alone_can_do_is_refused(home: Path, overrides: tuple[str, ...], said: str) -> None:
    assert said in refusal("distill", *words(home, *overrides, f"run.dir={home / 'refused'}"))
    assert not (home / "refused").exists()


def test_a_run_goes_on_only_with_the_same_teachers(home: Path, tmp_path: Path) -> None:
    run = f"run.dir={tmp_path / 'run'}"
    succeed("distill", *words(home, run, "distill.epochs=1"))
    second = f"{{model: resnet14, weights: {home}/b.safetensors, store: {home}/b.zarr, weight: 2, epochs: 1}}"
    said = refusal("distill", *words(home, run, "distill.epochs=1", f"other_teachers=[{second}]"))
    assert "other_teachers.0.weight: found 3.0, expected 2.0" in said


@pytest.mark.loops
def test_windows_hold_blended_rows(home: Path, tmp_path: Path) -> None:
    small = words(home, "distill.method=kcd", "store.memory=7kB", "distill.batch_size=8", f"run.dir={tmp_path / 'run'}")
    succeed("distill", *small)
    assert "block shuffle" in RunFolder(tmp_path / "run").read_summary()["streaming"]


def train_and_die(recipe: str, overrides: list[str]) -> None:
    """Train, and die just before the second checkpoint."""
    import kcd_pipeline.training.recorder as recorder

    owner: Any = recorder
    original, calls = owner.save_checkpoint, 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    owner.save_checkpoint = dying
    distill(load_config(recipe, overrides))


@pytest.mark.loops
def test_a_run_that_is_killed_ends_with_the_weights_of_one_never_stopped(home: Path, tmp_path: Path) -> None:
    recipe, chosen = str(home / "two.yaml"), ["distill.method=kcd", "condense.perturb=pair"]
    distill(load_config(recipe, [*chosen, f"run.dir={tmp_path / 'whole'}"]))
    killed = [*chosen, f"run.dir={tmp_path / 'killed'}"]
    process = forks().Process(target=train_and_die, args=(recipe, killed))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    distill(load_config(recipe, killed), resume=True)
    assert run_facts(tmp_path / "killed") == run_facts(tmp_path / "whole")
