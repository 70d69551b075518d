"""Policies on any values and classes: exact counts, no preference among samples, and gradients of the right mean.

A policy's weights are unbiased if each sample, all draws taken together, counts as one: E[w_i] = 1, where w_i is its
weight, and 0 if it is left out. Then the expected sum of weighted gradients is the sum over all samples. It is checked
exactly, by going through all draws of small sets, and on larger sets by the mean over many seeds, within 4 standard
errors.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import permutations, product
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.support.situations import situation

from kcd_pipeline.condensation import Choice, Situation
from kcd_pipeline.condensation.policies import make_policy
from kcd_pipeline.condensation.policies.balance import Classes, balanced_classes, kept_of
from kcd_pipeline.condensation.policies.kcd import balanced_partition
from kcd_pipeline.condensation.policies.weighted import probabilities, shared_draws
from kcd_pipeline.condensation.vaks import partition

few_values = hnp.arrays(np.float64, st.integers(2, 40), elements=st.sampled_from([0.0, 0.1, 0.7, 1.0, 2.3, np.nan]))


@st.composite
def situations(draw: st.DrawFn, /, policy: str, **condense: Any) -> Situation:
    """Return a situation with visited and unvisited samples, ties, and classes of any size."""
    value = draw(few_values.filter(lambda v: not np.isnan(v).all()))
    n = len(value)
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 4)))
    balance = draw(st.sampled_from(["none", "class"]))
    keep, seed = draw(st.integers(1, n - 1)), draw(st.integers(0, 2**63 - 1))
    return situation(value, keep=keep, labels=labels, seed=seed, policy=policy, balance=balance, **condense)


def classes_of(labels: np.ndarray) -> Classes:
    return balanced_classes(situation([0.0] * len(labels), keep=1, labels=labels, balance="class"))


def weights(choice: Choice, samples: int) -> np.ndarray:
    """Return the weight of each sample, 0 for those that are left out."""
    found = np.zeros(samples)
    found[choice.kept] = 1 if choice.weight is None else choice.weight
    return found


def sizes(labels: np.ndarray) -> dict[int, int]:
    return dict(zip(*(part.tolist() for part in np.unique(labels, return_counts=True)), strict=True))


# --- counts --------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.one_of(situations("kcd"), situations("annealed"), situations("rs2")))
def test_exactly_k_are_kept_and_each_class_has_its_share(here: Situation) -> None:
    kept = make_policy(here.config.policy)(here).kept
    assert len(kept) == here.keep
    if here.config.balance == "class":
        assert here.labels is not None
        found = sizes(here.labels[kept])
        for label, size in sizes(here.labels).items():
            assert found.get(label, 0) >= here.keep * size // here.samples


@settings(max_examples=25)
@given(situations("infobatch", prune=0.3))
def test_infobatch_keeps_all_that_is_not_low_and_the_exact_share_of_classes(here: Situation) -> None:
    choice, value = make_policy("infobatch")(here), here.value()
    counts = weights(choice, here.samples)
    low = value < np.nanmean(value) - 1e-9  # a value at the mean may be on either side of it, by rounding
    if here.config.balance == "none":
        assert (counts[~(value < np.nanmean(value) + 1e-9)] == 1).all()
        np.testing.assert_allclose(counts[low & (counts > 0)], 1 / 0.7, rtol=1e-6)
        return
    assert here.labels is not None
    # each class as a whole counts for as many samples as it has, whatever was drawn
    for label, size in sizes(here.labels).items():
        assert counts[here.labels == label].sum() == pytest.approx(size, rel=1e-6)


@settings(max_examples=25)
@given(situations("weighted"))
def test_weighted_draws_k_times(here: Situation) -> None:
    """A weight times K and the probability gives back how often a sample was drawn."""
    choice = make_policy("weighted")(here)
    assert choice.weight is not None
    classes = balanced_classes(here)
    p = probabilities(here.value(), here.config.uniform, classes)
    assert p.sum() == pytest.approx(1)
    assert (p > 0).all()
    times = choice.weight * here.keep * p[choice.kept]
    np.testing.assert_allclose(times, np.round(times), atol=1e-4)
    drawn = np.bincount(classes.of[choice.kept], weights=np.round(times), minlength=len(classes.sizes))
    assert drawn.sum() == here.keep
    assert (drawn >= classes.floors(here.keep)).all()


@settings(max_examples=25)
@given(
    hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 3)).flatmap(
        lambda labels: st.tuples(st.just(labels), st.permutations(range(len(labels))), st.integers(1, len(labels)))
    )
)
def test_the_kept_are_the_best_of_each_class_and_then_of_all(case: tuple[np.ndarray, list[int], int]) -> None:
    """Compare with the definition, spelled out one sample at a time."""
    labels, order, keep = case
    n, left = len(labels), {label: keep * size // len(labels) for label, size in sizes(labels).items()}
    expected = set()
    for sample in order:
        if left[int(labels[sample])] > 0:
            left[int(labels[sample])] -= 1
            expected.add(sample)
    for sample in order:
        if len(expected) < keep:
            expected.add(sample)
    found = kept_of(np.array(order), keep, classes_of(labels))
    assert {sample for sample, kept in zip(order, found, strict=True) if kept} == expected
    assert found.shape == (n,)


@settings(max_examples=25)
@given(few_values, st.sampled_from(["released", "new", "all"]), st.data())
def test_one_class_alone_is_split_as_without_classes(value: np.ndarray, dropped: str, data: st.DataObject) -> None:
    scores = np.where(np.isnan(value), -np.inf, value)
    keep, before = data.draw(st.integers(1, len(scores))), data.draw(hnp.arrays(bool, len(scores)))
    lazy, order = da.from_array(scores, chunks=7), np.argsort(-scores, kind="stable")
    one = classes_of(np.zeros(len(scores), np.int64))
    found = balanced_partition(lazy, order, keep=keep, classes=one, kept_before=before, dropped=dropped)
    expected = partition(lazy, keep=keep, kept_before=before, dropped=dropped)
    for name in ("high", "low", "partners"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()
    assert (found.score_cut, found.never_visited) == (expected.score_cut, expected.never_visited)


# --- no preference among samples -------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.permutations(range(12)), st.sampled_from(["none", "class"]), st.integers(1, 12))
def test_kcd_keeps_the_same_samples_under_any_numbering(order: list[int], balance: str, keep: int) -> None:
    value, labels, new = np.arange(12.0), np.arange(12) % 4 // 2, np.array(order)
    one = make_policy("kcd")(situation(value, keep=keep, labels=labels, balance=balance))
    other = make_policy("kcd")(situation(value[new], keep=keep, labels=labels[new], balance=balance))
    assert sorted(new[other.kept]) == one.kept.tolist()


@settings(max_examples=20)
@given(situations("weighted"), st.randoms(use_true_random=False))
def test_probabilities_do_not_depend_on_the_numbering(here: Situation, random: Any) -> None:
    new = np.array(random.sample(range(here.samples), here.samples))
    assert here.labels is not None
    p = probabilities(here.value(), 0.2, balanced_classes(here))
    labels = here.labels[new]
    again = situation(here.value()[new], keep=1, labels=labels, balance=here.config.balance)
    np.testing.assert_allclose(probabilities(again.value(), 0.2, balanced_classes(again)), p[new], rtol=1e-12)


@settings(max_examples=20)
@given(situations("infobatch"), st.randoms(use_true_random=False))
def test_infobatch_treats_samples_alike_that_draw_alike(here: Situation, random: Any) -> None:
    """Values without ties, whose draws go with them under another numbering."""
    new, drawn = np.array(random.sample(range(here.samples), here.samples)), np.linspace(0, 0.99, here.samples)
    value = here.value() + np.arange(here.samples) * 1e-3
    assert here.labels is not None
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for order in (np.arange(here.samples), new):
            patch.setattr(
                "kcd_pipeline.condensation.policies.infobatch.draw", lambda *_, stream, order=order: drawn[order]
            )
            one = situation(
                value[order], keep=1, labels=here.labels[order], policy="infobatch", balance=here.config.balance
            )
            found.append(weights(make_policy("infobatch")(one), here.samples))
    np.testing.assert_array_equal(found[1], found[0][new])


# --- purity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["none", "class"])
@pytest.mark.parametrize("policy", ["kcd", "annealed", "infobatch", "rs2", "weighted"])
def test_a_choice_is_a_function_of_values_seed_and_stage(policy: str, balance: str) -> None:
    value, labels = np.random.default_rng(0).random(200), np.arange(200) % 7

    def choose(seed: int, stage: int) -> tuple[list[int], list[float]]:
        np.random.seed(stage)  # noqa: NPY002  # a global state that must not matter
        chosen = make_policy(policy)(
            situation(value, keep=90, labels=labels, seed=seed, stage=stage, policy=policy, balance=balance)
        )
        return chosen.kept.tolist(), weights(chosen, 200).tolist()

    assert choose(1, 2) == choose(1, 2)
    if policy in ("infobatch", "rs2", "weighted"):
        assert choose(1, 2) != choose(1, 3) != choose(2, 3)
    else:
        assert choose(1, 2) == choose(2, 3)


# --- unbiasedness --------------------------------------------------------------------------------------------------


def expected_weights(
    monkeypatch: pytest.MonkeyPatch, here: Situation, drawn: Iterator[tuple[float, tuple[float, ...]]]
) -> np.ndarray:
    """Return the mean weight of each sample over all possible draws, given with the probability of each."""
    module = f"kcd_pipeline.condensation.policies.{here.config.policy}.draw"
    mean = np.zeros(here.samples)
    total = 0.0
    for probability, numbers in drawn:
        monkeypatch.setattr(module, lambda _, count, stream, numbers=numbers: np.array(numbers[:count]))
        mean += probability * weights(make_policy(here.config.policy)(here), here.samples)
        total += probability
    assert total == pytest.approx(1)
    return mean


def test_every_sample_counts_as_one_in_infobatch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six samples: a draw leaves each out, or not, with probabilities 0.3 and 0.7; all 64 outcomes."""
    here = situation([1, 2, 3, 4, 9, 9], keep=1, policy="infobatch", prune=0.3)
    outcomes = product([(0.3, 0.29), (0.7, 0.31)], repeat=6)
    drawn = ((float(np.prod([p for p, _ in each])), tuple(u for _, u in each)) for each in outcomes)
    np.testing.assert_allclose(expected_weights(monkeypatch, here, drawn), np.ones(6), rtol=1e-6)


