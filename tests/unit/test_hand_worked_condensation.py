"""OGVE and VAKS on ten samples, every number worked out on paper first (design.md; KCD, eq. 7, 8, 11-15).

Ten samples; the student's entropies H (nats) in the three epochs of stage 0, and what eq. 12 makes of them:

    sample      0     1     2     3     4     5     6     7     8     9
    H epoch 0  0.9   0.3   0.9   1.2   0.2   0.5   0.9   0.5   1.0   0.1
    H epoch 1  0.7   0.3   0.7   1.0   0.2   0.3   0.7   0.3   0.8   0.1
    H epoch 2  0.5   0.3   0.5   0.8   0.2   0.4   0.5   0.4   0.9   0.1
    V (mean)   0.7   0.3   0.7   1.0   0.2   0.4   0.7   0.4   0.9   0.1     F = 3 for all

With alpha = 1 (so that F can be followed): score = V * 3. Descending, ties by index:

    rank        0     1     2     3     4     5     6     7     8     9
    sample      3     8     0     2     6     5     7     1     4     9
    score      3.0   2.7   2.1   2.1   2.1   1.2   1.2   0.9   0.6   0.3
    1 - R/N    1.0   0.9   0.8   0.7   0.6   0.5   0.4   0.3   0.2   0.1

Three stages of three epochs, keep_ratio 0.6, schedule linear: stage 1 keeps 1 - 0.4 * 1/2 = 0.8 -> 8 samples,
stage 2 keeps 1 - 0.4 * 2/2 = 0.6 -> 6 samples.

Stage 1: K1 = ranks 0..7 = {3 8 0 2 6 5 7 1}, K0 = {4 9}, all newly dropped.
    K1L = the lowest 2 of K1 by rank = (7, 1); K1H = {3 8 0 2 6 5}
    K0 by descending rank = (4, 9), so 7 <- 4 and 1 <- 9
    eps from 0 to epsilon_max = 0.3 over two: 7 gets 0.0, 1 gets 0.3

In stage 1 only the 8 kept are visited, so F = 6 for them and 3 for 4 and 9. Their H over the next three epochs:

    sample      0     1     2     3     5     6     7     8
    H, each    0.1   0.9   0.48  0.16  0.2   0.3   0.58  0.7
    V          0.4   0.6   0.59  0.58  0.3   0.5   0.49  0.8       (mean of the two means: three visits each)
    V * 6      2.4   3.6   3.54  3.48  1.8   3.0   2.94  4.8       and 4: 0.2 * 3 = 0.6, 9: 0.1 * 3 = 0.3

    rank        0     1     2     3     4     5     6     7     8     9
    sample      8     1     2     3     6     7     0     5     4     9

Stage 2: K1 = {8 1 2 3 6 7}, K0 = {0 5 4 9}.
    `new`: newly dropped = (0, 5); K1L = the lowest 2 of K1 = (6, 7); 6 <- 0 eps 0.0, 7 <- 5 eps 0.3
    `all`: K0 by descending rank = (0, 5, 4, 9); K1L = the lowest 4 of K1 = (2, 3, 6, 7);
           2 <- 0 eps 0.0, 3 <- 5 eps 0.1, 6 <- 4 eps 0.2, 7 <- 9 eps 0.3
"""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import torch

from kcd_pipeline.condensation import TaughtRows, condense, new_values, update_values
from kcd_pipeline.condensation.ogve import scores
from kcd_pipeline.condensation.vaks import blend
from kcd_pipeline.config import CondenseConfig
from kcd_stores import NO_PARTNER, Plan, ValueStore, keep_all
from kcd_stores.philox import random_scores

N = 10
STAGE_0 = [
    [0.9, 0.3, 0.9, 1.2, 0.2, 0.5, 0.9, 0.5, 1.0, 0.1],
    [0.7, 0.3, 0.7, 1.0, 0.2, 0.3, 0.7, 0.3, 0.8, 0.1],
    [0.5, 0.3, 0.5, 0.8, 0.2, 0.4, 0.5, 0.4, 0.9, 0.1],
]
V_AFTER_STAGE_0 = [0.7, 0.3, 0.7, 1.0, 0.2, 0.4, 0.7, 0.4, 0.9, 0.1]

