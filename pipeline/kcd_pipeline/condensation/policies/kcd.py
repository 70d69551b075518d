"""The paper's policy: the most valuable samples are kept, and the dropped ones are blended into the lowest of them.

Knowledge Condensation Distillation (ECCV 2022), section 3.3.
"""

import numpy as np

from kcd_pipeline.condensation.policies.protocol import Choice, Situation
from kcd_pipeline.condensation.scoring import original_score
from kcd_pipeline.condensation.vaks import partition, plan_arrays


def kcd(situation: Situation) -> Choice:
    """Keep the first K by rank and blend dropped samples into the lowest of them, as `condense.dropped` has it."""
    config = situation.config
    kept_before = np.zeros(situation.samples, dtype=bool)
    kept_before[situation.before.kept] = True
    parts = partition(
        situation.scores(),
        keep=situation.keep,
        kept_before=kept_before,
        dropped=config.dropped,
        memory=situation.memory,
    )
    epsilon_max = None if config.perturb == "off" else config.epsilon_max
    kept, partner, epsilon = plan_arrays(parts, situation.samples, epsilon_max, config.ramp)
    cut = original_score(parts.score_cut, config)
    facts = {"score_cut": cut if np.isfinite(cut) else None, "never_visited": parts.never_visited}
    return Choice(kept=kept, partner=partner, epsilon=epsilon, facts=facts)