def test_every_sample_counts_as_one_in_infobatch_in_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six samples in any order of their draws; all 720."""
    here = situation(
        [1, 2, 3, 9, 1, 9], keep=1, labels=[0, 0, 0, 0, 1, 1], policy="infobatch", prune=0.5, balance="class"
    )
    drawn = ((1 / 720, tuple(i / 6 for i in order)) for order in permutations(range(6)))
    np.testing.assert_allclose(expected_weights(monkeypatch, here, drawn), np.ones(6), rtol=1e-6)


def test_every_sample_counts_as_one_in_weighted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three draws from four samples, in the middle of each one's part of 0..1; all 64 outcomes."""
    here = situation([1, 3, 0, np.nan], keep=3, policy="weighted", uniform=0.2)
    p = np.array([0.25, 0.65, 0.05, 0.05])
    middle = np.cumsum(p) - p / 2
    outcomes = product(range(4), repeat=3)
    drawn = ((float(np.prod(p[list(each)])), tuple(middle[list(each)])) for each in outcomes)
    np.testing.assert_allclose(expected_weights(monkeypatch, here, drawn), np.ones(4), rtol=1e-6)


@given(hnp.arrays(np.int64, st.integers(1, 20), elements=st.integers(0, 3)), st.integers(0, 50))
def test_each_class_is_drawn_its_share_of_times_on_average_exactly(labels: np.ndarray, draws: int) -> None:
    """The mean over all starts, in fractions."""
    classes, samples = classes_of(labels), len(labels)
    counts = [shared_draws(draws, classes, start) for start in range(samples)]
    assert {sum(each) for each in counts} == {draws}
    for label, size in enumerate(classes.sizes.tolist()):
        share = Fraction(draws * size, samples)
        assert Fraction(sum(each[label] for each in counts), samples) == share
        assert {each[label] for each in counts} <= {share.__floor__(), share.__ceil__()}


