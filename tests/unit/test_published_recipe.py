"""The arithmetic of the published recipe, by hand: 50,000 samples, 240 epochs in six stages of 40, keep_ratio 0.7.

released keeps 1 - 0.3 * s/6, which is 2,500 samples fewer a stage; linear keeps 1 - 0.3 * s/5, which is 3,000 fewer.
Where nothing comes back, what a stage newly drops is what it keeps fewer, so the readings `released` and `new` of the
dropped are one; K1L is as many as are blended in, in each reading, and K1H is the rest of K1.

                          released                              linear
    stage           0     1     2     3     4     5       0     1     2     3     4     5
    K1         50,000 47500 45000 42500 40000 37500  50,000 47000 44000 41000 38000 35000
    not kept        0  2500  5000  7500 10000 12500       0  3000  6000  9000 12000 15000

    new:       K1L  0  2500  2500  2500  2500  2500       0  3000  3000  3000  3000  3000
          K1H  50,000 45000 42500 40000 37500 35000  50,000 44000 41000 38000 35000 32000
    all:       K1L  0  2500  5000  7500 10000 12500       0  3000  6000  9000 12000 15000
          K1H  50,000 45000 40000 35000 30000 25000  50,000 44000 38000 32000 26000 20000
"""

from pathlib import Path

import numpy as np
import pytest

from kcd_pipeline.condensation import condense
from kcd_pipeline.config import load_config
from kcd_stores import ValueStore, keep_all

N, EPOCHS, STAGES = 50_000, 240, 6
RECIPE = "cifar100/resnet32x4-resnet8x4"
KEPT = {
    "released": [47_500, 45_000, 42_500, 40_000, 37_500],
    "linear": [47_000, 44_000, 41_000, 38_000, 35_000],
}
K1L = {
    ("released", "released"): [2_500, 2_500, 2_500, 2_500, 2_500],
    ("linear", "released"): [3_000, 3_000, 3_000, 3_000, 3_000],
    ("released", "new"): [2_500, 2_500, 2_500, 2_500, 2_500],
    ("linear", "new"): [3_000, 3_000, 3_000, 3_000, 3_000],
    ("released", "all"): [2_500, 5_000, 7_500, 10_000, 12_500],
    ("linear", "all"): [3_000, 6_000, 9_000, 12_000, 15_000],
}
K1H = {
    ("released", "released"): [45_000, 42_500, 40_000, 37_500, 35_000],
    ("linear", "released"): [44_000, 41_000, 38_000, 35_000, 32_000],
    ("released", "new"): [45_000, 42_500, 40_000, 37_500, 35_000],
    ("linear", "new"): [44_000, 41_000, 38_000, 35_000, 32_000],
    ("released", "all"): [45_000, 40_000, 35_000, 30_000, 25_000],
    ("linear", "all"): [44_000, 38_000, 32_000, 26_000, 20_000],
}


@pytest.fixture
def values(tmp_path: Path) -> ValueStore:
    """The values of a run in which sample i is always worth 1 - i/N, so that the same samples always go first."""
    store = ValueStore.create(tmp_path / "values.zarr", epochs=EPOCHS, samples=N)
    value = 1 - np.arange(N) / N
    for epoch in range(39, EPOCHS, 40):
        store.write(epoch, value, np.full(N, epoch + 1, np.int32), value.astype(np.float32))
    return store


@pytest.mark.parametrize(("schedule", "dropped"), K1L)
def test_sizes_of_k1h_k1l_and_k0_at_every_stage(values: ValueStore, schedule: str, dropped: str) -> None:
    settings = [f"condense.schedule={schedule}", f"condense.dropped={dropped}"]
    config = load_config(RECIPE, settings)
    assert (config.distill.epochs, config.condense.interval, config.condense.keep_ratio) == (EPOCHS, 40, 0.7)
    plan = keep_all(N)
    for stage in range(1, STAGES):
        plan = condense(values, before=plan, stage=stage, epochs=EPOCHS, config=config.condense)
        assert plan.epoch == 40 * stage
        kept, low = KEPT[schedule][stage - 1], K1L[schedule, dropped][stage - 1]
        assert plan.kept.tolist() == list(range(kept))
        # K1L is the lowest of K1 and K0 what comes after the cut, both in the same order
        assert plan.kept[plan.low].tolist() == list(range(kept - low, kept))
        assert plan.partner[plan.low].tolist() == list(range(kept, kept + low))
        assert int((~plan.low).sum()) == K1H[schedule, dropped][stage - 1]
        np.testing.assert_allclose(plan.epsilon[plan.low], 0.3 * np.arange(low) / low, atol=1e-7)


@pytest.mark.parametrize("recipe", [RECIPE, "cifar10/resnet56-resnet20", "imagenet/resnet34-resnet18"])
def test_recipes_at_published_settings_condense_as_the_authors_code_does(recipe: str) -> None:
    condense = load_config(recipe).condense
    assert (condense.schedule, condense.dropped, condense.ramp) == ("released", "released", "released")


def test_the_recipe_of_the_measured_table_drops_as_it_was_measured() -> None:
    condense = load_config("cifar10/condensation").condense
    assert (condense.schedule, condense.dropped, condense.ramp) == ("linear", "new", "linear")


@pytest.mark.parametrize(("schedule", "rows"), [("released", 10_500_000), ("linear", 10_200_000)])
def test_rows_of_the_whole_run(schedule: str, rows: int) -> None:
    # 40 * (50,000 + 47,500 + 45,000 + 42,500 + 40,000 + 37,500) = 40 * 262,500: seven eighths of KD's 12,000,000
    # 40 * (50,000 + 47,000 + 44,000 + 41,000 + 38,000 + 35,000) = 40 * 255,000: 85 percent of them
    assert 40 * (N + sum(KEPT[schedule])) == rows
