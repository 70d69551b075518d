"""Reports of runs that nobody trained: made of records in memory, in the time of a blink."""

from pathlib import Path
from typing import Any

import numpy as np

from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.collect.details import RunDetails
from kcd_pipeline.reports.collect.outcomes import outcome_of
from kcd_pipeline.reports.collect.samples import ShownSample, ShownSamples, thumbnail
from kcd_pipeline.reports.collect.values import summarise_values
from kcd_pipeline.runs import Predictions

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SAMPLES = 200
STORE: dict[str, Any] = {
    "path": "runs/made/store.zarr", "identity": "a" * 12, "encoding": "float16", "views": 2, "rows": 2 * SAMPLES,
    "bytes": 9_000, "seconds": 4.0,
    "made_from": {
        "dataset": {"name": "photos", "size": SAMPLES, "classes": list(CLASSES), "fingerprint": "d" * 64},
        "augmentation": {"name": "crop-flip", "padding": 4},
        "teacher": {"model": "resnet20", "weights_sha256": "1" * 64, "parameters": 272_474, "test_accuracy": 0.81},
    },
}  # fmt: skip


def made_run(method: str, *, seed: int = 0, epochs: int = 4, stages: int = 2, **settings: Any) -> RunRecord:
    """Return a finished run whose accuracy rises from 30% to 70% and depends a little on method, settings and seed."""
    random = np.random.default_rng([seed, epochs, *f"{method}{settings}".encode()])
    rise = 0.3 + 0.4 * np.arange(1, epochs + 1) / epochs + random.normal(0, 0.01, epochs)
    kept = [
        1.0 - 0.3 * (epoch * stages // epochs) / (stages - 1) if method == "kcd" else 1.0 for epoch in range(epochs)
    ]
    metrics = [
        {
            "epoch": epoch, "test_accuracy": float(rise[epoch]), "kept_fraction": kept[epoch], "seconds": 1.5,
            "samples": round(SAMPLES * kept[epoch]), "rows": 0 if method == "none" else round(SAMPLES * kept[epoch]),
            "loss": 2.0 / (epoch + 1), "steps": 4, "bytes_read": 4_000,
        }
        for epoch in range(epochs)
    ]  # fmt: skip
    words = "".join(f"-{key}={value}" for key, value in settings.items())
    label = f"resnet8-{method}{words}-seed{seed}"
    config = {
        "seed": seed, "data": {"name": "photos", "root": "data"}, "store": {"path": STORE["path"], "views": 2},
        "teacher": {"model": "resnet20"}, "student": {"model": "resnet8"},
        "distill": {"method": method, "epochs": epochs} | settings, "condense": {"keep_ratio": 0.7},
        "run": {"dir": f"runs/made/{label}"},
    }  # fmt: skip
    summary = {
        "method": method, "student": "resnet8", "seed": seed, "epochs": epochs, "test_accuracy": float(rise[-1]),
        "best_test_accuracy": float(rise.max()), "rows_trained": sum(line["rows"] for line in metrics),
        "samples_trained": sum(line["samples"] for line in metrics), "kept_fraction": list(dict.fromkeys(kept)),
        "seconds": 1.5 * epochs, "parameters": 78_042, "multiply_adds": 12_501_632, "teacher_multiply_adds": 40_813_184,
        "dataset": {"name": "photos", "test_fingerprint": "t" * 64}, "store": STORE,
    }  # fmt: skip
    return RunRecord(label=label, path=Path("runs/made") / label, config=config, summary=summary, metrics=metrics)


def made_details(run: RunRecord, *, pictures: int = 4) -> RunDetails:
    """Return details of a run that `made_run` made."""
    random = np.random.default_rng([run.seed, *run.label.encode()])
    values = random.gamma(2.0, 0.3, SAMPLES)
    kept = [line["kept_fraction"] for line in run.metrics]
    opens = [epoch for epoch in range(run.epochs) if not epoch or kept[epoch] != kept[epoch - 1]]
    ends = [*opens[1:], run.epochs]
    labels = random.integers(0, len(CLASSES), 100).astype(np.int32)
    likeliest = np.array([random.permutation(len(CLASSES))[:5] for _ in labels], dtype=np.int32)
    likeliest[:60, 0] = labels[:60]
    return RunDetails(
        measure="entropy",
        values=values,
        stage_values=tuple(
            summarise_values(values * (1 + 1 / end), stage=stage, epochs=(first + 1, end))
            for stage, (first, end) in enumerate(zip(opens, ends, strict=True))
        ),
        stage_facts=tuple(
            _stage(number, first, end, kept[first]) for number, (first, end) in enumerate(zip(opens, ends, strict=True))
        ),
        samples=ShownSamples(most=_samples(values, pictures, random), least=_samples(-values, pictures, random)),
        losses=tuple(line["loss"] for line in run.metrics),
        outcome=outcome_of(Predictions(likeliest=likeliest, labels=labels), CLASSES),
        kept_by_class=np.clip(np.outer([kept[first] for first in opens], random.normal(1, 0.1, len(CLASSES))), 0, 1),
        classes=CLASSES,
    )


def _stage(number: int, first: int, end: int, kept: float) -> dict[str, Any]:
    return {
        "stage": number + 1, "first_epoch": first + 1, "kept": round(SAMPLES * kept), "kept_fraction": kept,
        "taught_as_stored": 100, "perturbed": 0, "newly_dropped": None, "came_back": None, "overlap": None,
        "score_cut": None, "epsilon_max": 0.0, "smallest_weight": None, "largest_weight": None,
        "epochs": end - first, "samples": SAMPLES * (end - first), "steps": 4, "seconds": 1.5, "bytes_read": 4_000,
        "teacher_rows": 0, "teacher_seconds": 0.0,
    }  # fmt: skip


def _samples(order: Any, number: int, random: np.random.Generator) -> tuple[ShownSample, ...]:
    return tuple(
        ShownSample(
            sample=int(sample), label=CLASSES[sample % len(CLASSES)], value=abs(float(order[sample])), dropped=False,
            image=thumbnail(random.integers(0, 256, (3, 32, 32), dtype=np.uint8)),
        )
        for sample in np.argsort(-order)[:number]
    )  # fmt: skip
