"""The numbers of docs/evidence.md are those of the files beside it, and follow from the accuracies of the runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

DOCS = Path(__file__).parents[2] / "docs"
STUDIES = ("claim", "values", "losses", "schedule")


def study(name: str) -> dict[str, Any]:
    return json.loads((DOCS / "evidence" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", STUDIES)
def test_the_page_states_what_was_found(name: str) -> None:
    page, found = (DOCS / "evidence.md").read_text(), study(name)
    assert [sentence for sentence in found["finding"] if sentence not in page] == []
    for arm in found["arms"]:
        assert f"{100 * arm['mean_test_accuracy']:.2f} ± {100 * arm['standard_deviation']:.2f}%" in page


@pytest.mark.parametrize("name", STUDIES)
def test_differences_follow_from_the_runs_by_a_paired_t_test(name: str) -> None:
    found = study(name)
    accuracy: dict[str, dict[int, float]] = {}
    for run in found["runs"]:
        accuracy.setdefault(run["arm"], {})[run["seed"]] = 100 * run["test_accuracy"]
    for pair in found["pairs"]:
        first, second = accuracy[pair["first"]], accuracy[pair["second"]]
        seeds = sorted(first.keys() & second.keys())
        assert pair["seeds"] == seeds
        assert len(seeds) >= 3
        test = stats.ttest_rel([first[seed] for seed in seeds], [second[seed] for seed in seeds])
        interval = test.confidence_interval(0.95)
        np.testing.assert_allclose(pair["interval"], [interval.low, interval.high], atol=1e-9)
        assert pair["ahead"] == (interval.low > 0)
