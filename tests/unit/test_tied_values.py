"""Samples whose values are counts, and so often the same: a draw decides between them, not their index."""

from pathlib import Path

import numpy as np
import pytest

from kcd_pipeline.condensation.scoring import ranking_scores
from kcd_pipeline.config import CondenseConfig
from kcd_stores import ValueStore
from kcd_stores.philox import TIE_STREAM, random_scores

N = 3000  # of which 1000 were forgotten never, once and twice, class by class as folders are sorted
COUNTS = np.repeat([0.0, 1.0, 2.0], N // 3)


@pytest.fixture
def values(tmp_path: Path) -> ValueStore:
    made = ValueStore.create(tmp_path / "values.zarr", epochs=1, samples=N, measure="forgetting")
    made.write(0, COUNTS, np.full(N, 5, np.int32), np.zeros(N, np.float32))
    return made


def order(values: ValueStore, *, stage: int = 1, seed: int = 0, **condense: str) -> np.ndarray:
    config = CondenseConfig(alpha=0, **condense)
    scores = ranking_scores(values, epoch=0, stage=stage, config=config, seed=seed).compute()
    return np.argsort(-scores, kind="stable")


@pytest.mark.parametrize("value", ["forgetting", "disagreement"])
def test_equal_counts_are_ranked_by_a_draw_and_different_ones_by_count(values: ValueStore, value: str) -> None:
    ranked = order(values, value=value)
    assert (COUNTS[ranked] == np.repeat([2.0, 1.0, 0.0], N // 3)).all()
    draw = random_scores(0, 1, np.arange(N), stream=TIE_STREAM)
    expected = np.lexsort((-draw, -COUNTS))  # by count, then by the draw
    assert (ranked == expected).all()


def test_the_draw_is_pure_in_seed_stage_and_sample(values: ValueStore) -> None:
    first = order(values, value="forgetting")
    assert (first == order(values, value="forgetting")).all()
    assert (first != order(values, value="forgetting", stage=2)).any()
    assert (first != order(values, value="forgetting", seed=1)).any()


def test_no_part_of_the_index_is_favoured(values: ValueStore) -> None:
    top = order(values, value="forgetting")[:500] - 2 * N // 3  # half of those with two events, from 0 to 999
    # the mean of 500 of the numbers 0 to 999, drawn without replacement, has a deviation of 9.1: four of them
    assert abs(top.mean() - 499.5) < 37


def test_the_least_valued_are_drawn_too_and_other_values_go_by_index(values: ValueStore) -> None:
    least = order(values, value="forgetting", keep="least")
    assert (COUNTS[least] == COUNTS).all()
    assert (least != np.arange(N)).any()
    assert (order(values, value="entropy", keep="least") == np.arange(N)).all()
