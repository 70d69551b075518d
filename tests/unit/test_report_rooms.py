"""After collection the run folders are no longer needed: a comparison is computed and rendered without them."""

import json
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.collect.details import RunDetails
from kcd_pipeline.reports.collect.samples import ShownSample, ShownSamples, thumbnail
from kcd_pipeline.reports.collect.values import summarise_values
from kcd_pipeline.reports.compute import Comparison, compare
from kcd_pipeline.reports.render.page import render_page
from kcd_pipeline.reports.render.plain_data import plain_data
from kcd_pipeline.reports.render.table import print_comparison

VALUES = np.array([0.5, 0.1, np.nan, 0.4])
STAGE: dict[str, Any] = {
    "stage": 1, "first_epoch": 1, "kept": 4, "kept_fraction": 1.0, "taught_as_stored": 4, "perturbed": 0,
    "newly_dropped": None, "came_back": None, "overlap": None, "score_cut": None, "epsilon_max": 0.0,
    "smallest_weight": None, "largest_weight": None,
    "epochs": 1, "samples": 4, "steps": None, "seconds": 1.0, "bytes_read": None,
}  # fmt: skip


@pytest.fixture
def comparison() -> Comparison:
    """One run of one epoch, whose folder does not exist."""
    line = {"test_accuracy": 0.75, "rows": 0, "samples": 4, "kept_fraction": 1.0, "seconds": 1.0}
    summary = {
        "method": "none", "student": "resnet8", "seed": 3, "epochs": 1, "test_accuracy": 0.75,
        "best_test_accuracy": 0.75, "rows_trained": 0, "samples_trained": 4, "kept_fraction": [1.0], "seconds": 1.0,
        "dataset": {"name": "digits", "test_fingerprint": "t" * 64}, "store": None,
    }  # fmt: skip
    path = Path("/no/such/folder/alone")
    return compare([RunRecord(label="alone", path=path, config={}, summary=summary, metrics=[line])])


def details() -> RunDetails:
    image = thumbnail(np.zeros((1, 2, 2), dtype=np.uint8))
    most = ShownSample(sample=0, label="seven & eight", value=0.5, dropped=True, image=image)
    least = ShownSample(sample=1, label="one", value=0.1, dropped=False, image=image)
    return RunDetails(
        measure="entropy",
        values=VALUES,
        stage_values=(summarise_values(VALUES, stage=0, epochs=(1, 1)),),
        stage_facts=(STAGE,),
        samples=ShownSamples(most=(most,), least=(least,)),
    )


def test_a_page_is_made_of_records_alone(comparison: Comparison) -> None:
    html = render_page(comparison, [details()], command="kcd-pipeline report <alone>")
    assert "Made with <code>kcd-pipeline report &lt;alone&gt;</code>" in html
    assert "seven &amp; eight" in html
    assert "75.00%" in html
    assert html.count("data:image/webp;base64,") == 1  # both samples have the same
    assert "A dashed frame marks a sample" in unescape(html)


def test_json_and_table_are_made_of_records_alone(comparison: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = json.loads(json.dumps(plain_data(comparison, [[STAGE]]), allow_nan=False))["runs"]
    assert (run["label"], run["seed"], run["stages"], run["arm"]) == ("alone", 3, [STAGE], "none resnet8")
    print_comparison(comparison)
    assert "75.00%" in capsys.readouterr().out
