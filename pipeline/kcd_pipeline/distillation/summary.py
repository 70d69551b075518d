"""The summary of a finished run: all that a report needs, so that the store may be gone by then."""

import copy
from typing import Any

import torch
from torch import nn

from kcd_pipeline.condensation import stage_openings
from kcd_pipeline.config import Config, StudentConfig, TeacherConfig
from kcd_pipeline.data import Dataset
from kcd_pipeline.distillation.preparation import Preparation
from kcd_pipeline.models import model_for, parameter_count
from kcd_pipeline.models.counting import multiply_adds
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.results import Results
from kcd_pipeline.versions import software_versions
from kcd_stores import KnowledgeStore


def summarise(prepared: Preparation, folder: RunFolder, results: Results) -> dict[str, Any]:
    """Return the summary of the run in `folder`, which ended with these `results`; times are in seconds."""
    config, dataset, metrics = prepared.config, prepared.dataset, folder.read_metrics()
    return {
        "method": config.distill.method,
        "student": config.student.model,
        "seed": config.seed,
        **results.summary(),
        "rows_trained": sum(line["rows"] for line in metrics),
        "samples_trained": sum(line["samples"] for line in metrics),
        "kept_fraction": [metrics[epoch]["kept_fraction"] for epoch in _openings(config) if epoch < len(metrics)],
        "seconds": sum(line["seconds"] for line in metrics),
        "teacher_rows": sum(line.get("teacher_rows", 0) for line in metrics),
        "teacher_seconds": sum(line.get("teacher_seconds", 0.0) for line in metrics),
        "dataset": _dataset_facts(dataset),
        "store": None if prepared.store is None else _store_facts(prepared.store),
        **({"other_stores": [_store_facts(store) for store in prepared.other_stores]} if prepared.other_stores else {}),
        "software": software_versions(),
        "parameters": parameter_count(prepared.trainer.model),
        "multiply_adds": _multiply_adds(config.student, dataset, prepared.passed.student),
        "teacher_multiply_adds": _multiply_adds_of_teachers(config, dataset, prepared.passed.teacher),
        "streaming": prepared.origin["streaming"],
        **({"parts": dict(prepared.own_parts)} if prepared.own_parts else {}),
    }


def _multiply_adds_of_teachers(config: Config, dataset: Dataset, passed: nn.Module | None) -> int | None:
    """Return the multiply-adds of all teachers for one image of `dataset`; None if those of one cannot be counted."""
    counted = [_multiply_adds(config.teacher, dataset, passed)]
    counted += [_multiply_adds(teacher, dataset, None) for teacher in config.other_teachers]
    known = [count for count in counted if count is not None]
    return sum(known) if len(known) == len(counted) else None


def _dataset_facts(dataset: Dataset) -> dict[str, Any]:
    """Return the facts of the images by which the run was measured."""
    facts = {"name": dataset.name, "test_fingerprint": dataset.test.fingerprint(dataset.classes)}
    if dataset.validation is None:
        return facts
    return facts | {
        "validation_fingerprint": dataset.fingerprints["validation"],
        "validation_size": len(dataset.validation),
    }


def _multiply_adds(part: StudentConfig | TeacherConfig, dataset: Dataset, passed: nn.Module | None) -> int | None:
    """Return the multiply-adds of a model for one image of `dataset`; None if they cannot be counted."""
    shape = dataset.image_shape
    try:
        with torch.random.fork_rng(devices=[]):
            model = (
                model_for(part.model, image_shape=shape, classes=len(dataset.classes), arguments=part.arguments)
                if passed is None
                else copy.deepcopy(passed)
            )
        return multiply_adds(model, (shape[0], shape[1], shape[2]))
    except Exception:  # a model of the user's own may raise anything, and a count is not worth a finished run
        return None


def _openings(config: Config) -> tuple[int, ...]:
    """Return the first epoch of each stage."""
    return stage_openings(config.distill.epochs, config.condense) if config.distill.method == "kcd" else (0,)


def _store_facts(store: KnowledgeStore) -> dict[str, Any]:
    """Return the facts of a store that a report shows; `bytes` on disk, `seconds` of extraction."""
    return {
        "path": str(store.location),
        "identity": store.identity,
        "made_from": store.made_from,
        "encoding": store.encoding_label,
        "views": store.layout.views,
        "rows": store.inventory.complete_rows(),
        "bytes": store.inventory.bytes_on_disk(),
        "seconds": store.seconds(),
    }
