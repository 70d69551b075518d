"""Inspections of real, tiny stores and runs."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zarr
from tests.support.tiny_runs import kcd, metrics

from kcd_stores import KnowledgeStore


def test_inspect_a_store(play: SimpleNamespace) -> None:
    path = play.folder / "a.zarr"
    store = KnowledgeStore.open(path)
    facts = json.loads(kcd("inspect", path, "--json").stdout)
    assert (facts["kind"], facts["complete"], facts["shape"]) == ("knowledge store", True, [2, 200, 10])
    assert (facts["encoding"], facts["identity"], facts["made_from"]) == ("float16", store.identity, store.made_from)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert facts["bytes"] == size
    assert facts["bytes_per_row"] == pytest.approx(size / 400)
    assert facts["files"] == len([file for file in path.rglob("*") if file.is_file()])
    text = kcd("inspect", path).stdout
    assert "2 views x 200 samples x 10 classes" in text
    assert store.made_from["teacher"]["weights_sha256"] in text
    assert store.identity in text
    assert facts["held_bytes_per_row"] == 20  # 10 numbers of float16
    assert "4.0 kB a view while it is taught, 20 bytes per row" in text


def test_inspect_an_unfinished_store(play: SimpleNamespace, tmp_path: Path) -> None:
    path = shutil.copytree(play.folder / "a.zarr", tmp_path / "part.zarr")
    ledger: Any = zarr.open_group(path, mode="r+")["complete"]
    ledger[1, 0] = 0
    facts = json.loads(kcd("inspect", path, "--json").stdout)
    assert (facts["complete"], facts["rows_complete"], facts["rows"]) == (False, 200, 400)
    assert facts["blocks"]["complete_by_view"] == [1, 0]
    text = kcd("inspect", path).stdout
    assert "not finished: 1 of 2 blocks (50.00%)" in text
    assert re.search(r"view 1 +0 of 1", text)


def test_inspect_a_run(play: SimpleNamespace) -> None:
    facts = json.loads(kcd("inspect", play.folder / "kcd0", "--json").stdout)
    assert (facts["kind"], facts["finished"], facts["epochs_done"], facts["epochs"]) == ("run", True, 2, 2)
    assert (facts["method"], facts["model"], facts["rows_trained"]) == ("kcd", "resnet8", 340)
    assert facts["test_accuracy"] == metrics(play.folder / "kcd0")[-1]["test_accuracy"]
    first, second = facts["plans"]
    assert (first["kept"], first["perturbed"], first["came_back"]) == (200, 0, None)
    assert (second["kept"], second["perturbed"], second["newly_dropped"], second["came_back"]) == (140, 60, 60, 0)
    assert (first["overlap"], second["overlap"]) == (None, 1.0)
    lines = metrics(play.folder / "kcd0")
    for stage, line, steps in zip((first, second), lines, (4, 3), strict=True):  # 200 and 140 samples in batches of 64
        assert (stage["epochs"], stage["samples"], stage["steps"]) == (1, line["samples"], steps)
        assert (stage["seconds"], stage["bytes_read"]) == (line["seconds"], line["bytes_read"])
    assert (facts["steps"], facts["bytes_read"]) == (7, sum(line["bytes_read"] for line in lines))
    assert second["epsilon_max"] == pytest.approx(0.3)
    assert facts["values"]["never_visited"] == 0
    assert facts["values"]["visits"] == {"least": 1, "most": 2}
    text = kcd("inspect", play.folder / "kcd0").stdout
    assert "finished, 2 of 2 epochs" in text
    assert re.search(r"2 +2 +140 \(70.00%\) +80 +60 +0 +60", text)
    assert re.search(r"2 +1 +140 +3 ", text.partition("What each stage cost")[2])


def test_inspect_an_unfinished_run_and_a_teacher(play: SimpleNamespace) -> None:
    text = kcd("inspect", play.folder / "cut").stdout
    assert "not finished: 1 of 2 epochs are done" in text
    assert "To continue: `kcd-pipeline distill" in text
    facts = json.loads(kcd("inspect", play.folder / "cut", "--json").stdout)
    assert (facts["finished"], facts["epochs_done"], facts["values"]["after_epoch"]) == (False, 1, 1)
    teacher = json.loads(kcd("inspect", play.folder / "teacher.training", "--json").stdout)
    assert (teacher["kind"], teacher["model"], teacher["epochs"]) == ("training of a teacher", "resnet20", 1)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: folder / "missing", "there is nothing at"),
        (lambda folder: folder, "neither a knowledge store"),
        (lambda folder: folder / "teacher.safetensors", "neither a knowledge store"),
        (lambda folder: folder / "kd" / "values.zarr", "is a part of the run"),
    ],
)
def test_inspect_refuses_what_is_neither_store_nor_run(
    play: SimpleNamespace, make: Callable[[Path], Path], told: str
) -> None:
    result = kcd("inspect", make(play.folder))
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr
