"""The paper's policy: the most valuable samples are kept, and dropped ones are blended into the lowest of them.

Knowledge Condensation Distillation (ECCV 2022), section 3.3. Letters: N samples, K kept, L perturbed.
"""

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.condensation.policies.balance import Classes, balanced_classes, kept_of
from kcd_pipeline.condensation.policies.everything import everything, is_finish
from kcd_pipeline.condensation.policies.memory import require_memory
from kcd_pipeline.condensation.policies.protocol import Choice, Situation, as_fact
from kcd_pipeline.condensation.ranking.select import Partition, rank_all
from kcd_pipeline.condensation.scoring import original_score
from kcd_pipeline.condensation.vaks import partition, plan_arrays
from kcd_stores.scratch import pieces


def keep_by_rank(situation: Situation) -> Choice:
    """Keep the first K by rank and blend dropped samples into the lowest of them, as `condense.dropped` has it."""
    config = situation.config
    parts = _partition(situation)
    epsilon_max = None if config.perturb == "off" else config.epsilon_max
    kept, partner, epsilon = plan_arrays(parts, situation.samples, epsilon_max, config.ramp, situation.scratch)
    facts = {"score_cut": as_fact(original_score(parts.score_cut, config)), "never_visited": parts.never_visited}
    return Choice(kept=kept, partner=partner, epsilon=epsilon, facts=facts)


def keep_by_rank_then_all(situation: Situation) -> Choice:
    """Keep by rank up to the finish, which is taught all samples."""
    return everything(situation) if is_finish(situation) else keep_by_rank(situation)


def _partition(situation: Situation) -> Partition:
    kept_before = situation.scratch.full(situation.samples, np.bool_, False)
    for piece in pieces(len(situation.before.kept)):
        kept_before[situation.before.kept[piece]] = True
    scores, keep, dropped = situation.scores(), situation.keep, situation.config.dropped
    if situation.config.balance == "none":
        memory, scratch = situation.memory, situation.scratch
        return partition(scores, keep=keep, kept_before=kept_before, dropped=dropped, memory=memory, scratch=scratch)
    require_memory(situation)
    order = rank_all(scores, memory=situation.memory)
    return balanced_partition(
        scores, order, keep=keep, classes=balanced_classes(situation), kept_before=kept_before, dropped=dropped
    )


def balanced_partition(
    scores: da.Array,
    order: NDArray[np.integer],
    *,
    keep: int,
    classes: Classes,
    kept_before: NDArray[np.bool_],
    dropped: str,
) -> Partition:
    """Split samples as `partition` does, except that K1 has the share of each class; see `kept_of`.

    K1L is the lowest L of K1, and its partners the first L of those that may be blended, both by the rank among all
    samples, whatever their class.

    Parameters
    ----------
    scores, order
        `[N]` float64, and all samples by descending score.
    keep, kept_before, dropped
        As in `partition`.
    """
    is_kept = kept_of(order, keep, classes)
    kept, rest = order[is_kept], order[~is_kept]
    if dropped == "new":
        rest = rest[kept_before[rest]]
    fewer = max(int(np.count_nonzero(kept_before)) - keep, 0)
    low = min(fewer if dropped == "released" else len(rest), len(rest), keep)
    return Partition(
        high=np.sort(kept[: keep - low]),
        low=kept[keep - low :],
        partners=rest[:low],
        score_cut=float(scores[int(kept[-1])].compute()),
        never_visited=int(np.isneginf(scores).sum().compute()),
    )
