"""Records of runs for tests of reports, without any folder."""

from pathlib import Path
from typing import Any

from kcd_pipeline.reports.collect import RunRecord

STORE: dict[str, Any] = {
    "path": "a.zarr",
    "identity": "aaaaaaaaaaaa",
    "encoding": "float16",
    "views": 2,
    "rows": 20,
    "bytes": 100,
    "seconds": 4.0,
    "made_from": {
        "dataset": {"name": "digits", "fingerprint": "d" * 64},
        "augmentation": {"name": "crop-flip", "padding": 1},
        "teacher": {"model": "resnet20", "weights_sha256": "1" * 64},
    },
}


def student_run(label: str, accuracy: float = 0.9, **changes: Any) -> RunRecord:
    """Return a run of two epochs on ten samples; `changes` go into its config, its summary or its store."""
    method = changes.get("method", "kd")
    config: dict[str, Any] = {
        "seed": changes.get("seed", 0),
        "data": {"name": "digits", "root": changes.get("root", "data")},
        "store": {"path": "a.zarr", "views": 2},
        "student": {"model": changes.get("student", "resnet8")},
        "distill": {"method": method, "lr": changes.get("lr", 0.05)},
        "condense": {"keep_ratio": 0.7} | changes.get("condense", {}),
        "run": {
            "dir": label,
            "device": changes.get("device", "auto"),
            "precision": changes.get("precision", "float32"),
        },
    }
    summary = {
        "method": method,
        "student": changes.get("student", "resnet8"),
        "seed": changes.get("seed", 0),
        "epochs": 2,
        "test_accuracy": accuracy,
        "best_test_accuracy": changes.get("best", accuracy),
        "rows_trained": 0 if method == "none" else changes.get("samples", 20),
        "samples_trained": changes.get("samples", 20),
        "kept_fraction": [1.0],
        "seconds": 3.0,
        "dataset": {"name": "digits", "test_fingerprint": changes.get("test_set", "t" * 64)},
        "store": changes.get("store", STORE),
    }
    return RunRecord(label=label, path=Path(label), config=config, summary=summary, metrics=[{}, {}])
