"""The number of samples that a stage keeps: the paper's numbers, worked out by hand."""

import pytest

from kcd_pipeline.condensation.schedule import kept_count, kept_fraction, stage_count, stage_of

# The published setting: 240 epochs, interval 40, keep_ratio 0.7, N = 50,000: six stages.
# released: 1 - 0.3 * s/6 -> 100, 95, 90, 85, 80, 75 percent;  linear: 1 - 0.3 * s/5 -> 100, 94, 88, 82, 76, 70
PUBLISHED = {
    "released": [50_000, 47_500, 45_000, 42_500, 40_000, 37_500],
    "linear": [50_000, 47_000, 44_000, 41_000, 38_000, 35_000],
}


@pytest.mark.parametrize(("schedule", "sizes"), PUBLISHED.items())
def test_published_sizes(schedule: str, sizes: list[int]) -> None:
    assert stage_count(240, 40) == 6
    assert [kept_count(50_000, stage, 6, 0.7, schedule) for stage in range(6)] == sizes


def test_counts_are_never_one_off_where_binary_fractions_would_be() -> None:
    # 0.7 * 10 is 7.000000000000001 or 6.999999999999999 depending on how it is written; 0.29 * 100 is 28.999...
    assert kept_count(10, 1, 2, 0.7, "linear") == 7
    assert kept_count(100, 1, 2, 0.29, "linear") == 29


def test_half_a_sample_is_kept() -> None:
    assert kept_count(5, 1, 2, 0.5, "linear") == 3  # 2.5


def test_at_least_one_sample_is_kept() -> None:
    assert kept_count(10, 1, 2, 0.001, "linear") == 1


def test_a_single_stage_keeps_everything() -> None:
    assert kept_fraction(0, 1, 0.7, "linear") == kept_fraction(0, 1, 0.7, "released") == 1


def test_stages_and_epochs() -> None:
    assert [stage_of(epoch, 4) for epoch in range(9)] == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert stage_count(9, 4) == 3


def test_a_stage_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="stage 6 of 6"):
        kept_fraction(6, 6, 0.7, "linear")
