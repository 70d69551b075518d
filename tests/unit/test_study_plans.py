"""Plans of studies: arms of a grid and their names, pairs, runs, and arms that are stopped at equal rows."""

import json
import shlex
from pathlib import Path

import pytest

from kcd_pipeline.config import load_config, load_study
from kcd_pipeline.errors import UserError
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.study import Pair, StudyPlan, dry_run, plan_study
from kcd_pipeline.study.rows import follows_schedule
from kcd_stores import ValueStore

HEAD = "base: digits\nseeds: 2\n"
METHODS = "none: {distill.method: none}, kd: {distill.method: kd}, kcd: {}"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def planned(text: str, *overrides: str) -> StudyPlan:
    path = Path("question.yaml")
    path.write_text(HEAD + text)
    return plan_study(load_study(path, overrides))


def refused(text: str) -> str:
    with pytest.raises(UserError) as caught:
        planned(text)
    return str(caught.value)


def finish(folder: Path, *, taught: list[int], samples: int) -> None:
    """Leave what a finished run leaves, as far as its number of rows is read from it."""
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.config.write_text("distill: {method: kcd}\n")
    lines = [
        {"epoch": epoch, "test_accuracy": 0.5, "samples": rows, "rows": rows, "seconds": 1.0}
        for epoch, rows in enumerate(taught)
    ]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ValueStore.create(run.values, epochs=len(taught), samples=samples)
    run.summary.write_text("{}")


# --- arms and runs ----------------------------------------------------------------------------------------


def test_a_grid_has_every_combination_and_one_that_is_a_named_arm_is_that_arm() -> None:
    plan = planned(
        f"vary:\n  arms: {{{METHODS}}}\n  grid:\n    condense.dropped: [released, new]\n"
        "    losses: {kd: {}, dkd: {distill.loss.name: dkd}}\n"
    )
    names = ["none", "kd", "kcd", "dropped=released, dkd", "dropped=new, kd", "dropped=new, dkd"]
    assert [arm.name for arm in plan.arms] == names  # `dropped=released, kd` is kcd
    assert plan.arm("dropped=new, dkd").overrides == ("condense.dropped=new", "distill.loss.name=dkd")
    assert [(run.arm.name, run.seed) for run in plan.runs] == [(name, seed) for name in names for seed in (0, 1)]


def test_the_name_of_a_combination_is_in_the_words_of_a_recipe() -> None:
    plan = planned("vary: {grid: {condense.perturb: [off, pair], teacher.lr: [0.1], distill.lr: [5e-2]}}")
    assert [arm.name for arm in plan.arms] == [
        f"perturb={word}, teacher.lr=0.1, distill.lr=0.05" for word in ("off", "pair")
    ]


def test_a_run_is_that_of_the_command_which_it_prints() -> None:
    plan = planned("set: {distill.epochs: 9}\nvary: {arms: {a b: {distill.milestones: [3, 6]}}}", "store.views=2")
    run = plan.runs[1]
    program, command, base, *settings = shlex.split(run.command)
    assert (program, command, base) == ("kcd-pipeline", "distill", "digits")
    assert load_config(base, settings[1::2]) == run.config
    assert (run.config.seed, run.config.distill.epochs, run.config.store.views) == (1, 9, 2)
    assert run.config.distill.milestones == (3, 6)
    assert run.name == "a b, seed 1"


def test_what_the_command_sets_counts_more_than_what_an_arm_sets() -> None:
    plan = planned("vary: {arms: {long: {distill.epochs: 50}}}", "distill.epochs=2")
    assert plan.runs[0].config.distill.epochs == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vary: {arms: {a: {}, b: {distill.method: kcd}}}", "vary: arms 'a' and 'b' are the same: no key of a recipe"),
        (
            "vary: {grid: {x: {one: {distill.epochs: 3}, two: {distill.epochs: 3}}}}",
            "vary: arms 'one' and 'two' are the same",
        ),
        (
            "vary: {arms: {'epochs=3': {}}, grid: {distill.epochs: [3]}}",
            "vary: two arms are named 'epochs=3'. Name the values of one axis",
        ),
        (
            "vary: {grid: {distill.epochs: [1, 2, 3, 4, 5, 6, 7, 8, 9], distill.batch_size: [1, 2, 3, 4, 5, 6, 7, 8], "
            "store.views: [1, 2, 3, 4, 5, 6, 7, 8]}}",
            "vary.grid has 576 combinations, expected at most 500",
        ),
        (
            f"set: {{run.dir: 'runs/{{method}}'}}\nvary: {{arms: {{{METHODS}}}}}",
            "seeds 0 and 1 would share the run folder runs/none, because run.dir of digits lacks {seed}. Add it",
        ),
        (
            f"set: {{run.dir: 'runs/{{seed}}'}}\nvary: {{arms: {{{METHODS}}}}}",
            "arms 'none' and 'kd' would share the run folder runs/0, because run.dir of digits lacks {variant}. Add",
        ),
    ],
)
def test_arms_that_cannot_be_told_apart_are_refused(text: str, message: str) -> None:
    assert message in refused(text)


# --- pairs ------------------------------------------------------------------------------------------------


def test_without_pairs_every_arm_is_compared_with_kd_or_else_with_the_first() -> None:
    assert planned(f"vary: {{arms: {{{METHODS}}}}}").pairs == (
        Pair(first="none", second="kd", budget="epochs"),
        Pair(first="kcd", second="kd", budget="epochs"),
    )
    assert planned("vary: {grid: {distill.epochs: [3, 4]}}").pairs == (
        Pair(first="epochs=4", second="epochs=3", budget="epochs"),
    )


