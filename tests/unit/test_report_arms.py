"""Runs that are arms, their mean and spread, and the warnings about them: worked out by hand."""

from typing import Any

import pytest
from tests.support.student_runs import STORE
from tests.support.student_runs import student_run as run

from kcd_pipeline.errors import UserError
from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.compute.arms import arms_by_settings, standard_deviation
from kcd_pipeline.reports.compute.settings import differing_settings
from kcd_pipeline.reports.compute.stores import find_stores, warnings_of_stores, warnings_of_test_sets

OTHER_TEACHER = STORE | {
    "path": "b.zarr",
    "identity": "bbbbbbbbbbbb",
    "made_from": STORE["made_from"] | {"teacher": {"model": "resnet32", "weights_sha256": "2" * 64}},
}
OTHER_DATA = STORE | {
    "path": "c.zarr",
    "identity": "cccccccccccc",
    "made_from": STORE["made_from"] | {"dataset": {"name": "digits", "fingerprint": "e" * 64}},
}


def test_sample_standard_deviation() -> None:
    assert standard_deviation([0.2, 0.4, 0.9]) == pytest.approx(0.13**0.5)  # mean 0.5; (0.09 + 0.01 + 0.16) / (3 - 1)
    assert standard_deviation([0.5]) is None


def test_seeds_of_the_same_settings_are_one_arm() -> None:
    runs = [run("b", 0.94, seed=1, best=0.97), run("a", 0.90, seed=0, best=0.91), run("n", 0.8, method="none")]
    (arm, alone), warnings = arms_by_settings(runs)
    assert [member.label for member in arm.runs] == ["a", "b"]
    assert (arm.name, alone.name) == ("kd resnet8", "none resnet8")
    assert arm.mean_accuracy == pytest.approx(0.92)
    assert arm.deviation == pytest.approx(0.02 * 2**0.5)  # two values 0.04 apart
    assert arm.mean_best_accuracy == pytest.approx(0.94)
    assert alone.deviation is None
    assert warnings == []


@pytest.mark.parametrize(
    "moved", [{"device": "cuda"}, {"root": "/elsewhere"}, {"store": STORE | {"path": "copy.zarr"}}]
)
def test_where_things_lie_does_not_separate_seeds(moved: dict[str, Any]) -> None:
    arms, _ = arms_by_settings([run("a", seed=0), run("b", seed=1, **moved)])
    assert len(arms) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lr": 0.1}, "lr=0.1"),
        ({"precision": "bf16"}, "precision=bf16"),
        ({"store": OTHER_TEACHER}, "store bbbbbb"),
        ({"store": STORE | {"views": 4}}, "4 views"),
        ({"test_set": "u" * 64}, "test set uuuuuu"),
        ({"student": "resnet20"}, "kd resnet20"),
    ],
)
def test_what_an_arm_is_does_separate(change: dict[str, Any], told: str) -> None:
    arms, _ = arms_by_settings([run("a", seed=0), run("b", seed=1, **change)])
    assert len(arms) == 2
    assert told in arms[1].name
    assert arms[0].name != arms[1].name


@pytest.mark.parametrize(
    ("condense", "label"),
    [
        ({}, "kcd resnet8"),
        ({"alpha": 0.03, "keep": "most", "value": "mean", "perturb": "knowledge"}, "kcd resnet8"),
        ({"alpha": 0.0}, "kcd resnet8 (alpha 0)"),
        ({"perturb": "off"}, "kcd resnet8 (drop only)"),
        ({"perturb": "pair"}, "kcd resnet8 (pairs)"),
        ({"keep": "random"}, "kcd resnet8 (random)"),
        ({"keep": "least"}, "kcd resnet8 (least valued)"),
        ({"track": "latest"}, "kcd resnet8 (latest)"),
        ({"keep": "random", "perturb": "off"}, "kcd resnet8 (random, drop only)"),
    ],
)
def test_an_ablation_is_called_by_what_it_is(condense: dict[str, Any], label: str) -> None:
    (arm,), _ = arms_by_settings([run("a", method="kcd", condense=condense)])
    assert arm.name == label


def test_ablations_are_arms_of_their_own_and_settings_are_told_within_them() -> None:
    changes: list[dict[str, Any]] = [{}, {"keep": "random"}, {"keep": "random", "keep_ratio": 0.5}]
    arms, _ = arms_by_settings([run(str(n), method="kcd", condense=change) for n, change in enumerate(changes)])
    assert [arm.name for arm in arms] == [
        "kcd resnet8",
        "kcd resnet8 (random, keep_ratio=0.7)",
        "kcd resnet8 (random, keep_ratio=0.5)",
    ]
    assert len({arm.kind for arm in arms}) == 2


