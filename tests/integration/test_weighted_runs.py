"""Policies that weigh samples: their plans are shown, followed by another student, and exported with the weights."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tests.support.plain_zarr import read_array

from kcd_pipeline.cli import main
from kcd_stores import PlanStore

RECIPE: dict[str, Any] = {
    "data.limit_per_class": 20,
    "teacher.model": "resnet8",
    "teacher.epochs": 1,
    "store.views": 1,
    "distill.epochs": 4,
    "condense.interval": 2,
    "condense.finish": 0.25,
    "run.threads": 1,
}
STAGE = {"infobatch": 2, "weighted": 3}  # that is exported, from 0; the finish of infobatch, stage 3, has no weights


def cli(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def distill(home: Path, run: str, *more: str, command: str = "distill") -> Result:
    places = {
        "teacher.weights": home / "teacher.safetensors",
        "store.path": home / "store.zarr",
        "run.dir": home / run,
    }
    settings = [*(f"{key}={value}" for key, value in (RECIPE | places).items()), *more]
    return cli(command, "digits", *(word for setting in settings for word in ("--set", setting)))


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher, a store, and a run of each policy."""
    folder = tmp_path_factory.mktemp("weighted")
    for command in ("train-teacher", "extract-teacher"):
        done(distill(folder, "none", command=command))
    for policy in STAGE:
        done(distill(folder, policy, f"condense.policy={policy}"))
    return folder


def plan_arrays(run: Path, stage: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the kept samples and their weights, from plain zarr."""
    folder = run / "plans.zarr" / f"stage-{stage:03d}"
    return read_array(folder, "kept"), read_array(folder, "weight")


@pytest.mark.parametrize("policy", STAGE)
def test_another_student_follows_its_plans_with_their_weights(home: Path, policy: str) -> None:
    more = [f"condense.policy={policy}", f"condense.plans_from={home / policy}", "student.model=resnet14"]
    done(distill(home, f"{policy}-followed", *more))
    theirs, ours = (list(PlanStore(home / run / "plans.zarr").read_all()) for run in (policy, f"{policy}-followed"))
    assert [plan.digest for plan in ours] == [plan.digest for plan in theirs]
    assert [plan.epoch for plan in ours] == [0, 1, 2, 3]
    assert ours[STAGE[policy]].weighted
    text = done(cli("inspect", home / f"{policy}-followed"))
    assert f"kcd, {policy}, given plans" in text
    assert "weights" in text


def test_plans_of_single_epochs_are_not_followed_by_stages_of_two(home: Path) -> None:
    result = distill(home, "refused", f"condense.plans_from={home / 'weighted'}")
    assert result.exit_code == 2
    text = " ".join(result.stderr.split())
    assert "open at epochs 1, 2, 3, 4, those of this run at 1, 3. Name a run with the same stages, or set" in text
    assert "condense.policy" in text


@pytest.mark.parametrize("policy", STAGE)
def test_a_condensed_set_carries_the_weights_and_teaches_a_student(home: Path, policy: str) -> None:
    stage, store = STAGE[policy], home / f"{policy}.zarr"
    done(cli("condense", home / policy, "--export", store, "--stage", stage + 1, "--encoding", "float16"))
    kept, weight = plan_arrays(home / policy, stage)
    assert read_array(store, "samples").tolist() == kept.tolist()
    assert read_array(store, "weight").tolist() == weight.tolist()
    facts = json.loads(done(cli("inspect", store, "--json")))["made_from"]["condensed"]
    assert facts["weighted"] is True
    assert "is sound" in done(cli("verify", store))
    done(distill(home, f"{policy}-kd", "distill.method=kd", f"store.path={store}", "distill.epochs=1"))
    (line,) = [json.loads(line) for line in (home / f"{policy}-kd" / "metrics.jsonl").read_text().splitlines()]
    assert line["samples"] == len(kept)
    result = distill(home, "refused", "distill.method=kd", f"store.path={store}", "distill.loss={name: dist}")
    assert result.exit_code == 2
    assert "a condensed set, which gives samples weights, but distill.loss.name is dist" in " ".join(
        result.stderr.split()
    )


def test_lost_weights_of_a_condensed_set_are_noticed(home: Path, tmp_path: Path) -> None:
    store = tmp_path / "set.zarr"
    done(cli("condense", home / "weighted", "--export", store))
    (store / "weight" / "c" / "0").unlink()
    result = distill(home, "refused", "distill.method=kd", f"store.path={store}")
    assert result.exit_code == 2
    assert "has no weight/c/0: it was interrupted while it was being made" in " ".join(result.stderr.split())
    done(cli("condense", home / "weighted", "--export", store))
    assert read_array(store, "weight").tolist() == plan_arrays(home / "weighted", 3)[1].tolist()


OWN = """import numpy as np
from kcd_pipeline.condensation import Choice

def doubt(*, logits, labels, teacher):
    return 1 - logits.softmax(dim=1).gather(1, labels[:, None]).squeeze(1)

def first(situation):
    return Choice(kept=np.arange(situation.keep))
"""


def test_a_run_by_parts_of_ones_own_stays_with_their_source(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "kcd_own_choices.py"
    module.write_text(OWN)
    monkeypatch.chdir(tmp_path)
    names = ("condense.value=kcd_own_choices:doubt", "condense.policy=kcd_own_choices:first")
    done(distill(home, "own", *names))
    assert read_array(home / "own" / "plans.zarr" / "stage-001", "kept").tolist() == list(range(140))
    assert read_array(home / "own" / "values.zarr", "value")[0].min() > 0
    module.write_text(f"{OWN}# another\n")
    monkeypatch.delitem(sys.modules, "kcd_own_choices")
    result = distill(home, "own", *names)
    assert result.exit_code == 2
    assert all(f"parts.{key}: found " in result.stderr for key in ("condense.value", "condense.policy"))
    module.unlink()
    monkeypatch.delitem(sys.modules, "kcd_own_choices")
    result = distill(home, "own", *names)
    assert result.exit_code == 2
    assert "there is no 'kcd_own_choices:" in result.stderr
    assert "kcd, kcd_own_choices.first, by kcd_own_choices.doubt" in done(cli("inspect", home / "own"))
    assert "kcd_own_choices.first" in done(cli("report", home / "own"))
    done(cli("condense", home / "own", "--export", home / "own.zarr"))
