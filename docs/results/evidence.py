"""The picture of docs/results/evidence.md: one condensation of a real run, its ranking and both of its ends.

    python docs/results/evidence.py RUN docs/results/evidence.png [STAGE]

RUN is a finished `kcd` run of a data set that is held in memory; STAGE counts from 1, as `inspect` does (default: 2).
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from kcd_pipeline.config import parse_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.report.collect.values import most_and_least_valued
from kcd_pipeline.runs import RunFolder
from kcd_stores import PlanStore, ValueStore

SHOWN = 10  # samples of each end
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#98A2B3"


def main() -> None:
    folder, to = RunFolder(Path(sys.argv[1])), sys.argv[2]
    stage = int(sys.argv[3]) - 1 if len(sys.argv) > 3 else 1
    config = parse_config(folder.read_config(), source=str(folder.config))
    train = load_dataset(config.data).train
    plan = PlanStore(folder.plans).read(stage)
    value, frequency = ValueStore.open(folder.values).read(plan.epoch - 1)
    score = value * frequency.astype(np.float64) ** config.condense.alpha
    rank = np.lexsort((np.arange(len(value)), -score))
    group = np.full(len(value), GREY, dtype=object)
    group[plan.kept[~plan.low]], group[plan.kept[plan.low]] = BLUE, ORANGE

    figure, (curve, most, least) = plt.subplots(3, 1, figsize=(9, 5.4), height_ratios=(3, 1, 1), layout="constrained")
    for colour, name in ((BLUE, "K1H: taught as stored"), (ORANGE, "K1L: perturbed"), (GREY, "K0: dropped")):
        where = np.flatnonzero(group[rank] == colour)
        curve.fill_between(where, score[rank][where], color=colour, label=f"{name}, {len(where):,}", step="mid")
    curve.set(xlabel="rank", ylabel="score V · F^alpha", xlim=(0, len(value)), ylim=(0, None))
    curve.set_title(f"{len(value):,} samples after epoch {plan.epoch}, before stage {stage + 1}", loc="left")
    curve.legend(frameon=False)
    for axes, chosen, name in zip(
        (most, least), most_and_least_valued(value, SHOWN), ("most valued", "least valued"), strict=True
    ):
        strip = np.concatenate([train.image(int(sample)).permute(1, 2, 0).numpy() for sample in chosen], axis=1)
        axes.imshow(strip, interpolation="nearest")
        axes.set_title(f"{name}: V {value[chosen].max():.2g} to {value[chosen].min():.2g}", loc="left", fontsize=10)
        axes.axis("off")
    figure.savefig(to, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