def test_what_a_method_ignores_does_not_separate_its_seeds() -> None:
    arms, _ = arms_by_settings([run("a", seed=0), run("b", seed=1, condense={"keep_ratio": 0.5})])
    assert len(arms) == 1


def test_runs_of_the_same_seed_are_noted_and_counted_once() -> None:
    (arm,), (warning,) = arms_by_settings([run("a", 0.9), run("again", 0.5), run("b", 0.8, seed=1)])
    assert [member.label for member in arm.runs] == ["a", "b"]
    assert "a and again" in warning
    assert "seed 0" in warning


def test_settings_that_differ_name_each_value_and_its_runs() -> None:
    settings = differing_settings([run("a"), run("b", lr=0.1), run("c", lr=0.1, seed=3)])
    assert {setting.key: setting.values for setting in settings} == {
        "seed": ((0, ("a", "b")), (3, ("c",))),
        "distill.lr": ((0.05, ("a",)), (0.1, ("b", "c"))),
    }


def test_different_stores_are_warned_of_by_what_differs() -> None:
    (warning,) = warnings_of_stores(find_stores([run("a"), run("b", store=OTHER_TEACHER)]))
    assert "teacher.model (store A: resnet20; store B: resnet32)" in warning
    assert "teacher.weights_sha256 (store A: 111111111111; store B: 222222222222)" in warning
    assert "dataset" not in warning
    assert "(a.zarr; a)" in warning
    assert "(b.zarr; b)" in warning


def test_a_fact_that_only_one_store_has_is_a_difference_too() -> None:
    bare = STORE | {"identity": "bare", "made_from": {**STORE["made_from"], "augmentation": {"name": "crop-flip"}}}
    for runs in ([run("a"), run("b", store=bare)], [run("b", store=bare), run("a")]):
        (warning,) = warnings_of_stores(find_stores(runs))
        assert "augmentation.padding (store " in warning
        assert "(nothing)" in warning


def test_views_and_encoding_make_a_store_another() -> None:
    (views,) = warnings_of_stores(find_stores([run("a"), run("b", store=STORE | {"views": 4})]))
    assert "views (store A: 2; store B: 4)" in views
    (encoding,) = warnings_of_stores(
        find_stores([run("a"), run("b", store=STORE | {"encoding": "float32", "identity": "e"})])
    )
    assert "encoding (store A: float16; store B: float32)" in encoding


def test_the_same_knowledge_extracted_twice_is_paid_twice_but_not_warned_of() -> None:
    stores = find_stores([run("a"), run("b", store=STORE | {"seconds": 8.0}), run("c")])
    assert [store.economics.seconds_per_student for store in stores] == [2.0, 8.0]
    assert warnings_of_stores(stores) == []


def test_a_run_from_labels_alone_is_warned_of_only_if_its_data_differ() -> None:
    labels_only: dict[str, Any] = {"method": "none"}
    assert warnings_of_stores(find_stores([run("a"), run("n", store=OTHER_TEACHER, **labels_only)])) == []
    (warning,) = warnings_of_stores(find_stores([run("a"), run("n", store=OTHER_DATA, **labels_only)]))
    assert "dataset.fingerprint" in warning
    assert warnings_of_stores(find_stores([run("a"), run("n", store=None, **labels_only)])) == []


def test_different_test_sets_are_warned_of() -> None:
    assert warnings_of_test_sets([run("a"), run("b")]) == []
    (warning,) = warnings_of_test_sets([run("a"), run("n", method="none", store=None, test_set="u" * 64)])
    assert "2 different test sets" in warning
    assert "uuuuuuuuuuuu (n)" in warning


def test_a_folder_changed_after_its_run_is_refused() -> None:
    whole = run("a")
    with pytest.raises(UserError, match="holds 1 epochs, but the summary beside it speaks of 2"):
        RunRecord(label="a", path=whole.path, config=whole.config, summary=whole.summary, metrics=[{}])
    cut = {key: value for key, value in whole.summary.items() if key != "store"}
    with pytest.raises(UserError, match="no store"):
        RunRecord(label="a", path=whole.path, config=whole.config, summary=cut, metrics=[{}, {}])


def test_a_run_of_an_older_version_did_the_default_of_a_key_that_it_lacks() -> None:
    older = run("older", method="kcd")
    newer = run("newer", method="kcd", seed=1, condense={"policy": "kcd", "value": "entropy"})
    another = run("another", method="kcd", condense={"policy": "rs2"})
    arms, warnings = arms_by_settings([older, newer, another])
    assert [[member.label for member in arm.runs] for arm in arms] == [["older", "newer"], ["another"]]
    assert not warnings
