"""The dry run of a study, and the report that a study's file is given to: commands over one tiny store of digits."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.commands import run_command, succeed
from tests.support.recipes import small_recipe

from kcd_pipeline.config import load_study
from kcd_pipeline.extraction import estimate
from kcd_pipeline.study import plan_study
from kcd_pipeline.study.rows import expected_samples, follows_schedule

STUDY = """
title: Does condensation pay?
base: digits
set:
  data.limit_per_class: 10
  teacher.model: resnet8
  teacher.epochs: 1
  teacher.weights: made/teacher.safetensors
  store.path: made/store.zarr
  store.views: 2
  distill.epochs: 2
  condense.interval: 1
  run.device: cpu
  run.dir: made/{variant}-seed{seed}
seeds: 2
vary:
  arms:
    kd: {distill.method: kd}
    kcd: {}
    infobatch: {condense.policy: infobatch, condense.perturb: 'off'}
compare:
  - {arms: [kcd, kd], budget: rows}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a study, in which the tests of this file are, one after the other."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "question.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys.modules[estimate.__module__], "TRIAL_SECONDS", 0.0)  # its package has a function of its name
        yield folder


@pytest.fixture(scope="module")
def before(folder: Path) -> str:
    """Lines of a dry run before anything is made."""
    said = succeed("study", "question.yaml", "--dry-run", "--jobs", 2)
    assert [path.name for path in folder.iterdir()] == ["question.yaml"]
    return said


@pytest.fixture(scope="module")
def begun(folder: Path, before: str) -> Path:
    """The folder once the store and one run are made, by the commands that a study stands for."""
    run = plan_study(load_study("question.yaml")).runs[0]
    settings = [word for override in run.overrides for word in ("--set", override)]
    for command in ("train-teacher", "extract-teacher", "distill"):
        succeed(command, run.base, *settings)
    return folder


def test_before_anything_is_made_it_says_all_that_is_to_be_made(before: str) -> None:
    """100 samples; kcd keeps 100% of them in the first of two epochs, and 70% in the second."""
    *arms, store, whole = before.splitlines()
    assert arms == [
        "kd: 2 runs (2 to do) of 200 rows each",
        "kcd: 2 runs (2 to do) of 170 rows each",
        "infobatch: 2 runs (2 to do) of up to 200 rows each",
        "kd at the rows of kcd: 2 runs (2 to do) of 170 rows each",
    ]
    # 2 views of 100 rows of 10 float16: 4,000 bytes before compression
    assert store.startswith("Store made/store.zarr: to be made, 200 rows, up to 4.0 kB, about ")
    assert "once the teacher resnet8 has been trained into made/teacher.safetensors (1 epoch, about " in store
    assert whole.startswith("To do: 8 of 8 runs, up to 1,480 rows, about ")
    assert "2 at a time (--jobs); with teacher and store about " in whole
    assert whole.endswith("from a trial of 100 rows.")


def test_a_report_of_a_study_that_was_not_begun_says_how_to_begin_it(before: str) -> None:
    ended = run_command("report", "question.yaml")
    assert ended.exit_code == 2
    said = " ".join(ended.stderr.split())
    assert "no run of the study has been begun" in said
    assert "the first would be made/kd-" in said
    assert "`kcd-pipeline study question.yaml`" in said


def test_what_is_made_is_not_counted_again_and_is_what_time_is_taken_from(begun: Path) -> None:
    arm, *_, store, whole = succeed("study", "question.yaml", "--dry-run").splitlines()
    assert arm == "kd: 2 runs (1 done, 1 to do) of 200 rows each"
    assert store.startswith("Store made/store.zarr: there, ")
    assert whole.startswith("To do: 7 of 8 runs, up to 1,280 rows, about ")
    assert "with teacher and store" not in whole
    assert whole.endswith("from the finished run.")


def test_another_store_of_a_teacher_that_is_there_is_measured(begun: Path) -> None:
    *_, store, whole = succeed("study", "question.yaml", "--dry-run", "--set", "store.path=made/b.zarr").splitlines()
    assert store.startswith("Store made/b.zarr: to be made, 200 rows, about ")
    assert store.endswith("by the teacher made/teacher.safetensors; from a trial.")
    assert "with teacher and store about " in whole
    assert not (begun / "made" / "b.zarr").exists()


def test_a_report_of_a_study_compares_what_is_finished(begun: Path) -> None:
    said = " ".join(succeed("report", "question.yaml").split())
    assert "kd" in said
    assert not list(begun.glob("*.html"))


def test_a_report_of_a_study_that_was_overridden_takes_the_same_overrides(begun: Path) -> None:
    runs = ("--set", "run.dir=made/{variant}-seed{seed}")  # as the file has it
    assert succeed("report", "question.yaml", *runs) == succeed("report", "question.yaml")
    ended = run_command("report", "question.yaml", "--set", "run.dir=others/{variant}-seed{seed}")
    assert ended.exit_code == 2
    assert "the first would be others/kd-" in " ".join(ended.stderr.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("study", "question.yaml", "--dry-run", "--scheduler", "tcp://127.0.0.1:1"), "leave --scheduler out"),
        (("report", "question.yaml", "made"), "give one study alone, or folders of runs"),
        (("report", "made", "--set", "run.seed=1"), "--set is for a study"),
        (("study", "questions.yaml", "--dry-run"), "questions.yaml"),
    ],
)
def test_what_does_not_go_together_is_refused(begun: Path, words: tuple[str, ...], message: str) -> None:
    ended = run_command(*words)
    assert ended.exit_code == 2
    assert message in " ".join(ended.stderr.split())


@pytest.mark.parametrize(
    ("condense", "rows", "exact"),
    [
        ({}, 340, True),  # of 200: 200 in the first epoch, 70% of them in the second
        ({"policy": "rs2"}, 340, True),
        ({"policy": "weighted"}, 340, False),  # one that is drawn twice is taught once
        ({"policy": "infobatch"}, 400, False),
        ({"policy": "mine:keep"}, 400, False),
        ({"plans_from": "runs/other"}, 400, False),
    ],
)
def test_rows_that_training_decides_are_the_most_that_there_can_be(
    condense: dict[str, str], rows: int, exact: bool
) -> None:
    blends = {} if "policy" not in condense else {"perturb": "off"}
    config = small_recipe(condense={"interval": 1} | condense | blends)
    assert expected_samples(config, 200) == rows
    assert follows_schedule(config) is exact
