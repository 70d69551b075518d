"""The choice of all samples, as stored: what `annealed` and `infobatch` finish with."""

import numpy as np

from kcd_pipeline.condensation.policies.protocol import Choice, Situation
from kcd_pipeline.condensation.schedule import finish_epoch
from kcd_stores.scratch import pieces


def is_finish(situation: Situation) -> bool:
    """Return True if the stage is the finish, the last part of the epochs by `condense.finish`."""
    finish = finish_epoch(situation.epochs, situation.config)
    return finish is not None and situation.opens >= finish


def everything(situation: Situation) -> Choice:
    """Keep all samples, without weights or blends."""
    return Choice(kept=situation.scratch.counted(situation.samples), facts=unranked_facts(situation))


def unranked_facts(situation: Situation) -> dict[str, int | None]:
    """Return the facts of a choice that ranks nothing: no score at the cut, and how many samples were never visited."""
    frequency = situation.frequency()
    never = sum(int(np.count_nonzero(frequency[piece] == 0)) for piece in pieces(len(frequency)))
    return {"score_cut": None, "never_visited": never}
