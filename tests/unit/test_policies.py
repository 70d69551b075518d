"""Each policy on a handful of samples, every number worked out on paper first."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from tests.support.situations import situation

from kcd_pipeline.condensation import Choice
from kcd_pipeline.condensation.policies import draws, infobatch, kcd, make_policy, rs2, weighted
from kcd_pipeline.condensation.policies.balance import balanced_classes, kept_of
from kcd_pipeline.condensation.policies.memory import SAMPLE_BYTES
from kcd_pipeline.condensation.policies.weighted import probabilities, shared_draws
from kcd_stores import NO_PARTNER, Plan, StoreUsageError
from kcd_stores.philox import PRUNE_STREAM, SUBSET_STREAM, philox

NAN = float("nan")


def draw_these(monkeypatch: pytest.MonkeyPatch, module: Any, numbers: list[float]) -> None:
    """Let a policy draw `numbers` instead of random ones."""

    def draw(_: object, count: int, *, stream: int) -> np.ndarray:
        return np.array(numbers[:count])

    monkeypatch.setattr(module, "draw", draw)


def taught(choice: Choice) -> dict[int, float]:
    """Return {kept sample: weight}."""
    weight = np.ones(len(choice.kept)) if choice.weight is None else choice.weight
    return {int(k): round(float(w), 6) for k, w in zip(choice.kept, weight, strict=True)}


# --- infobatch -----------------------------------------------------------------------------------------------------


def test_infobatch_leaves_out_low_values_and_doubles_those_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean of the visited 1, 2, 3, 4, 10 is 4; below it are 0, 1, 2, and below one half are the draws of 0, 2."""
    draw_these(monkeypatch, infobatch, [0.2, 0.7, 0.49, 0.1, 0.1, 0.1])
    choice = infobatch.leave_out_at_random(situation([1, 2, 3, 4, 10, NAN], keep=1, policy="infobatch", prune=0.5))
    assert taught(choice) == {1: 2.0, 3: 1.0, 4: 1.0, 5: 1.0}
    assert dict(choice.facts) == {"score_cut": 4.0, "never_visited": 1}


