"""Pairs of arms, the arm that is ahead of all, and the finding: worked out by hand."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.student_runs import STORE, student_run

from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.compute import Comparison, FramedArm, StudyFrame, compare

KD = (0.50, 0.51, 0.52)


def arm(method: str, accuracies: tuple[float, ...], **changes: Any) -> list[RunRecord]:
    """Return one run for each accuracy, with the seeds 0, 1, 2, ..."""
    return [
        student_run(f"{method}-{changes.get('lr', '')}-{seed}", accuracy, method=method, seed=seed, **changes)
        for seed, accuracy in enumerate(accuracies)
    ]


def in_study(named: dict[str, list[RunRecord]], *pairs: tuple[str, str, Any], planned: int = 3) -> Comparison:
    arms = tuple(
        FramedArm(name=name, folders=tuple(run.path for run in runs), planned=planned) for name, runs in named.items()
    )
    runs = [run for found in named.values() for run in found]
    return compare(runs, frame=StudyFrame(title="Does it pay?", arms=arms, pairs=pairs))


def test_each_arm_is_compared_with_kd_over_common_seeds() -> None:
    found = compare([*arm("kcd", (0.51, 0.53, 0.52, 0.9)), *arm("kd", KD), *arm("none", (0.4,))])
    kcd, none = found.pairs
    assert [(pair.first.name, pair.second.name) for pair in found.pairs] == [
        ("kcd resnet8", "kd resnet8"),
        ("none resnet8", "kd resnet8"),
    ]
    # differences 1, 2, 0: mean 1, deviation 1, so 4.303 / sqrt(3) = 2.484 to either side; of 8 flips, 1 + 2 is reached
    # by +-1 +-2 of like signs: with either sign of 0 that is 4 of 8
    assert kcd.seeds == (0, 1, 2)
    assert kcd.difference is not None
    assert kcd.difference.mean == pytest.approx(1)
    assert (kcd.difference.low, kcd.difference.high) == pytest.approx((-1.484, 3.484), abs=1e-3)
    assert (kcd.p, kcd.p_holm, kcd.ahead, kcd.rows_ratio) == (0.5, 0.5, False, 1.0)
    assert (none.seeds, none.p, none.p_holm, none.ahead) == ((0,), None, None, False)


def test_an_arm_is_ahead_or_behind_if_the_interval_says_so() -> None:
    # differences 2.0, 2.1, 1.9: deviation 0.1, so 0.25 to either side
    found = compare([*arm("kcd", (0.52, 0.531, 0.539)), *arm("kd", KD)])
    (pair,) = found.pairs
    assert (pair.ahead, pair.behind) == (True, False)
    assert found.best is pair.first
    found = compare([*arm("kcd", (0.48, 0.489, 0.501)), *arm("kd", KD)])
    assert (found.pairs[0].ahead, found.pairs[0].behind) == (False, True)
    assert found.best is found.pairs[0].second


def test_one_seed_is_never_best_however_far_ahead() -> None:
    found = compare([*arm("kcd", (0.9,)), *arm("kd", KD)])
    assert found.best is None
    assert "rests on one seed, so there is no interval and nothing is called ahead" in found.finding[-1]


def test_the_best_arm_is_ahead_of_every_other() -> None:
    kcd, near = (0.52, 0.531, 0.539), (0.51, 0.535, 0.531)
    assert compare([*arm("kcd", kcd), *arm("kd", KD), *arm("none", (0.4, 0.41, 0.421))]).best is not None
    assert compare([*arm("kcd", kcd), *arm("kcd", near, lr=0.1), *arm("kd", KD)]).best is None
    assert compare(arm("kcd", kcd)).best is None


def test_arms_of_other_students_stores_and_test_sets_are_no_pair() -> None:
    kd = arm("kd", KD)
    for other in ({"student": "resnet20"}, {"store": STORE | {"identity": "other"}}, {"test_set": "u" * 64}):
        found = compare([*arm("kcd", KD, **other), *kd])
        assert found.pairs == ()
        assert any("No arms are compared" in sentence for sentence in found.finding)


def test_p_values_are_corrected_for_the_pairs_of_the_study() -> None:
    up = [0.52, 0.531, 0.539]
    found = in_study(
        {"a": arm("kcd", tuple(up)), "b": arm("kcd", KD, lr=0.1), "kd": arm("kd", KD)},
        ("a", "kd", "epochs"),
        ("b", "kd", "epochs"),
    )
    assert [(pair.p, pair.p_holm) for pair in found.pairs] == [(0.25, 0.5), (1.0, 1.0)]
    assert [member.name for member in found.arms] == ["a", "b", "kd"]


def test_what_a_study_lacks_is_said() -> None:
    found = in_study({"kcd": arm("kcd", (0.5, 0.6)), "kd": arm("kd", KD), "none": []}, ("kcd", "none", "epochs"))
    assert [member.name for member in found.arms] == ["kcd", "kd"]
    assert found.pairs == ()
    assert found.warnings == (
        "kcd: 2 of its 3 runs are finished, and what is said here rests on these.",
        "none has no finished run of 3, so nothing is said about it.",
    )


def test_a_frame_names_each_arm_once_and_compares_only_these() -> None:
    one = FramedArm(name="a", folders=(Path("a"),), planned=1)
    with pytest.raises(ValueError, match="same name"):
        StudyFrame(title="", arms=(one, one), pairs=())
    with pytest.raises(ValueError, match="compares b, but its arms are a"):
        StudyFrame(title="", arms=(one,), pairs=(("a", "b", "epochs"),))


def test_nothing_finished_says_nothing() -> None:
    assert (compare([]).arms, compare([]).finding, compare([]).best) == ((), (), None)


def first_sentence(kcd: tuple[float, ...], budget: str = "epochs", **changes: Any) -> str:
    named = {"kcd": arm("kcd", kcd, **changes), "kd": arm("kd", KD)}
    return in_study(named, ("kcd", "kd", budget)).finding[0]


def test_sentences() -> None:
    start = "On images of digits, resnet8 taught by resnet20: "
    ends = "(95%: -1.48 to +3.48, 3 seeds)"
    # an effect of one deviation takes ten pairs (Cohen's tables)
    needed = "To tell a difference of this size would take about 10 seeds."
    assert (
        first_sentence((0.51, 0.53, 0.52), samples=17)
        == f"{start}kcd differs from kd by +1.00 points {ends} at 15% fewer rows: this may be chance. {needed}"
    )
    assert first_sentence((0.52, 0.531, 0.539)) == (
        f"{start}kcd is ahead of kd by 2.00 points (95%: +1.75 to +2.25, 3 seeds)."
    )
    assert first_sentence((0.48, 0.489, 0.501), "rows") == (
        f"{start}kcd is behind kd by 2.00 points (95%: -2.25 to -1.75, 3 seeds) at equal rows."
    )
    assert first_sentence((0.49,)) == f"{start}kcd differs from kd by -1.00 points in one seed."
    assert first_sentence(KD) == f"{start}kcd and kd have equal accuracies in each of 3 seeds."
    assert "in each of 3 seeds: without any deviation" in first_sentence((0.51, 0.52, 0.53))


def test_the_finding_says_what_the_images_and_the_teacher_were() -> None:
    facts = STORE["made_from"]
    made_from = facts | {
        "dataset": facts["dataset"] | {"size": 2500},
        "teacher": facts["teacher"] | {"test_accuracy": 0.55},
    }
    runs = arm("kd", KD, store=STORE | {"made_from": made_from})
    assert compare(runs).finding == (
        "On 2,500 images of digits, resnet8 taught by resnet20 (55.0%): kd resnet8 reaches 51.00% "
        "(95%: 48.52 to 53.48%, 3 seeds).",
    )
    for run in runs:  # images of the user's own are known by where they are
        run.summary["dataset"]["name"] = "webdataset"
        run.config["data"].update(root="data/birds", hub=None)
    assert compare(runs).finding[0].startswith("On 2,500 images of data/birds, resnet8")


def test_few_seeds_and_several_pairs_have_their_limits_said() -> None:
    named = {"kcd": arm("kcd", KD), "kd": arm("kd", KD), "none": arm("none", KD)}
    found = in_study(named, ("kcd", "kd", "epochs"), ("kd", "none", "epochs"))
    assert found.finding[-2:] == (
        "With 3 seeds no p value of flipped signs can be below 0.25, so the intervals decide.",
        "Each interval stands for its pair alone; the p values are corrected for all 2 pairs (Holm).",
    )


def test_many_pairs_are_told_together() -> None:
    named = {"kd": arm("kd", KD), "up": arm("kcd", (0.52, 0.531, 0.539)), "down, far": arm("none", (0.4, 0.411, 0.419))}
    named |= {f"same {n}": arm("kcd", KD, lr=n) for n in range(1, 8)}
    found = in_study(named, *((name, "kd", "epochs") for name in named if name != "kd"))
    assert found.finding[:3] == (
        "On images of digits, resnet8 taught by resnet20: of 9 pairs, the first arm is ahead in 1 and behind in 1; "
        "in 7 the difference may be chance.",
        "Ahead: up against kd by +2.00 points (95%: +1.75 to +2.25, 3 seeds).",
        "Behind: “down, far” against kd by -10.00 points (95%: -10.25 to -9.75, 3 seeds).",
    )