def test_at_equal_rows_only_the_arms_that_condense_need_another_kd() -> None:
    plan = planned(f"budget: rows\nvary: {{arms: {{{METHODS}}}}}")
    assert plan.pairs == (
        Pair(first="none", second="kd", budget="epochs"),
        Pair(first="kcd", second="kd at the rows of kcd", budget="rows"),
    )
    assert plan.arms[-1].rows_of == "kcd"
    assert len(plan.runs) == 6


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        ("[[kcd, kdd]]", "compare: there is no arm 'kdd'; did you mean 'kd'? (the arms are: none; kd; kcd)"),
        ("[[kcd, kcd]]", "compare.0: arm 'kcd' cannot be compared with itself"),
        ("[[kcd]]", "compare.0.arms: found ['kcd'], expected a list with more items"),
        ("[[kcd, kd, none]]", "compare.0.arms: found"),
        ("[kcd]", "compare.0: found 'kcd'"),
        ("[{arm: [kcd, kd]}]", "compare.0.arms is missing: add it to the file"),
        ("[[kcd, kd], {arms: [kcd, kd], budget: epochs}]", "compare: the pair of 'kcd' and 'kd' is there twice"),
        ("[{arms: [kcd, kd], budget: epoch}]", "expected one of epochs, rows; did you mean 'epochs'?"),
        ("[{arms: [kd, kcd], budget: rows}]", "compare: 'kcd' at the rows of 'kd': 'kcd' is of method kcd, which"),
    ],
)
def test_a_pair_that_cannot_be_compared_is_named(compare: str, message: str) -> None:
    assert message in refused(f"vary: {{arms: {{{METHODS}}}}}\ncompare: {compare}")


def test_equal_rows_of_other_data_or_in_the_same_folder_are_refused() -> None:
    few = "small: {data.limit_per_class: 9}, kd: {distill.method: kd}"
    assert "their data differ" in refused(f"budget: rows\nvary: {{arms: {{{few}}}}}")
    named = "set: {run.dir: 'runs/{method}-{seed}'}\nvary: {arms: {kd: {distill.method: kd}, kcd: {}}}"
    assert "needs a run folder of its own, but run.dir of digits lacks {variant}" in refused(f"budget: rows\n{named}")


# --- equal rows -------------------------------------------------------------------------------------------


def test_an_arm_at_equal_rows_is_stopped_where_the_run_of_its_seed_was() -> None:
    """100 + 100 + 80 + 55 = 335 rows of 100 samples end in the fourth epoch; milestones at 1/2, 3/4 of 8 at 2 and 3.

    A warm-up of 1 epoch of 8 is half of one of 4.
    """
    plan = planned(
        "budget: rows\n"
        "set: {distill.epochs: 8, distill.schedule: milestones, distill.milestones: [4, 6], distill.warmup: 1}\n"
        "vary: {arms: {kd: {distill.method: kd}, kcd: {}}}"
    )
    arm = plan.arms[-1]
    assert plan.resolve(arm, 0) is None  # kcd is not finished
    finish(next(run.folder for run in plan.runs if run.name == "kcd, seed 0"), taught=[100, 100, 80, 55], samples=100)
    assert plan.resolve(arm, 1) is None
    run = plan.resolve(arm, 0)
    assert run is not None
    distill = run.config.distill
    assert (distill.method, distill.rows, distill.epochs, distill.milestones) == ("kd", 335, 4, (2, 3))
    assert distill.warmup == 0.5
    assert run.folder not in {other.folder for other in plan.runs}
    assert run.name == "kd at the rows of kcd, seed 0"


def test_an_arm_at_equal_rows_does_not_stop_early() -> None:
    plan = planned(
        "budget: rows\nset: {data.validation: 0.1, distill.patience: 2}\n"
        "vary: {arms: {kd: {distill.method: kd}, kcd: {}}}"
    )
    finish(next(run.folder for run in plan.runs if run.name == "kcd, seed 0"), taught=[10, 10, 8], samples=10)
    run = plan.resolve(plan.arms[-1], 0)
    assert run is not None
    assert (run.config.distill.rows, run.config.distill.epochs, run.config.distill.patience) == (28, 3, None)
    assert follows_schedule(run.config)
    assert not any(follows_schedule(other.config) for other in plan.runs), "how long they train is not known before"


def test_the_lines_of_a_dry_run_tell_what_chooses_the_best_epochs() -> None:
    held_out, whole = (load_config("digits", [f"data.validation={part}"]) for part in ("0.1", "null"))
    (line,) = dry_run._validation_lines({"kd": held_out, "kcd": held_out})
    assert line.startswith("Best epochs are chosen by validation images (data.validation: 0.1)")
    (line,) = dry_run._validation_lines({"kd": held_out, "kcd": whole})
    assert line.startswith("Best epochs of kd are chosen by validation images")
    assert dry_run._validation_lines({"kcd": whole}) == []


def test_rows_that_end_with_an_epoch_need_no_further_one() -> None:
    plan = planned("budget: rows\nvary: {arms: {kd: {distill.method: kd}, kcd: {}}}")
    finish(next(run.folder for run in plan.runs if run.name == "kcd, seed 1"), taught=[10, 5, 5], samples=10)
    run = plan.resolve(plan.arms[-1], 1)
    assert run is not None
    assert (run.config.distill.rows, run.config.distill.epochs, run.config.distill.milestones) == (20, 2, None)
