"""The stages by the functions of kcd_pipeline, on a few digits: what they return, and what a second call does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.support.files import file_contents
from tests.support.python_interface import few_digits

import kcd_pipeline
from kcd_pipeline.api.runs import Run
from kcd_pipeline.api.teachers import Store, Teacher
from kcd_pipeline.cli import main
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import load_weights, weights_hash
from kcd_pipeline.runs import RunFolder
from kcd_stores import KnowledgeStore, PlanStore, ValueStore


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Teacher, Store, Run]:
    """A recipe, and all that its stages make."""
    keys = few_digits(tmp_path_factory.mktemp("stages"))
    return keys, kcd_pipeline.train_teacher(keys), kcd_pipeline.extract_teacher(keys), kcd_pipeline.distill(keys)


def test_each_stage_returns_what_a_notebook_wants(made: tuple[dict[str, Any], Teacher, Store, Run]) -> None:
    _, teacher, store, run = made
    assert weights_hash(teacher.load().state_dict()) == weights_hash(load_weights(teacher.weights).state)
    assert store.open().read_view(1).shape == (store.samples, store.classes) == (120, 10)
    assert (store.teacher_accuracy, store.blocks_found) == (teacher.test_accuracy, 0)
    assert run.finished
    assert run.test_accuracy == run.metrics[-1]["test_accuracy"]
    assert run.frequencies().sum() == run.summary["rows_trained"]
    np.testing.assert_array_equal(run.all_values()[1].compute(), run.values(1))
    assert [len(plan.kept) for plan in run.plans()] == [120, 102, 84]  # 100, 85 and 70%
    predictions = run.predictions()
    assert predictions is not None
    assert (predictions.likeliest[:, 0] == predictions.labels).mean() == run.test_accuracy
    images = torch.zeros(1, 1, 8, 8)
    assert run.load().model(images).shape == (1, 10)
    with pytest.raises(UserError, match="no epoch 3: 3 are done"):
        run.values(3)


def test_whatever_opens_something_takes_a_text_or_a_path(made: tuple[dict[str, Any], Teacher, Store, Run]) -> None:
    _, teacher, store, run = made
    for kind in (str, Path):
        np.testing.assert_array_equal(ValueStore.open(kind(run.path / "values.zarr")).read(2)[0], run.values())
        assert PlanStore(kind(run.path / "plans.zarr")).stages() == [0, 1, 2]
        assert KnowledgeStore.open(kind(store.location)).identity == store.open().identity
        assert load_weights(kind(teacher.weights)).facts["test_accuracy"] == teacher.test_accuracy
        assert kcd_pipeline.open_run(kind(run.path)) == run == Run(RunFolder(kind(run.path)).path)


def test_a_stage_that_is_called_again_returns_what_is_there(made: tuple[dict[str, Any], Teacher, Store, Run]) -> None:
    keys, teacher, _, run = made
    before = file_contents(run.path)
    assert kcd_pipeline.train_teacher(keys).already
    assert kcd_pipeline.extract_teacher(keys).blocks_made == 0
    assert kcd_pipeline.distill(keys) == run == kcd_pipeline.open_run(f"file://{run.path}")
    assert file_contents(run.path) == before
    with pytest.raises(UserError, match="is the training of a teacher"):
        kcd_pipeline.open_run(teacher.weights.with_name("teacher.training"))


def test_values_are_condensed_without_training(made: tuple[dict[str, Any], Teacher, Store, Run]) -> None:
    keys, _, _, run = made
    by_run, by_recipe = kcd_pipeline.condense(run.path), kcd_pipeline.condense(keys, stage=2)
    assert by_run.plan.digest == run.plans()[2].digest
    assert by_recipe.plan.digest == run.plans()[1].digest
    fewer = kcd_pipeline.condense(run, overrides={"condense.keep_ratio": 0.5})
    assert (len(fewer.kept), len(fewer.dropped)) == (60, 60)
    assert not set(fewer.kept) & set(fewer.dropped)
    with pytest.raises(UserError, match="suffice for stages 2 to 3"):
        kcd_pipeline.condense(run, stage=4)
    with pytest.raises(UserError, match="was not taught this plan"):
        fewer.export(run.path.parent / "set.zarr")
    exported = by_run.export(run.path.parent / "set.zarr")
    assert exported.store.layout.samples == len(by_run.kept)


@pytest.mark.parametrize(
    ("section", "key", "others"), [("condense", "policy", {}), ("data", "name", {"balance": "class"})]
)
def test_nothing_is_imported_that_only_a_run_names(
    made: tuple[dict[str, Any], Teacher, Store, Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    section: str,
    key: str,
    others: dict[str, str],
) -> None:
    *_, run = made
    monkeypatch.chdir(tmp_path)
    Path("theirs.py").write_text("raise SystemExit('imported')\n")
    written = run.config | {"condense": run.config["condense"] | others}
    written[section] = written[section] | {key: "theirs:part"}
    monkeypatch.setattr(Run, "config", property(lambda run: written))
    with pytest.raises(UserError, match="nothing is imported that only a run names"):
        kcd_pipeline.condense(run)
    with pytest.raises(UserError, match="SystemExit: imported"):
        kcd_pipeline.condense(run, overrides={f"{section}.{key}": "theirs:part"})


def test_classes_are_balanced_by_the_labels_of_the_data_set(made: tuple[dict[str, Any], Teacher, Store, Run]) -> None:
    keys, _, _, run = made
    labels = kcd_pipeline.load_dataset(keys).train.labels.numpy()
    kept = kcd_pipeline.condense(run, overrides={"condense.balance": "class", "condense.keep_ratio": 0.5}).kept
    assert np.bincount(labels[kept]).tolist() == [6] * 10, "half of the 12 of each class"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [({"condense.interval": 3}, "has one stage"), ({"condense.interval": 2, "distill.epochs": 9}, "to 2")],
)
def test_stages_that_the_values_do_not_suffice_for_are_refused(
    made: tuple[dict[str, Any], Teacher, Store, Run], overrides: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        kcd_pipeline.condense(made[3], overrides=overrides, stage=5)


def test_reports_and_facts_show_what_the_commands_print(made: tuple[dict[str, Any], Teacher, Store, Run]) -> None:
    _, _, store, run = made
    report = kcd_pipeline.report(run)
    printed = CliRunner().invoke(main, ["report", str(run.path)]).output
    assert [line.rstrip() for line in printed.splitlines()] == repr(report).splitlines()
    assert report.arms[0]["name"] == "kcd resnet8"
    assert report.runs[0]["test_accuracy"] == run.test_accuracy
    assert report._repr_html_().startswith("<pre")
    for where in (run.path, store.location):
        facts = kcd_pipeline.inspect(where)
        assert isinstance(facts, Mapping)
        assert repr(facts).startswith(("Run ", "Knowledge store "))
        assert len(dict(facts)) == len(facts)