def test_infobatch_with_another_rate_has_other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter is left out: those that stay stand for 1 / (1 - 1/4) = 4/3 samples."""
    draw_these(monkeypatch, infobatch, [0.2, 0.25, 0.9, 0.0])
    choice = infobatch.leave_out_at_random(situation([0, 0, 0, 4], keep=1, policy="infobatch", prune=0.25))
    assert taught(choice) == {1: 1.333333, 2: 1.333333, 3: 1.0}


def test_infobatch_leaves_nothing_out_where_all_values_are_equal() -> None:
    """The sum of ten times 0.1 is rounded, and its tenth may lie above 0.1."""
    choice = infobatch.leave_out_at_random(situation([0.1] * 10, keep=1, policy="infobatch", prune=0.99))
    assert taught(choice) == dict.fromkeys(range(10), 1.0)


def test_infobatch_in_balance_leaves_out_the_same_share_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Class 0 has six samples and class 1 three; mean 5.

    Below it are five samples, of which the shares are floor(5 * 6/9) = 3 and floor(5 * 3/9) = 1: the lowest of class 0
    are 0, 1, 2, that of class 1 is 6. Left out are floor(3/2) = 1 and floor(1/2) = 0: of 0, 1, 2 the one with the
    lowest draw, which is 1. The two that stay stand for three: 1.5 each. Sample 3, below the mean, too, is not touched.
    """
    draw_these(monkeypatch, infobatch, [0.5, 0.1, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    values, labels = [1, 2, 3, 4, 9, 9, 1, 8, 8], [0, 0, 0, 0, 0, 0, 1, 1, 1]
    choice = infobatch.leave_out_at_random(
        situation(values, keep=1, labels=labels, policy="infobatch", balance="class")
    )
    assert taught(choice) == {0: 1.5, 2: 1.5, 3: 1.0, 4: 1.0, 5: 1.0, 6: 1.0, 7: 1.0, 8: 1.0}


# --- rs2 -----------------------------------------------------------------------------------------------------------


def test_rs2_keeps_the_samples_of_the_highest_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three highest of the draws are those of 1, 4 and, of two equal ones, the first."""
    draw_these(monkeypatch, rs2, [0.1, 0.9, 0.5, 0.5, 0.8])
    choice = rs2.keep_at_random(situation([1, 2, 3, 4, NAN], keep=3, policy="rs2"))
    assert taught(choice) == {1: 1.0, 2: 1.0, 4: 1.0}
    assert dict(choice.facts) == {"score_cut": None, "never_visited": 1}


def test_rs2_in_balance_keeps_the_share_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Class 0 has a right to floor(3 * 4/6) = 2 of three and class 1 to floor(3 * 2/6) = 1, whatever is drawn."""
    draw_these(monkeypatch, rs2, [0.5, 0.6, 0.7, 0.8, 0.1, 0.2])
    choice = rs2.keep_at_random(situation([0] * 6, keep=3, labels=[7, 7, 7, 7, 9, 9], policy="rs2", balance="class"))
    assert taught(choice) == {2: 1.0, 3: 1.0, 5: 1.0}


def test_draws_are_those_of_seed_stage_and_sample() -> None:
    """Two words of 32 bits make a number of 53 bits; whole blocks are drawn at once, and the border cannot be seen."""
    here = situation([0] * 3, keep=1, seed=5, stage=9)
    samples = draws.BLOCK + 2
    drawn = draws.draw(here, samples, stream=SUBSET_STREAM)
    for sample in (0, draws.BLOCK - 1, draws.BLOCK, draws.BLOCK + 1):
        words = philox(5, (sample, 9, 0, SUBSET_STREAM)).tolist()
        assert drawn[sample] == (words[0] << 32 | words[1]) // 2**11 / 2**53
    assert drawn[0] != draws.draw(here, 1, stream=PRUNE_STREAM)[0]


# --- weighted ------------------------------------------------------------------------------------------------------


def test_weighted_draws_by_value_and_weighs_by_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    """V = 1, 3, 0, and one never visited; u = 0.2: p = 0.8 * (1/4, 3/4, 0, 0) + 0.2/4 = 0.25, 0.65, 0.05, 0.05.

    Sums: 0.25, 0.9, 0.95, 1. Draws 0.3, 0.5 and 0.92 give 1, 1 and 2: weights 2 / (3 * 0.65) and 1 / (3 * 0.05).
    """
    draw_these(monkeypatch, weighted, [0.3, 0.5, 0.92])
    choice = weighted.draw_by_value(situation([1, 3, 0, NAN], keep=3, policy="weighted", uniform=0.2))
    assert taught(choice) == {1: 1.025641, 2: 6.666667}
    assert dict(choice.facts) == {"score_cut": None, "never_visited": 1}


def test_weighted_shifts_values_below_zero() -> None:
    """V = -1, 1, 0 shifted by 1 is 0, 2, 1; half of the draws are even: p = 1/6, 1/3 + 1/6, 1/6 + 1/6."""
    one = balanced_classes(situation([0, 0, 0], keep=1))
    np.testing.assert_allclose(probabilities(np.array([-1.0, 1, 0]), 0.5, one), [1 / 6, 1 / 2, 1 / 3])
    np.testing.assert_allclose(probabilities(np.array([0.0, 0, 0]), 0.5, one), [1 / 3] * 3)
    np.testing.assert_allclose(probabilities(np.array([NAN] * 3), 0.5, one), [1 / 3] * 3)


def test_weighted_in_balance_draws_each_class_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes of 4 and 2: probability 2/3 and 1/3, in each shared by value; u = 0.5.

    Class 0, V = 1, 1, 1, 5: 1/2 * V/8 + 1/8 = 3/16, 3/16, 3/16, 7/16, times 2/3 = 1/8, 1/8, 1/8, 7/24.
    Class 1, V = 0, 0: evenly, 1/6 each. Of three draws, 2 and 1: 0.99 and 0.0 in class 0 are 3 and 0; 0.6 in class 1 is
    5. Weights: 1 / (3 * 7/24) = 8/7, 1 / (3 * 1/8) = 8/3, 1 / (3 * 1/6) = 2.
    """
    draw_these(monkeypatch, weighted, [0.99, 0.0, 0.6])
    here = situation(
        [1, 1, 1, 5, 0, 0], keep=3, labels=[0, 0, 0, 0, 1, 1], policy="weighted", balance="class", uniform=0.5
    )
    assert taught(weighted.draw_by_value(here)) == {3: 1.142857, 0: 2.666667, 5: 2.0}


def test_draws_that_cannot_be_shared_evenly_are_shared_at_random() -> None:
    """Four draws of classes of 4 and 2: 8/3 and 4/3. Of the six starts, two give 2 and 2, four give 3 and 1."""
    classes = balanced_classes(situation([0] * 6, keep=1, labels=[0, 0, 0, 0, 1, 1], balance="class"))
    assert [shared_draws(4, classes, start) for start in range(6)] == [[2, 2], [2, 2], [3, 1], [3, 1], [3, 1], [3, 1]]


def test_a_draw_next_to_one_is_the_last_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_these(monkeypatch, weighted, [1 - 2**-53] * 9)
    choice = weighted.draw_by_value(situation([0.1] * 10, keep=9, policy="weighted", uniform=1))
    assert list(taught(choice)) == [9]


# --- kcd in balance, annealed ----------------------------------------------------------------------------------------


def plan_before(samples: int, kept: list[int]) -> Plan:
    return Plan(
        stage=0,
        epoch=0,
        samples=samples,
        kept=np.array(kept),
        partner=np.full(len(kept), NO_PARTNER),
        epsilon=np.zeros(len(kept), np.float32),
    )


@pytest.mark.parametrize(
    ("dropped", "blends"),
    [
        ("released", {3: (4, 0.0), 6: (5, 0.3)}),
        ("new", {2: (4, 0.0), 3: (7, 0.15), 6: (8, 0.3)}),
        ("all", {1: (4, 0.0), 2: (5, 0.1), 3: (7, 0.2), 6: (8, 0.3)}),
    ],
)
def test_kcd_in_balance_keeps_the_best_of_each_class_and_blends_by_rank(
    dropped: str, blends: dict[int, tuple[int, float]]
) -> None:
    """Classes 0 (samples 0 to 5) and 1 (6 to 8), V falling from 9 to 1; 5 are kept, of 7 kept before.

    By rank alone 0 to 4 would be kept, and none of class 1. Shares: floor(5 * 6/9) = 3 of class 0, which are 0, 1, 2;
    floor(5 * 3/9) = 1 of class 1, which is 6; the fifth is the best of the others, 3. K1 by rank is (0 1 2 3 6), K0
    (4 5 7 8), of which the stage before kept 4, 7 and 8. `released` blends 7 - 5 = 2 ranks, `new` 3, `all` 4.
    """
    here = situation(
        [9, 8, 7, 6, 5, 4, 3, 2, 1],
        keep=5,
        labels=[0, 0, 0, 0, 0, 0, 1, 1, 1],
        before=plan_before(9, [0, 1, 2, 4, 6, 7, 8]),
        balance="class",
        dropped=dropped,
    )
    choice = kcd.keep_by_rank(here)
    assert choice.partner is not None
    assert choice.epsilon is not None
    found = {
        int(k): (int(p), round(float(e), 6))
        for k, p, e in zip(choice.kept, choice.partner, choice.epsilon, strict=True)
    }
    assert found == dict.fromkeys((0, 1, 2, 3, 6), (NO_PARTNER, 0.0)) | blends
    assert dict(choice.facts) == {"score_cut": 3.0, "never_visited": 0}


def test_a_score_at_the_cut_that_a_plan_cannot_hold_is_left_out() -> None:
    """Facts of plans go up to 1e100: beyond it, and for samples never visited, there is none."""
    for value, cut in (([3e100, 2e100, 1], None), ([3, 2e17, 1], 3.0), ([1, NAN, NAN], None)):
        assert kcd.keep_by_rank(situation(value, keep=2)).facts["score_cut"] == cut


def test_annealed_is_kcd_up_to_the_finish() -> None:
    """An eighth of 100 epochs is 12.5, rounded to 13: epochs 0 to 86 are kcd's, and epoch 87 opens the finish."""
    last, finish = (
        make_policy("annealed")(situation([3, 1, 2], keep=2, stage=stage, policy="annealed")) for stage in (86, 87)
    )
    assert taught(last) == {0: 1.0, 2: 1.0}
    assert taught(finish) == {0: 1.0, 1: 1.0, 2: 1.0}
    assert last.partner is not None
    assert finish.partner is None


def test_infobatch_finishes_with_all_samples() -> None:
    """No finish but the one of the recipe: half of 100 epochs."""
    pruned, finish = (
        make_policy("infobatch")(situation([0] * 99 + [1], keep=2, stage=stage, policy="infobatch", finish=0.5))
        for stage in (49, 50)
    )
    assert len(pruned.kept) < 100
    assert taught(finish) == dict.fromkeys(range(100), 1.0)


# --- what all share ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["rs2", "weighted"])
def test_nothing_is_drawn_while_the_schedule_keeps_all(policy: str) -> None:
    assert taught(make_policy(policy)(situation([1, 2, 3], keep=3, policy=policy))) == {0: 1.0, 1: 1.0, 2: 1.0}


def test_labels_may_be_any_numbers() -> None:
    classes = balanced_classes(situation([0] * 4, keep=1, labels=[900, 3, 900, 3], balance="class"))
    assert classes.of.tolist() == [1, 0, 1, 0]
    assert [members.tolist() for members in classes.members()] == [[1, 3], [0, 2]]
    assert kept_of(np.arange(4), 2, classes).tolist() == [True, True, False, False]


@pytest.mark.parametrize(("policy", "balance"), [("kcd", "class"), ("infobatch", "none"), ("rs2", "none")])
def test_more_memory_than_allowed_is_refused_before_it_is_taken(policy: str, balance: str) -> None:
    here = situation([1.0] * 1000, keep=500, labels=[0] * 1000, policy=policy, balance=balance, memory=95_999)
    with pytest.raises(StoreUsageError, match=r"takes 96.0 kB \(96000 bytes\) for 1,000 samples"):
        make_policy(policy)(here)


@pytest.mark.parametrize("balance", ["none", "class"])
@pytest.mark.parametrize("policy", ["infobatch", "rs2", "weighted"])
def test_no_more_memory_is_taken_than_is_asked_for(policy: str, balance: str) -> None:
    samples = 200_000
    values = np.random.default_rng(0).random(samples)
    here = situation(values, keep=150_000, labels=np.arange(samples) % 100, policy=policy, balance=balance)
    tracemalloc.start()
    make_policy(policy)(here)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < SAMPLE_BYTES * samples


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"kept": []}, "kept is of type list, expected an array \\[K\\] int64"),
        ({"kept": np.array([], np.int64)}, "kept is empty"),
        ({"kept": np.array([1, 1])}, "not ascending"),
        ({"kept": np.array([-1, 1])}, "negative"),
        ({"kept": np.array([[1]])}, "kept is \\[1, 1\\] int64"),
        ({"weight": np.array([1.0])}, "weight is \\[1\\] float64, expected an array \\[2\\] float32"),
        ({"weight": np.array([1, NAN], np.float32)}, "not finite and above 0"),
        ({"weight": np.array([1, 0], np.float32)}, "not finite and above 0"),
        ({"partner": np.array([4, -1])}, "given together"),
        ({"partner": np.array([4]), "epsilon": np.array([0.1, 0], np.float32)}, "partner is \\[1\\]"),
        ({"facts": {"mood": "good"}}, "the fact mood is 'good'"),
        ({"facts": {"mean": NAN}}, "the fact mean is nan"),
    ],
)
def test_a_choice_is_validated_when_it_is_made(arrays: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Choice(**{"kept": np.array([2, 3]), **arrays})
