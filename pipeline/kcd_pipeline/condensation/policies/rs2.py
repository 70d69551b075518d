"""RS2: a random subset of its own for every epoch.

Okanovic et al., "Repeated Random Sampling for Minimizing the Time-to-Accuracy of Learning" (ICLR 2024). Each epoch
draws from all samples, whatever the epochs before were taught: the paper's RS2 with replacement. Letters: K kept.
"""

import numpy as np

from kcd_pipeline.condensation.policies.balance import balanced_classes, kept_of
from kcd_pipeline.condensation.policies.draws import draw
from kcd_pipeline.condensation.policies.everything import everything, unranked_facts
from kcd_pipeline.condensation.policies.memory import require_memory
from kcd_pipeline.condensation.policies.protocol import Choice, Situation
from kcd_stores.philox import SUBSET_STREAM


def keep_at_random(situation: Situation) -> Choice:
    """Keep K random samples, exactly; values play no part."""
    if situation.keep == situation.samples:
        return everything(situation)
    require_memory(situation)
    scores = draw(situation, situation.samples, stream=SUBSET_STREAM)
    order = np.argsort(-scores, kind="stable")
    kept = np.sort(order[kept_of(order, situation.keep, balanced_classes(situation))])
    return Choice(kept=kept, facts=unranked_facts(situation))