KEPT_IN_STAGE_1 = [0, 1, 2, 3, 5, 6, 7, 8]
H_IN_STAGE_1 = [0.1, 0.9, 0.48, 0.16, 0.2, 0.3, 0.58, 0.7]  # the same in each of its three epochs
V_AFTER_STAGE_1 = [0.4, 0.6, 0.59, 0.58, 0.2, 0.3, 0.5, 0.49, 0.8, 0.1]

CONDENSE = CondenseConfig(interval=3, keep_ratio=0.6, alpha=1.0, epsilon_max=0.3, schedule="linear", dropped="new")
EPOCHS = 9


@pytest.fixture
def values(tmp_path: Path) -> ValueStore:
    """Values of a run with exactly the entropies above, recorded as training records them."""
    store = ValueStore.create(tmp_path / "values.zarr", epochs=EPOCHS, samples=N)
    value, frequency = new_values(N)
    latest = np.full(N, np.nan, np.float32)
    visits = [(np.arange(N), entropies) for entropies in STAGE_0]
    visits += [(np.array(KEPT_IN_STAGE_1), H_IN_STAGE_1)] * 3
    for epoch, (index, entropies) in enumerate(visits):
        shuffled = np.random.default_rng(epoch).permutation(len(index))  # the order of visits must not matter
        update_values(value, frequency, index[shuffled], np.array(entropies, np.float32)[shuffled])
        latest[index] = entropies
        store.write(epoch, value, frequency, latest)
    return store


def test_values_and_frequencies_are_those_on_paper(values: ValueStore) -> None:
    value, frequency = values.read(2)
    np.testing.assert_allclose(value, V_AFTER_STAGE_0, atol=1e-7)
    assert frequency.tolist() == [3] * N
    value, frequency = values.read(5)
    np.testing.assert_allclose(value, V_AFTER_STAGE_1, atol=1e-7)
    assert frequency.tolist() == [6, 6, 6, 6, 3, 6, 6, 6, 6, 3]


def test_scores_weigh_value_by_frequency() -> None:
    value, frequency = np.array([0.5, 0.5, np.nan]), np.array([4, 1, 0], dtype=np.int32)
    score = scores(da.from_array(value), da.from_array(frequency), alpha=0.5).compute()
    np.testing.assert_allclose(score, [1.0, 0.5, -np.inf])  # 0.5 * sqrt(4), 0.5 * sqrt(1), never visited: last


def plan_on_paper(plan: Plan) -> dict[int, tuple[int, float]]:
    """Return {kept sample: (partner, eps)}."""
    return {int(k): (int(p), round(float(e), 6)) for k, p, e in zip(plan.kept, plan.partner, plan.epsilon, strict=True)}


STORED = (NO_PARTNER, 0.0)


def stage_1(values: ValueStore) -> Plan:
    return condense(values, before=keep_all(N), stage=1, epochs=EPOCHS, config=CONDENSE)


def test_stage_1_is_the_one_on_paper(values: ValueStore) -> None:
    plan = stage_1(values)
    assert plan_on_paper(plan) == dict.fromkeys((3, 8, 0, 2, 6, 5), STORED) | {7: (4, 0.0), 1: (9, 0.3)}
    assert plan.epoch == 3
    assert dict(plan.facts) == {
        "kept": 8,
        "taught_as_stored": 6,
        "perturbed": 2,
        "dropped": 2,
        "newly_dropped": 2,
        "came_back": 0,
        "overlap": 1.0,
        "never_visited": 0,
        "score_cut": pytest.approx(0.9, abs=1e-6),  # of sample 1, the last that is kept
    }


