"""A student that follows the plans of another run: plans it takes, plans it refuses, and changes that it notices."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result

from kcd_pipeline.cli import main
from kcd_pipeline.distillation.plans_from import PlansFromRun
from kcd_pipeline.errors import DamagedError
from kcd_stores import Plan, PlanStore, keep_all

RECIPE: dict[str, Any] = {
    "data.limit_per_class": 30,
    "teacher.model": "resnet8",
    "teacher.epochs": 3,
    "store.views": 2,
    "distill.epochs": 4,
    "condense.interval": 2,
    "run.threads": 1,
}


def kcd(command: str, folder: Path, *more: str, options: tuple[str, ...] = ()) -> Result:
    places = {
        "teacher.weights": folder / "teacher.safetensors",
        "store.path": folder / "store.zarr",
        "run.dir": folder / "{student}-{method}-{seed}",
    }
    settings = [*(f"{key}={value}" for key, value in (RECIPE | places).items()), *more]
    return CliRunner().invoke(main, [command, "digits", *options, *(w for s in settings for w in ("--set", s))])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher, a store, and a condensed resnet8."""
    folder = tmp_path_factory.mktemp("given")
    for command in ("train-teacher", "extract-teacher", "distill"):
        result = kcd(command, folder)
        assert result.exit_code == 0, result.output
    return folder


def plans(run: Path) -> list[Plan]:
    return list(PlanStore(run / "plans.zarr").read_all())


def arrays(plan: Plan) -> tuple[list[int], list[int], list[float]]:
    return plan.kept.tolist(), plan.partner.tolist(), plan.epsilon.tolist()


def test_another_student_is_taught_by_the_same_plans(home: Path) -> None:
    given = f"condense.plans_from={home}/resnet8-kcd-{{seed}}"
    result = kcd("distill", home, "student.model=resnet14", given, f"run.dir={home}/followed")
    assert result.exit_code == 0, result.output
    theirs, ours = plans(home / "resnet8-kcd-0"), plans(home / "followed")
    assert [arrays(plan) for plan in ours] == [arrays(plan) for plan in theirs]
    assert [len(plan.kept) for plan in ours] == [300, 210]
    kcd("distill", home, "student.model=resnet14", "run.dir=" + str(home / "own"))
    assert arrays(plans(home / "own")[1]) != arrays(ours[1]), "its own plans would have been others"
    text = CliRunner().invoke(main, ["inspect", str(home / "followed")]).stdout
    assert "kcd, given plans" in text
    assert f"{home}/resnet8-kcd-{{seed}}" in text


def test_given_plans_without_their_perturbations(home: Path) -> None:
    source = home / "resnet8-kcd-0"
    result = kcd("distill", home, f"condense.plans_from={source}", "condense.perturb=off", f"run.dir={home}/dropped")
    assert result.exit_code == 0, result.output
    _, second = plans(home / "dropped")
    assert second.kept.tolist() == plans(source)[1].kept.tolist()
    assert not second.low.any()
    assert plans(source)[1].low.any()


def test_a_run_is_not_resumed_on_plans_that_have_changed(home: Path, tmp_path: Path) -> None:
    source = shutil.copytree(home / "resnet8-kcd-0", tmp_path / "source")
    settings = (f"condense.plans_from={source}", f"run.dir={tmp_path / 'run'}")
    assert kcd("distill", home, *settings).exit_code == 0
    (tmp_path / "run" / "summary.json").unlink()
    other = ("seed=1", "condense.keep_ratio=0.6", f"run.dir={source}")
    assert kcd("distill", home, *other, options=("--overwrite",)).exit_code == 0
    result = kcd("distill", home, *settings, options=("--resume",))
    assert result.exit_code == 2
    assert "belongs to a run of another config" in result.stderr
    assert "plans: found " in result.stderr


def test_plans_that_are_damaged_are_not_followed(home: Path, tmp_path: Path) -> None:
    source = shutil.copytree(home / "resnet8-kcd-0", tmp_path / "source")
    epsilon: Any = zarr.open_group(source / "plans.zarr", mode="r+")["stage-001/epsilon"]
    epsilon[:] = np.asarray(epsilon[:]) / 2
    result = kcd("distill", home, f"condense.plans_from={source}", f"run.dir={tmp_path / 'run'}")
    assert result.exit_code == 1
    assert "plans.zarr/stage-001: it is not the plan that was written there" in result.stderr


@pytest.mark.parametrize(
    ("given", "settings", "said"),
    [
        ("nowhere", [], "there is no run at"),
        ("teacher.training", [], "is no student's run, which has no plans; expected a run of method kcd"),
        ("resnet8-kcd-0", ["distill.epochs=6"], "open at epochs 1, 3, those of this run at 1, 3, 5"),
        ("resnet8-kcd-0", ["condense.interval=1"], "open at epochs 1, 3, those of this run at 1, 2, 3, 4"),
        ("resnet8-kcd-0", ["distill.epochs=20"], "1, 3, those of this run at 1, 3, 5, 7, ..., 17, 19. Name a run"),
        ("resnet8-kcd-0", ["run.dir={home}/resnet8-kcd-0"], "is this run's own folder"),
        ("resnet8-{teacher}", [], "condense.plans_from: it holds {teacher}, but what is filled in is {student}"),
    ],
)
def test_what_cannot_give_plans_is_refused(home: Path, given: str, settings: list[str], said: str) -> None:
    more = [setting.format(home=home) for setting in (f"run.dir={home}/refused", *settings)]
    result = kcd("distill", home, f"condense.plans_from={home}/{given}", *more)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert not (home / "refused").exists(), "nothing was begun"


def test_plans_of_a_run_that_does_not_condense_or_of_other_data_are_refused(home: Path) -> None:
    assert kcd("distill", home, "distill.method=kd").exit_code == 0
    result = kcd("distill", home, f"condense.plans_from={home}/resnet8-kd-0")
    assert "is a run of method kd, which has no plans" in result.stderr
    other = ["data.limit_per_class=20", f"store.path={home / 'other.zarr'}"]
    assert kcd("extract-teacher", home, *other).exit_code == 0
    result = kcd("distill", home, *other, f"condense.plans_from={home}/resnet8-kcd-0", f"run.dir={home}/refused")
    assert result.exit_code == 2
    assert "condensed other data than this run trains on" in result.stderr
    assert "(digits, 200 samples)" in result.stderr


def test_a_plan_that_is_replaced_while_it_is_followed_is_noticed(tmp_path: Path) -> None:
    """Plans of a run of the first format, of which no checksum was recorded."""
    plans = PlanStore(tmp_path / "plans.zarr")
    plans.write(keep_all(4))
    followed = PlansFromRun(PlanStore(plans.path), 1, perturbed=True)
    assert followed.plan(0).kept.tolist() == [0, 1, 2, 3]
    whole = keep_all(4)
    fewer = {name: getattr(whole, name)[:3] for name in ("kept", "partner", "epsilon", "weight")}
    plans.write(replace(whole, **fewer))
    with pytest.raises(DamagedError, match=r"the plan of stage 0 at .*plans\.zarr was replaced while it was followed"):
        followed.plan(0)
