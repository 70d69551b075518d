"""Openings of stages and numbers of kept samples, for any schedule, against what their definitions promise."""

import math
from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kcd_pipeline.condensation.schedule import finish_epoch, kept_count, stage_of, stage_openings
from kcd_pipeline.config import CondenseConfig
from kcd_pipeline.config.condense import POLICY_NAMES

hundredths = st.integers(1, 100).map(lambda number: number / 100)
configs = st.builds(
    CondenseConfig,
    policy=st.sampled_from(POLICY_NAMES),
    interval=st.integers(1, 12),
    keep_ratio=hundredths,
    schedule=st.sampled_from(["linear", "released", "constant"]),
    finish=hundredths,
)
few = settings(max_examples=60)


@few
@given(configs, st.integers(1, 60))
def test_stages_hold_every_epoch_once_and_open_with_their_first(config: CondenseConfig, epochs: int) -> None:
    openings = stage_openings(epochs, config)
    assert openings[0] == 0
    assert all(first < second for first, second in pairwise(openings))
    stages = [stage_of(epoch, openings) for epoch in range(epochs)]
    assert [stages.index(stage) for stage in range(len(openings))] == list(openings)
    assert stages == sorted(stages)


@few
@given(configs, st.integers(1, 60), st.integers(1, 10**6))
def test_fewer_and_fewer_are_kept_until_the_finish_keeps_all(config: CondenseConfig, epochs: int, samples: int) -> None:
    finish = finish_epoch(epochs, config)
    last = epochs if finish is None else finish
    kept = [kept_count(samples, epoch, epochs, config) for epoch in range(epochs)]
    assert kept[last:] == [samples] * (epochs - last)
    assert kept[: min(config.interval, last)] == [samples] * min(config.interval, last)
    assert kept[:last] == sorted(kept[:last], reverse=True)
    assert min(kept) >= 1
    of_all = Decimal(str(config.keep_ratio)) * samples
    if last > config.interval:
        if config.schedule == "released":
            assert kept[last - 1] > of_all or config.keep_ratio == 1
        else:
            assert kept[last - 1] == max(math.floor(of_all + Decimal("0.5")), 1)


@few
@given(st.integers(1, 20), st.integers(1, 30), hundredths, st.integers(1, 10**6))
def test_released_drops_as_many_in_each_stage(interval: int, stages: int, keep_ratio: float, samples: int) -> None:
    config = CondenseConfig(interval=interval, keep_ratio=keep_ratio, schedule="released")
    epochs = interval * stages
    kept = [kept_count(samples, epoch, epochs, config) for epoch in stage_openings(epochs, config)]
    step = (samples * (100 - round(100 * keep_ratio))) // (100 * stages)
    assert [before - after for before, after in pairwise(kept)] == [step] * (stages - 1)
