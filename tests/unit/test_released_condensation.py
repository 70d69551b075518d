"""Whole runs against the condensation of the authors' code, written down in plain numpy from a description of it.

After each stage of `interval` epochs:

- the value of a sample is the mean of its entropies in the epochs that trained it, its score the value times
  (number of these epochs / interval)^0.03; all samples are put in descending order of score
- the next stage keeps int(N * (1 - threshold) / 6) samples fewer than the one before: the first of this order
- lost are the samples of this order from the new number up to the old one, L of them
- the last L that are kept are blended with them, one by one in this order; the j-th keeps 0.7 + 0.3 * (L - j)/L of
  itself, and takes the rest of its partner

Nothing here uses the package's ranking, partition, schedule or ramp. A thousand samples, six stages of two epochs. The
entropies fall with every visit, at another pace for each sample, so that dropped ones come back.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kcd_pipeline.condensation import condense, new_values, update_values
from kcd_pipeline.config import CondenseConfig
from kcd_stores import NO_PARTNER, Plan, ValueStore, keep_all

N, STAGES, INTERVAL, THRESHOLD = 1000, 6, 2, 0.75
EPOCHS = STAGES * INTERVAL
RELEASED = CondenseConfig(
    interval=INTERVAL, keep_ratio=THRESHOLD, alpha=0.03, schedule="released", dropped="released", ramp="released"
)


class Theirs(NamedTuple):
    """A stage: the kept samples in their order, and what each of the blended ones takes of which dropped one."""

    kept: list[int]
    blended: dict[int, tuple[int, float]]


def entropies(seed: int = 7) -> np.ndarray:
    """Return the entropy that each epoch would find on each sample if it trained it: `[epochs, N]` float32."""
    random = np.random.default_rng(seed)
    start, pace = random.uniform(0.2, 2.0, N), random.uniform(0.5, 1.0, N)
    noise = random.uniform(0.8, 1.2, (EPOCHS, N))
    return (start * pace ** np.arange(EPOCHS)[:, None] * noise).astype(np.float32)


def authors_stages(entropy: np.ndarray) -> list[Theirs]:
    """Return all six stages of a run of which `entropy[epochs, N]` is known."""
    stages = [Theirs(list(range(N)), {})]
    total, visits = np.zeros(N), np.zeros(N)
    for stage in range(STAGES):
        for epoch in range(stage * INTERVAL, (stage + 1) * INTERVAL):
            trained = stages[stage].kept
            total[trained] += entropy[epoch, trained]
            visits[trained] += 1
        score = total / visits * (visits / INTERVAL) ** 0.03
        assert np.diff(np.sort(score)).min() > 1e-9, "no ties, so that the order is one"
        order = sorted(range(N), key=lambda sample, score=score: -score[sample])  # type: ignore[misc]
        old = len(stages[stage].kept)
        new = old - int(N * (1 - THRESHOLD) / 6)
        lost = order[new:old]
        tail = order[:new][-len(lost) :]
        share = [1 - (0.7 + 0.3 * (len(lost) - j) / len(lost)) for j in range(len(lost))]
        stages.append(Theirs(order[:new], dict(zip(tail, zip(lost, share, strict=True), strict=True))))
    return stages[:STAGES]  # the set that is made after the last epoch is never taught


def our_stages(folder: Path, entropy: np.ndarray) -> list[Plan]:
    """Return the plans of the same run, from values recorded as training records them."""
    values = ValueStore.create(folder / "values.zarr", epochs=EPOCHS, samples=N)
    value, frequency = new_values(N)
    latest = np.full(N, np.nan, np.float32)
    plans = [keep_all(N)]
    for epoch in range(EPOCHS):
        if epoch and epoch % INTERVAL == 0:
            stage = epoch // INTERVAL
            plans.append(condense(values, before=plans[-1], stage=stage, epochs=EPOCHS, config=RELEASED))
        kept = plans[-1].kept
        update_values(value, frequency, kept, entropy[epoch, kept])
        latest[kept] = entropy[epoch, kept]
        values.write(epoch, value, frequency, latest)
    return plans


def test_every_stage_keeps_and_blends_what_the_authors_code_would(tmp_path: Path) -> None:
    entropy = entropies()
    theirs, ours = authors_stages(entropy), our_stages(tmp_path, entropy)
    # 1,000 * 0.25 / 6 = 41.67, and their code cuts it off: 41 fewer each stage
    assert [len(stage.kept) for stage in theirs] == [1000, 959, 918, 877, 836, 795]
    for expected, plan in zip(theirs, ours, strict=True):
        assert plan.kept.tolist() == sorted(expected.kept)
        low = plan.partner != NO_PARTNER
        assert dict(zip(plan.kept[low].tolist(), plan.partner[low].tolist(), strict=True)) == {
            kept: partner for kept, (partner, _) in expected.blended.items()
        }
        found = dict(zip(plan.kept.tolist(), plan.epsilon.tolist(), strict=True))
        for kept, (_, share) in expected.blended.items():
            assert abs(found[kept] - share) < 1e-7


def test_the_script_has_samples_that_come_back_and_partners_dropped_before(tmp_path: Path) -> None:
    """Without them, the readings of the dropped would not differ and the test above would prove little."""
    plans = our_stages(tmp_path, entropies())
    assert [plan.facts["perturbed"] for plan in plans[1:]] == [41] * 5
    assert sum(plan.facts["came_back"] > 0 for plan in plans[1:]) >= 3
    partners_dropped_before = [
        len(np.setdiff1d(plan.partner[plan.low], before.kept)) for before, plan in pairwise(plans)
    ]
    assert sum(count > 0 for count in partners_dropped_before) >= 3
    assert all(plan.facts["newly_dropped"] == 41 + plan.facts["came_back"] for plan in plans[1:])
