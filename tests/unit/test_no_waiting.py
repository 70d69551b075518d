"""A step never waits for the device: no value comes back before the epoch ends, and no shape depends on a value.

On a GPU torch itself is told to refuse whatever waits. On the CPU, where nothing is waited for, the operations that
would are refused by name; and what runs on the `meta` device, which has shapes and no values, cannot have asked for
one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.waiting import CLASSES, EACH, N, RefuseToWait, dataset

from kcd_pipeline.augmentation import Labels, build_augmentation, build_mixing
from kcd_pipeline.condensation import ResidentRows, TaughtRows, rows_for
from kcd_pipeline.condensation.values import make_worth
from kcd_pipeline.config import VALUE_NAMES, Config, parse_config
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.distillation.judged_blends import BlendRows, JudgedBlends
from kcd_pipeline.distillation.objective import DistillationLoss
from kcd_pipeline.distillation.plans_from import PlansFromRun
from kcd_pipeline.losses import CrossEntropy, LossWeights
from kcd_pipeline.models import build_model
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.epoch import EpochResult
from kcd_pipeline.training.ranks import ALONE
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import (
    HeldRows,
    KnowledgeStore,
    KnowledgeWriter,
    Plan,
    PlanStore,
    ViewRows,
    choose_layout,
    keep_all,
    make_encoding,
    plan_streaming,
)

BATCH = 16
KEPT = np.arange(40)
PLAN = Plan(  # of 40 kept samples the last 8 are perturbed by those that were dropped
    stage=1,
    epoch=1,
    samples=N,
    kept=KEPT,
    partner=np.where(KEPT >= 32, KEPT + 8, -1),
    epsilon=np.where(KEPT >= 32, np.float32(0.25), np.float32(0)),
)


def recipe(**more: Any) -> Config:
    tree: dict[str, Any] = {
        "data": {"name": "cifar10"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr", "views": 1},
        "student": {"model": "resnet8"},
        "distill": {"epochs": 2, "batch_size": BATCH},
        "condense": {"interval": 1},
        "run": {"device": "cpu"},
    }
    for key, value in more.items():
        section, name = key.split("__")
        tree[section] = tree.get(section, {}) | {name: value}
    return parse_config(tree, source="the test")


@pytest.fixture
def store(tmp_path: Path) -> KnowledgeStore:
    layout = choose_layout(views=1, samples=N, classes=CLASSES, row_bytes=2 * CLASSES)
    made = KnowledgeWriter.create(
        tmp_path / "store.zarr", layout=layout, encoding=make_encoding("float16"), made_from={}
    )
    made.write_block(0, 0, np.random.default_rng(0).normal(size=(N, CLASSES)).astype(np.float32), seconds=0)
    return made.store


class Judged(BlendRows):
    """Rows of zeros for all blends."""

    def __init__(self) -> None: ...

    def make(self, plan: Plan, views: Sequence[int]) -> Iterator[None]:
        yield

    def read(self, view: int, members: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.zeros((len(members), CLASSES), np.float16)


def perturbed_epoch(
    config: Config, store: KnowledgeStore, folder: Path, watched: Callable[[], Any], plan: Plan = PLAN
) -> EpochResult:
    """Run an epoch of a perturbed stage, every step but the first within `watched`."""
    torch.manual_seed(0)
    model = build_model("resnet8", channels=3, classes=CLASSES)
    trainer = Trainer(
        model,
        dataset(),
        build_augmentation(config.augmentation),
        optimisation=config.distill,
        run=config.run,
        mixing=build_mixing(config.augmentation),
    )
    knowledge = (store, plan_streaming(store, memory=10**6, batch_size=BATCH, partners=True))
    plans = PlanStore(folder / "given.zarr")
    plans.write(keep_all(N))
    plans.write(plan)
    plans_from = PlansFromRun(plans, 2, perturbed=True)
    blends = JudgedBlends(ALONE, Judged()) if config.condense.perturb == "teacher" else None
    curriculum = StudentCurriculum(
        config, RunFolder(folder), knowledge, N, plans_from, device=trainer.device, blends=blends
    )
    curriculum.start(0)
    lesson = curriculum.lesson(1)
    left, watching = N - 8, ExitStack()

    def on_batch(size: int) -> None:
        nonlocal left
        if left == N - 8:
            watching.enter_context(watched())
        left -= size
        if not left:
            watching.close()

    with watching:
        result = trainer.train_epoch(
            1,
            view=lesson.view,
            samples=lesson.samples,
            parts=lesson.parts,
            perturbation=lesson.perturbation,
            on_batch=on_batch,
        )
    curriculum.close()
    assert not left
    return result


@pytest.mark.parametrize("perturb", ["knowledge", "pair"])
@pytest.mark.parametrize("augmentation", ["crop-flip", "resized-crop-flip"])
@pytest.mark.parametrize("loss", ["kd", "dkd", "dist"])
def test_no_step_waits(tmp_path: Path, store: KnowledgeStore, perturb: str, augmentation: str, loss: str) -> None:
    config = recipe(condense__perturb=perturb, augmentation__name=augmentation, distill__loss={"name": loss})
    perturbed_epoch(config, store, tmp_path / "run", RefuseToWait)


@pytest.mark.parametrize("loss", ["kd", "dkd"])
def test_no_step_waits_for_pictures_that_are_mixed(tmp_path: Path, store: KnowledgeStore, loss: str) -> None:
    config = recipe(augmentation__mix="mixup-cutmix", distill__loss={"name": loss}, condense__value="loss")
    perturbed_epoch(config, store, tmp_path / "run", RefuseToWait)


def test_no_step_waits_for_a_pipeline_of_all_operations(tmp_path: Path, store: KnowledgeStore) -> None:
    perturbed_epoch(recipe(augmentation__name="pipeline", augmentation__operations=EACH), store, tmp_path, RefuseToWait)


def test_no_step_waits_for_the_weights_of_its_samples(tmp_path: Path, store: KnowledgeStore) -> None:
    weighted = replace(PLAN, weight=np.linspace(0.5, 2, len(KEPT), dtype=np.float32))
    perturbed_epoch(recipe(), store, tmp_path / "run", RefuseToWait, weighted)


@pytest.mark.parametrize("more", [{"ema": 0.9}, {"clip_norm": 0.1}, {"accumulate": 2}])
def test_no_step_waits_for_averages_and_gradients(
    tmp_path: Path, store: KnowledgeStore, more: dict[str, float]
) -> None:
    config = recipe(**{f"distill__{key}": value for key, value in more.items()})
    steps = perturbed_epoch(config, store, tmp_path / "run", RefuseToWait).steps
    assert steps == (2 if "accumulate" in more else 3)


def test_no_step_waits_for_rows_that_the_teacher_gave(tmp_path: Path, store: KnowledgeStore) -> None:
    perturbed_epoch(recipe(condense__perturb="teacher"), store, tmp_path / "run", RefuseToWait)


@pytest.mark.parametrize("wait", [lambda x: x.item(), lambda x: float(x), lambda x: x[x > 0], lambda x: x.nonzero()])
def test_a_wait_is_noticed(wait: Callable[[torch.Tensor], Any]) -> None:
    with RefuseToWait(), pytest.raises(AssertionError):
        wait(torch.ones(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("where", ["device", "host"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("perturb", ["knowledge", "teacher"])
@pytest.mark.parametrize("more", [{}, {"distill__ema": 0.9, "distill__clip_norm": 1.0, "distill__accumulate": 2}])
def test_no_step_waits_on_a_gpu(
    tmp_path: Path, store: KnowledgeStore, where: str, precision: str, perturb: str, more: dict[str, float]
) -> None:
    @contextmanager
    def watched() -> Iterator[None]:
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    config = recipe(
        run__device="cuda", run__resident=where, run__precision=precision, condense__perturb=perturb, **more
    )
    there = perturbed_epoch(config, store, tmp_path / "there", watched)
    here = perturbed_epoch(recipe(condense__perturb=perturb, **more), store, tmp_path / "here", RefuseToWait)
    np.testing.assert_allclose(there.worth, here.worth, atol=0.05)


# --- the work of a GPU, tested without one -------------------------------------------------


@pytest.mark.parametrize("space", ["logits", "probabilities", "pair", "teacher"])
@pytest.mark.parametrize("held", [False, True], ids=["whole view", "some rows"])
def test_rows_in_device_memory_teach_the_same_as_rows_on_the_host(space: str, held: bool) -> None:
    view = np.random.default_rng(0).normal(size=(N, CLASSES)).astype(np.float16)
    some = np.arange(0, N, 1 if not held else 4)
    rows: ViewRows | HeldRows = HeldRows(some, view[some]) if held else ViewRows(view)
    index = np.random.default_rng(1).permutation(np.intersect1d(some, KEPT))
    taught = TaughtRows(PLAN, space=space, temperature=4.0, classes=CLASSES)
    judged = HeldRows(KEPT[32:], view[:8])  # of the blends, as a teacher gave them
    expected = taught.batch(rows, index, judged)
    here, meta = torch.device("cpu"), torch.device("meta")
    found = taught.batch(ResidentRows(rows, here), index, ResidentRows(judged, here))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    without_values = TaughtRows(PLAN, space=space, temperature=4.0, classes=CLASSES, device=meta).batch(
        ResidentRows(rows, meta), index, ResidentRows(judged, meta)
    )
    assert without_values.shape == expected.shape
    assert without_values.device == meta


def test_rows_stay_where_they_are_without_a_gpu() -> None:
    rows = ViewRows(np.zeros((4, 2), np.float16))
    assert rows_for(rows, torch.device("cpu"), "device") is rows


LOSSES: list[dict[str, Any]] = [
    {"name": "kd"},
    {"name": "kd", "standardise": True},
    {"name": "dkd"},
    {"name": "dist"},
]


@pytest.mark.parametrize("value", VALUE_NAMES)
def test_no_value_asks_for_a_number_of_the_device(value: str) -> None:
    worth = make_worth(recipe(condense__value=value))
    logits, labels, teacher = torch.randn(BATCH, CLASSES), torch.arange(BATCH) % CLASSES, torch.randn(BATCH, CLASSES)
    with RefuseToWait():
        found = worth(logits, labels, teacher)
    without_values = worth(logits.to("meta"), labels.to("meta"), teacher.to("meta"))
    assert (without_values.shape, without_values.dtype) == (found.shape, found.dtype) == ((BATCH,), torch.float32)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_no_loss_asks_for_a_number_of_the_device(loss: dict[str, Any], weighted: bool) -> None:
    weights = LossWeights(ce=0.3, kd=0.7)

    def gradient(device: str) -> torch.Tensor:
        class_weight = torch.ones(CLASSES, device=device) if weighted else None
        cross_entropy = CrossEntropy(smoothing=0.1 * weighted, class_weight=class_weight)
        chosen = DistillationLoss(recipe(distill__loss=loss).distill, None, cross_entropy)
        logits = torch.ones(BATCH, CLASSES, device=device).requires_grad_()
        labels = Labels(own=torch.zeros(BATCH, dtype=torch.int64, device=device))
        sample_weight = torch.ones(BATCH, device=device) if weighted else None
        taught = torch.zeros(BATCH, CLASSES, device=device)
        chosen(logits, taught, labels, classes=CLASSES, weights=weights, sample_weight=sample_weight).backward()
        assert logits.grad is not None
        return logits.grad

    with RefuseToWait():
        gradient("cpu")
    assert gradient("meta").shape == (BATCH, CLASSES)


def test_compiling_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda model: compiled.append(model))
    for chosen in (False, True):
        config = recipe(run__compile=chosen)
        model = build_model("resnet8", channels=3, classes=CLASSES)
        Trainer(model, dataset(), build_augmentation(config.augmentation), optimisation=config.distill, run=config.run)
    assert compiled == [model]
