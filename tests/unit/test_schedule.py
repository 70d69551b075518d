"""When stages open and how many samples they keep: the paper's numbers and others, worked out by hand."""

from typing import Any

import pytest

from kcd_pipeline.condensation.schedule import finish_epoch, kept_count, stage_of, stage_openings
from kcd_pipeline.config import CondenseConfig


def config(**keys: Any) -> CondenseConfig:
    return CondenseConfig(**keys)


# The published setting: 240 epochs, interval 40, keep_ratio 0.7, N = 50,000: six stages.
# released: 1 - 0.3 * s/6 -> 100, 95, 90, 85, 80, 75 percent;  linear: 1 - 0.3 * s/5 -> 100, 94, 88, 82, 76, 70
PUBLISHED = {
    "released": [50_000, 47_500, 45_000, 42_500, 40_000, 37_500],
    "linear": [50_000, 47_000, 44_000, 41_000, 38_000, 35_000],
    "constant": [50_000, 35_000, 35_000, 35_000, 35_000, 35_000],
}


@pytest.mark.parametrize(("schedule", "sizes"), PUBLISHED.items())
def test_published_sizes(schedule: str, sizes: list[int]) -> None:
    openings = stage_openings(240, config())
    assert openings == (0, 40, 80, 120, 160, 200)
    assert [kept_count(50_000, epoch, 240, config(schedule=schedule)) for epoch in openings] == sizes


def test_counts_are_never_one_off_where_binary_fractions_would_be() -> None:
    # 0.7 * 10 is 7.000000000000001 or 6.999999999999999 depending on how it is written; 0.29 * 100 is 28.999...
    assert kept_count(10, 1, 2, config(interval=1, keep_ratio=0.7)) == 7
    assert kept_count(100, 1, 2, config(interval=1, keep_ratio=0.29, schedule="constant")) == 29
    # released drops 10 * (1 - 0.8) / 2 = 1 a step, which is 0.9999999999999998 in binary, truncated to 0
    assert kept_count(10, 1, 2, config(interval=1, keep_ratio=0.8, schedule="released")) == 9


def test_half_a_sample_is_kept() -> None:
    assert kept_count(5, 1, 2, config(interval=1, keep_ratio=0.5)) == 3  # 2.5


def test_released_cuts_off_the_number_that_a_stage_drops() -> None:
    # 1,000 * 0.25 / 6 is 41.67: 41 fewer each stage. 1 - 0.25 * s/6 would be 958.3, 916.7, 875, 833.3, 791.7
    released = config(interval=1, keep_ratio=0.75, schedule="released")
    assert [kept_count(1000, epoch, 6, released) for epoch in range(6)] == [1000, 959, 918, 877, 836, 795]


@pytest.mark.parametrize("schedule", PUBLISHED)
def test_at_least_one_sample_is_kept(schedule: str) -> None:
    assert kept_count(1, 9, 10, config(interval=1, keep_ratio=0.001, schedule=schedule)) == 1


@pytest.mark.parametrize("schedule", PUBLISHED)
def test_a_single_stage_keeps_everything(schedule: str) -> None:
    assert [kept_count(10, epoch, 40, config(schedule=schedule)) for epoch in (0, 39)] == [10, 10]


def test_stages_and_epochs() -> None:
    openings = stage_openings(9, config(interval=4))
    assert openings == (0, 4, 8)
    assert [stage_of(epoch, openings) for epoch in range(9)] == [0, 0, 0, 0, 1, 1, 1, 1, 2]


def test_a_part_of_the_users_own_opens_stages_as_kcd_does() -> None:
    assert stage_openings(9, config(policy="mine:choose", interval=4)) == (0, 4, 8)


@pytest.mark.parametrize("policy", ["rs2", "weighted"])
def test_a_plan_each_epoch_of_a_schedule_that_steps_each_interval(policy: str) -> None:
    each = config(policy=policy, interval=2, keep_ratio=0.5)  # six epochs, S = 3: 1, 0.75, 0.5
    assert stage_openings(6, each) == (0, 1, 2, 3, 4, 5)
    assert [kept_count(8, epoch, 6, each) for epoch in range(6)] == [8, 8, 6, 6, 4, 4]


# finish 0.125 of 20 epochs is 2.5, rounded half up: the last 3, from epoch 17 on.
def test_annealed_ends_on_all_samples_and_its_schedule_ends_before() -> None:
    annealed = config(policy="annealed", interval=6, keep_ratio=0.5)
    assert finish_epoch(20, annealed) == 17
    assert stage_openings(20, annealed) == (0, 6, 12, 17)
    # epochs 0-5, 6-11, 12-16: S = 3, so 1, 0.75, 0.5; then all
    assert [kept_count(8, epoch, 20, annealed) for epoch in (0, 6, 12, 16, 17, 19)] == [8, 6, 4, 4, 8, 8]


def test_a_finish_that_begins_where_a_stage_would() -> None:
    annealed = config(policy="annealed", interval=4, finish=0.2)
    assert stage_openings(10, annealed) == (0, 4, 8)
    assert kept_count(10, 8, 10, annealed) == 10


def test_infobatch_plans_each_epoch_up_to_its_finish() -> None:
    infobatch = config(policy="infobatch", finish=0.25)
    assert finish_epoch(8, infobatch) == 6
    assert stage_openings(8, infobatch) == (0, 1, 2, 3, 4, 5, 6)
    assert stage_of(7, stage_openings(8, infobatch)) == 6


def test_a_finish_shorter_than_half_an_epoch_is_none() -> None:
    annealed = config(policy="annealed", interval=2, finish=0.1)
    assert finish_epoch(4, annealed) == 4
    assert stage_openings(4, annealed) == (0, 2)
    assert kept_count(10, 3, 4, annealed) == 7


def test_a_finish_of_all_epochs_is_one_stage() -> None:
    annealed = config(policy="annealed", finish=1)
    assert stage_openings(4, annealed) == (0,)
    assert kept_count(10, 3, 4, annealed) == 10


def test_only_two_policies_have_a_finish() -> None:
    assert [finish_epoch(8, config(policy=policy)) for policy in ("kcd", "rs2", "weighted")] == [None] * 3


def test_an_epoch_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="epoch 6 of 6"):
        kept_count(10, 6, 6, config())
