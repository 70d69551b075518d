"""The steps of an epoch, against batches that are really cut and grouped by hand."""

import numpy as np
import pytest

from kcd_pipeline.training.steps import StepPlan
from kcd_stores.streaming.order import cut_batches


@pytest.mark.parametrize("accumulate", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
@pytest.mark.parametrize("samples", [1, 2, 3, 15, 16, 17, 18, 31, 32, 33, 48, 49])
def test_steps_are_groups_of_the_batches_that_are_cut(samples: int, batch_size: int, accumulate: int) -> None:
    plan = StepPlan(samples=samples, batch_size=batch_size, accumulate=accumulate)
    batches = [len(batch) for batch in cut_batches(np.arange(samples), batch_size)]
    groups = [batches[first : first + accumulate] for first in range(0, len(batches), accumulate)]
    assert (plan.batches, plan.steps) == (len(batches), len(groups))
    assert [plan.samples_of(step) for step in range(plan.steps)] == [sum(group) for group in groups]
    ends = [plan.ends_step(batch) for batch in range(plan.batches)]
    assert ends == [last for group in groups for last in [False] * (len(group) - 1) + [True]]
    assert [plan.step_of(batch) for batch in range(plan.batches)] == [
        step for step, group in enumerate(groups) for _ in group
    ]


def test_an_epoch_by_hand() -> None:
    """Cut 33 samples into batches of 8: the last one joins the fourth, 8, 8, 8, 9. Three batches a step: 24 and 9."""
    plan = StepPlan(samples=33, batch_size=8, accumulate=3)
    assert (plan.batches, plan.steps, plan.samples_of(0), plan.samples_of(1)) == (4, 2, 24, 9)