@pytest.mark.parametrize("balance", ["none", "class"])
@pytest.mark.parametrize("policy", ["infobatch", "weighted"])
def test_the_mean_gradient_over_many_seeds_is_that_of_all_samples(policy: str, balance: str) -> None:
    """Values go with gradients, so that weights that were wrong would show; three components, 60 samples, 400 seeds."""
    random = np.random.default_rng(0)
    value = random.gamma(2, 0.5, 60)
    gradient = value[:, None] * random.normal(1, 0.5, (60, 3))
    labels = (random.random(60) < 0.2).astype(int)
    sums = np.array(
        [
            weights(
                make_policy(policy)(
                    situation(value, keep=25, labels=labels, seed=seed, policy=policy, balance=balance)
                ),
                60,
            )
            @ gradient
            for seed in range(400)
        ]
    )
    error = sums.std(axis=0, ddof=1) / np.sqrt(len(sums))
    assert (np.abs(sums.mean(axis=0) - gradient.sum(axis=0)) < 4 * error).all()
    assert (error < 0.02 * gradient.sum(axis=0)).all(), "the test would notice a bias of some percent"


@pytest.mark.parametrize("balance", ["none", "class"])
def test_rs2_keeps_every_sample_equally_often(balance: str) -> None:
    """K/N of 400 seeds: within 4.5 standard errors of a binomial count, for each of 60 samples."""
    labels = np.arange(60) % 3
    counts = np.zeros(60)
    for seed in range(400):
        here = situation([0.0] * 60, keep=20, labels=labels, seed=seed, policy="rs2", balance=balance)
        counts[make_policy("rs2")(here).kept] += 1
    assert np.abs(counts - 400 / 3).max() < 4.5 * np.sqrt(400 / 3 * 2 / 3)
