"""The README's first command, whole, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kcd_pipeline.models import load_weights
from kcd_stores import KnowledgeStore

pytestmark = pytest.mark.pages


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder of the demo, and the end of its command: `.ci/run` names the one that the README's line has made."""
    folder = Path(os.environ.get("KCD_DEMO_FOLDER") or tmp_path_factory.mktemp("demo") / "out")
    command = [sys.executable, "-m", "kcd_pipeline", "demo", str(folder)]
    return folder, subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_ends_by_saying_where_the_report_is(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, ended = done
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.rstrip().endswith(f"The report: {folder / 'report.html'}")
    assert "</html>" in (folder / "report.html").read_text()


def test_the_teacher_is_above_97_percent(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    facts = load_weights(done[0] / "teacher.safetensors").facts
    assert facts["test_accuracy"] > 0.97


def test_there_is_a_store_of_8_views_and_a_run_of_each_method(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = done
    store = KnowledgeStore.open(folder / "store.zarr")
    store.require_views(8)
    summaries = {name: json.loads((folder / name / "summary.json").read_text()) for name in ("none", "kd", "kcd")}
    assert {name: summary["method"] for name, summary in summaries.items()} == {n: n for n in summaries}
    assert all(summary["test_accuracy"] > 0.95 for summary in summaries.values())
    # 1,437 samples, 12 epochs; kcd in six stages of two epochs keeps 1 - 0.3 * s / 5 of them, rounded half up
    kept = [1437, 1351, 1265, 1178, 1092, 1006]
    assert summaries["none"]["rows_trained"] == 0
    assert summaries["kd"]["rows_trained"] == 12 * 1437
    assert summaries["kcd"]["rows_trained"] == 2 * sum(kept)
    assert summaries["kcd"]["kept_fraction"] == [count / 1437 for count in kept]


def test_called_again_it_finds_everything_done(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, first = done
    again = subprocess.run(
        [sys.executable, "-m", "kcd_pipeline", "demo", str(folder)], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "epoch " not in again.stderr  # of which the settings have the plural
    assert again.stdout == first.stdout