def test_stage_2_with_the_newly_dropped(values: ValueStore) -> None:
    plan = condense(values, before=stage_1(values), stage=2, epochs=EPOCHS, config=CONDENSE)
    assert plan_on_paper(plan) == dict.fromkeys((8, 1, 2, 3), STORED) | {6: (0, 0.0), 7: (5, 0.3)}
    assert plan.facts["newly_dropped"] == 2
    assert plan.facts["dropped"] == 4


def test_stage_2_with_all_that_is_dropped(values: ValueStore) -> None:
    config = CONDENSE.model_copy(update={"dropped": "all"})
    plan = condense(values, before=stage_1(values), stage=2, epochs=EPOCHS, config=config)
    assert plan_on_paper(plan) == {
        8: STORED,
        1: STORED,
        2: (0, 0.0),
        3: (5, 0.1),
        6: (4, 0.2),
        7: (9, 0.3),
    }


def test_a_dropped_sample_comes_back_when_its_rank_allows(values: ValueStore) -> None:
    """Ranking is over all samples: sample 8, the most valuable, is kept although stage 1 is made to have dropped it."""
    others = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    before = Plan(
        stage=1,
        epoch=3,
        samples=N,
        kept=others,
        partner=np.full(8, NO_PARTNER),
        epsilon=np.zeros(8, dtype=np.float32),
    )
    plan = condense(values, before=before, stage=2, epochs=EPOCHS, config=CONDENSE)
    assert 8 in plan.kept
    assert plan.facts["came_back"] == 1
    assert plan.facts["overlap"] == 5 / 6  # 1, 2, 3, 6 and 7 were kept before, 8 was not
    assert plan.facts["newly_dropped"] == 3  # 0, 5 and 4; 9 was dropped before
    assert plan_on_paper(plan) == dict.fromkeys((8, 1, 2), STORED) | {3: (0, 0.0), 6: (5, 0.15), 7: (4, 0.3)}


def test_fewer_kept_than_dropped_perturbs_all_that_is_kept(values: ValueStore) -> None:
    """With keep_ratio 0.2, stage 2 keeps (8, 1) of ten, and uses only the two most valuable of the eight dropped."""
    config = CONDENSE.model_copy(update={"keep_ratio": 0.2, "dropped": "all"})
    plan = condense(values, before=keep_all(N), stage=2, epochs=EPOCHS, config=config)
    assert plan_on_paper(plan) == {8: (2, 0.0), 1: (3, 0.3)}


# --- ablations: other plans from the same values ----------------------------------------------------------


def test_drop_only_keeps_the_same_and_perturbs_nothing(values: ValueStore) -> None:
    config = CONDENSE.model_copy(update={"perturb": "off"})
    plan = condense(values, before=keep_all(N), stage=1, epochs=EPOCHS, config=config)
    assert plan_on_paper(plan) == dict.fromkeys((3, 8, 0, 2, 6, 5, 7, 1), STORED)
    assert (plan.facts["taught_as_stored"], plan.facts["perturbed"], plan.facts["newly_dropped"]) == (8, 0, 2)


def test_pairs_have_the_same_plan_for_they_differ_in_what_is_blended(values: ValueStore) -> None:
    config = CONDENSE.model_copy(update={"perturb": "pair"})
    plan = condense(values, before=keep_all(N), stage=1, epochs=EPOCHS, config=config)
    assert plan_on_paper(plan) == plan_on_paper(stage_1(values))


def test_keeping_the_least_valued_is_the_ranking_from_its_other_end(values: ValueStore) -> None:
    """Ascending score, ties by index: 9 4 1 5 7 0 2 6 8 3. Of 8 kept the last two are (2, 6); dropped: 8, then 3."""
    config = CONDENSE.model_copy(update={"keep": "least"})
    plan = condense(values, before=keep_all(N), stage=1, epochs=EPOCHS, config=config)
    assert plan_on_paper(plan) == dict.fromkeys((9, 4, 1, 5, 7, 0), STORED) | {2: (8, 0.0), 6: (3, 0.3)}
    assert plan.facts["score_cut"] == pytest.approx(2.1, abs=1e-6)  # of sample 6, the most valued that is kept


