"""Top-5, accuracy by class and confusion of a run, from predictions of eight images that were counted by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcd_pipeline.errors import DamagedError
from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.collect.outcomes import class_names, names_by_test_set, outcome_of, read_outcome
from kcd_pipeline.runs import Predictions, read_predictions
from kcd_pipeline.runs.record import file_digest

# seven classes, of which class 6 has no image; the five likeliest of each image, and its true class
LIKELIEST = np.array(
    [
        [0, 1, 2, 3, 4],  # of class 0: right
        [0, 1, 2, 3, 4],  # of class 0: right
        [1, 0, 2, 3, 4],  # of class 0: found to be 1, second likeliest
        [1, 2, 3, 4, 5],  # of class 0: found to be 1, not among the five
        [1, 0, 2, 3, 4],  # of class 1: right
        [5, 4, 3, 1, 2],  # of class 2: found to be 5, fifth likeliest
        [3, 4, 5, 6, 0],  # of class 3: right
        [4, 3, 2, 1, 0],  # of class 5: found to be 4, not among the five
    ],
    dtype=np.int32,
)
LABELS = np.array([0, 0, 0, 0, 1, 2, 3, 5], dtype=np.int32)
NAMES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
PREDICTIONS = Predictions(likeliest=LIKELIEST, labels=LABELS)


def record(folder: Path, **facts: Any) -> RunRecord:
    summary = {
        "method": "kd", "student": "resnet8", "seed": 0, "epochs": 1, "test_accuracy": 0.5,
        "best_test_accuracy": 0.5, "rows_trained": 4, "samples_trained": 4, "kept_fraction": [1.0],
        "seconds": 1.0, "dataset": {"name": "beasts", "test_fingerprint": "t" * 64},
        "store": {"made_from": {"dataset": {"classes": list(NAMES)}}}, **facts,
    }  # fmt: skip
    return RunRecord(label="run", path=folder, config={}, summary=summary, metrics=[{}])


def test_an_outcome_is_counted_as_by_hand() -> None:
    outcome = outcome_of(PREDICTIONS, NAMES)
    assert outcome.accuracy == 4 / 8
    assert outcome.top5 == 6 / 8
    np.testing.assert_array_equal(outcome.per_class, [2 / 4, 1, 0, 1, np.nan, 0, np.nan])
    cells = {(0, 0): 2, (0, 1): 2, (1, 1): 1, (2, 5): 1, (3, 3): 1, (5, 4): 1}
    assert outcome.confusion.dtype == np.int64
    assert outcome.confusion.shape == (7, 7)
    assert {(int(i), int(j)): int(outcome.confusion[i, j]) for i, j in np.argwhere(outcome.confusion)} == cells
    assert outcome.classes == NAMES


def test_classes_without_names_are_called_by_their_numbers() -> None:
    assert outcome_of(PREDICTIONS, None).classes == ("0", "1", "2", "3", "4", "5", "6")


def test_names_are_those_that_people_use(tmp_path: Path) -> None:
    made_from = {"dataset": {"classes": ["n01", "n02"], "label_names": ["tench", "goldfish\x1b[2J"]}}
    names = class_names(record(tmp_path, store={"made_from": made_from}))
    assert names is not None
    assert names[0] == "tench"
    assert "\x1b" not in names[1]
    assert class_names(record(tmp_path, store=None)) is None


def test_a_run_without_a_store_takes_the_names_of_another_with_its_test_set(tmp_path: Path) -> None:
    PREDICTIONS.write(tmp_path / "predictions.safetensors")
    alone, other = record(tmp_path, store=None), record(tmp_path, dataset={"test_fingerprint": "u" * 64}, store=None)
    names = names_by_test_set([alone, record(tmp_path)])
    assert (read_outcome(alone, names) or pytest.fail("no outcome")).classes == NAMES
    assert (read_outcome(other, names) or pytest.fail("no outcome")).classes == tuple("0123456")


def test_a_run_without_predictions_has_no_outcome(tmp_path: Path) -> None:
    assert read_outcome(record(tmp_path)) is None


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({"predictions_sha256": "0" * 64}, "its SHA-256 is not the one in summary.json"),
        ({"store": {"made_from": {"dataset": {"classes": ["a", "b"]}}}}, "classes 0 to 6, expected 0 to 1"),
    ],
)
def test_predictions_of_another_run_are_refused(tmp_path: Path, run: dict[str, Any], reason: str) -> None:
    PREDICTIONS.write(tmp_path / "predictions.safetensors")
    assert read_outcome(record(tmp_path)) is not None
    with pytest.raises(DamagedError, match=rf"predictions\.safetensors does not hold .*{reason}"):
        read_outcome(record(tmp_path, **run))


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 64])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "predictions.safetensors").write_bytes(content)
    with pytest.raises(DamagedError, match=r"predictions\.safetensors"):
        read_outcome(record(tmp_path))


def test_a_flipped_bit_of_the_predictions_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "predictions.safetensors"
    PREDICTIONS.write(file)
    content, sha256 = file.read_bytes(), file_digest(file)
    for at in range(0, len(content), 7):
        file.write_bytes(bytes([*content[:at], content[at] ^ 1, *content[at + 1 :]]))
        with pytest.raises(DamagedError, match="SHA-256"):
            read_outcome(record(tmp_path, predictions_sha256=sha256))


def test_a_recorded_file_that_is_missing_is_damage_and_an_unrecorded_one_is_none(tmp_path: Path) -> None:
    assert read_predictions(tmp_path / "predictions.safetensors") is None
    with pytest.raises(DamagedError, match="is missing, but summary"):
        read_predictions(tmp_path / "predictions.safetensors", sha256="0" * 64)