def test_current_entropy_ranks_by_the_latest_visit_also_of_what_was_dropped(values: ValueStore) -> None:
    """After stage 1 the latest H of 4 and 9, dropped in it, are those of epoch 2: 0.2 and 0.1.

    sample      0     1     2     3     4     5     6     7     8     9
    H          0.1   0.9   0.48  0.16  0.2   0.2   0.3   0.58  0.7   0.1
    H * F      0.6   5.4   2.88  0.96  0.6   1.2   1.8   3.48  4.2   0.3     (F = 6, but 3 for 4 and 9)
    rank: 1 8 7 2 6 5 | 3 0 4 9. New in K0: 3, 0. K1L = (6, 5).
    """
    config = CONDENSE.model_copy(update={"track": "latest"})
    plan = condense(values, before=stage_1(values), stage=2, epochs=EPOCHS, config=config)
    assert plan_on_paper(plan) == dict.fromkeys((1, 8, 7, 2), STORED) | {6: (3, 0.0), 5: (0, 0.3)}


def test_dropping_at_random_keeps_the_schedule_and_depends_on_seed_and_stage_alone(values: ValueStore) -> None:
    config = CONDENSE.model_copy(update={"keep": "random"})

    def plan(seed: int, stage: int) -> Plan:
        return condense(values, before=keep_all(N), stage=stage, epochs=EPOCHS, config=config, seed=seed)

    assert [len(plan(0, stage).kept) for stage in (1, 2)] == [8, 6]
    assert plan_on_paper(plan(0, 1)) == plan_on_paper(plan(0, 1))
    kept = {tuple(plan(seed, stage).kept) for seed in range(4) for stage in (1, 2)}
    assert len(kept) == 8, "each seed and stage draws anew"
    order = random_scores(0, 1, np.arange(N)).argsort()[::-1]
    assert set(plan(0, 1).kept) == set(order[:8])
    assert dict(zip(order[6:8].tolist(), order[8:].tolist(), strict=True)) == {
        kept: partner for kept, (partner, _) in plan_on_paper(plan(0, 1)).items() if partner != NO_PARTNER
    }


def test_samples_never_visited_are_dropped_first_by_every_rule(tmp_path: Path) -> None:
    store = ValueStore.create(tmp_path / "values.zarr", epochs=2, samples=4)
    visited, nothing = np.array([1, 0, 1, 1], np.int32), np.nan
    store.write(0, np.array([0.5, nothing, 0.1, 0.9]), visited, np.array([0.5, nothing, 0.1, 0.9], np.float32))
    for keep in ("most", "least", "random"):
        config = CondenseConfig(interval=1, keep_ratio=0.75, keep=keep)
        plan = condense(store, before=keep_all(4), stage=1, epochs=2, config=config)
        assert plan.kept.tolist() == [0, 2, 3]
        assert plan.facts["never_visited"] == 1


def test_samples_never_visited_rank_last_and_are_reported(tmp_path: Path) -> None:
    """Ten samples of which 0 and 5 were never visited; 0.8 of them are kept, so they are dropped, in order."""
    store = ValueStore.create(tmp_path / "values.zarr", epochs=EPOCHS, samples=N)
    value, frequency = new_values(N)
    visited = np.array([1, 2, 3, 4, 6, 7, 8, 9])
    update_values(value, frequency, visited, np.array([0.3, 0.9, 1.2, 0.2, 0.0, 0.5, 1.0, 0.1], np.float32))
    store.write(2, value, frequency, value.astype(np.float32))
    plan = stage_1(store)
    # by value: 3 8 2 7 1 4 9 6, even 6, whose entropy is 0, before those without one
    assert plan_on_paper(plan) == dict.fromkeys((3, 8, 2, 7, 1, 4), STORED) | {9: (0, 0.0), 6: (5, 0.3)}
    assert plan.facts["never_visited"] == 2
    assert plan.facts["score_cut"] == 0


def test_an_epoch_that_was_never_written_is_no_reason_to_rank(tmp_path: Path) -> None:
    store = ValueStore.create(tmp_path / "values.zarr", epochs=EPOCHS, samples=N)
    with pytest.raises(ValueError, match="never written"):
        stage_1(store)


# Three classes; stored rows of samples 1 (taught) and 9 (its partner, eps 0.3) as logits:
#     z1 = (2, 0, 0), z0 = (0, 1, -1)    ->    z1 + 0.3 z0 = (2, 0.3, -0.3)
# As probabilities at T = 1 with p1 = (0.5, 0.3, 0.2), p0 = (0.1, 0.1, 0.8), eps = 0.25:
#     (p1 + 0.25 p0) / 1.25 = (0.525, 0.325, 0.4) / 1.25 = (0.42, 0.26, 0.32)
def test_a_row_perturbed_in_logit_space() -> None:
    plan = Plan(
        stage=1,
        epoch=1,
        samples=3,
        kept=np.array([0, 1]),
        partner=np.array([NO_PARTNER, 2]),
        epsilon=np.array([0, 0.3], np.float32),
    )
    rows = np.array([[5, 6, 7], [2, 0, 0], [0, 1, -1]], np.float16)
    taught = TaughtRows(plan, space="logits", temperature=4.0, classes=3)
    batch = taught.batch(rows, np.array([1, 0]))
    np.testing.assert_allclose(batch, [[2.0, 0.3, -0.3], [5.0, 6.0, 7.0]], atol=1e-6)
    assert batch.dtype == torch.float32
    again = taught.batch(rows, np.array([1, 0]))
    assert torch.equal(batch, again), "a blend must never act on a row blended before"


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_row_perturbed_in_probability_space(temperature: float) -> None:
    first = temperature * torch.log(torch.tensor([[0.5, 0.3, 0.2]]))
    second = temperature * torch.log(torch.tensor([[0.1, 0.1, 0.8]]))
    blended = blend(first, second, torch.tensor([0.25]), space="probabilities", temperature=temperature)
    np.testing.assert_allclose(torch.softmax(blended / temperature, dim=1), [[0.42, 0.26, 0.32]], atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_row_of_a_pair_is_blended_convexly(temperature: float) -> None:
    # 0.75 * (0.5, 0.3, 0.2) + 0.25 * (0.1, 0.1, 0.8) = (0.4, 0.25, 0.35); at eps = 1 the partner's alone
    first = temperature * torch.log(torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]))
    second = temperature * torch.log(torch.tensor([[0.1, 0.1, 0.8], [0.1, 0.1, 0.8]]))
    blended = blend(first, second, torch.tensor([0.25, 1.0]), space="pair", temperature=temperature)
    expected = [[0.4, 0.25, 0.35], [0.1, 0.1, 0.8]]
    np.testing.assert_allclose(torch.softmax(blended / temperature, dim=1), expected, atol=1e-6)


def test_eps_zero_leaves_the_distribution_as_stored_in_every_space() -> None:
    first, second = torch.tensor([[3.0, -1.0, 0.5]]), torch.tensor([[-60.0, 60.0, 0.0]])
    for space in ("logits", "probabilities", "pair"):
        blended = blend(first, second, torch.zeros(1), space=space, temperature=4.0)
        torch.testing.assert_close(torch.softmax(blended / 4, 1), torch.softmax(first / 4, 1))


def test_a_diverged_student_is_refused_with_the_sample_named() -> None:
    value, frequency = new_values(3)
    with pytest.raises(ValueError, match="worth of sample 2 is nan"):
        update_values(value, frequency, np.array([0, 2]), np.array([0.1, np.nan], np.float32))
    assert frequency.tolist() == [0, 0, 0], "nothing is recorded of a batch that is refused"
