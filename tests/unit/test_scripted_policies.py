"""Every policy in the loop of a student whose worths are scripted: stages, losses, and a run that is stopped anywhere.

Twenty samples of three classes (10, 6 and 4), six epochs, a step of the schedule every two: constant, one half. The
finish of `annealed` and `infobatch` is the last epoch.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special

from kcd_pipeline.augmentation import Labels
from kcd_pipeline.condensation import Choice, Situation
from kcd_pipeline.config import Config, parse_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.distillation.preparation import prepare_run
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.epoch import EpochResult
from kcd_pipeline.training.ranks import ALONE
from kcd_stores import KnowledgeStore, KnowledgeWriter, Layout, PlanStore, ValueStore, make_encoding, plan_streaming

N, CLASSES, VIEWS, EPOCHS = 20, 3, 2, 6
LABELS = np.array([0] * 10 + [1] * 6 + [2] * 4)
LOGITS = np.random.default_rng(0).normal(size=(VIEWS, N, CLASSES)).astype(np.float32) * 3
WORTHS = np.random.default_rng(1).gamma(2, 0.3, (EPOCHS, N)).astype(np.float32)

# the first epoch of each stage, and the number of samples of each, None where chance decides
STAGES: dict[str, tuple[list[int], list[int | None]]] = {
    "kcd": ([0, 2, 4], [20, 10, 10]),
    "annealed": ([0, 2, 4, 5], [20, 10, 10, 20]),
    "infobatch": ([0, 1, 2, 3, 4, 5], [20, None, None, None, None, 20]),
    "rs2": ([0, 1, 2, 3, 4, 5], [20, 20, 10, 10, 10, 10]),
    "weighted": ([0, 1, 2, 3, 4, 5], [20, 20, None, None, None, None]),
}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here loses power; waiting for the disk would take three quarters of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def recipe(policy: str, *, loss: str = "kd", **condense: Any) -> Config:
    tree = {
        "data": {"name": "digits"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr", "views": VIEWS},
        "student": {"model": "resnet8"},
        # the loss is the relative entropy alone, at T = 1: its gradient shows what is taught, and how much it weighs
        "distill": {"epochs": EPOCHS, "batch_size": 3, "temperature": 1, "ce_weight": 0, "kd_weight": 1}
        | {"loss": {"name": loss}},
        "condense": {"interval": 2, "schedule": "constant", "keep_ratio": 0.5, "perturb": "off", "policy": policy}
        | condense,
    }
    return parse_config(tree, source="the script")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeStore:
    layout = Layout(views=VIEWS, samples=N, classes=CLASSES, block_rows=N, chunk_rows=N)
    path = tmp_path_factory.mktemp("script") / "store.zarr"
    made = KnowledgeWriter.create(path, layout=layout, encoding=make_encoding("float32"), made_from={})
    for view in range(VIEWS):
        made.write_block(view, 0, LOGITS[view], seconds=0)
    return made.store


def begin(config: Config, folder: RunFolder, store: KnowledgeStore, epoch: int = 0) -> StudentCurriculum:
    streaming = plan_streaming(store, memory=10**6, batch_size=3, partners=True)
    curriculum = StudentCurriculum(config, folder, (store, streaming), N, labels=LABELS)
    curriculum.start(epoch)
    return curriculum


def go_through(curriculum: StudentCurriculum, epoch: int) -> np.ndarray:
    """Run one epoch; return its samples in the order of training."""
    order = np.concatenate([part for part, _ in curriculum.lesson(epoch).parts])
    worth = WORTHS[epoch, order]
    curriculum.record(epoch, EpochResult(loss=1, accuracy=0, order=order, worth=worth, steps=1, seconds=1))
    return order


def results(folder: RunFolder) -> tuple[list[str], list[str]]:
    plans = PlanStore(folder.plans)
    return ValueStore.open(folder.values).checksums(EPOCHS), plans.checksums(len(plans.stages()))


@pytest.mark.parametrize("policy", STAGES)
def test_each_stage_is_taught_what_its_plan_keeps(tmp_path: Path, store: KnowledgeStore, policy: str) -> None:
    folder = RunFolder(tmp_path)
    curriculum = begin(recipe(policy), folder, store)
    taught = [go_through(curriculum, epoch) for epoch in range(EPOCHS)]
    curriculum.close()
    plans, (opens, sizes) = list(PlanStore(folder.plans).read_all()), STAGES[policy]
    assert [plan.epoch for plan in plans] == opens
    for plan, size in zip(plans, sizes, strict=True):
        assert size in (None, len(plan.kept))
        assert sorted(taught[plan.epoch]) == plan.kept.tolist()
    frequency = ValueStore.open(folder.values).read(EPOCHS - 1)[1]
    assert frequency.tolist() == np.bincount(np.concatenate(taught), minlength=N).tolist()


@pytest.mark.parametrize("policy", STAGES)
@pytest.mark.parametrize("balance", ["none", "class"])
def test_a_run_stopped_after_any_epoch_ends_the_same(
    tmp_path: Path, store: KnowledgeStore, policy: str, balance: str
) -> None:
    """Each stop comes when the next stage has its plan already, and nothing of its epoch is recorded."""
    config, whole, stopped = recipe(policy, balance=balance), RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")
    for folder in (whole, stopped):
        folder.path.mkdir()
    curriculum = begin(config, whole, store)
    for epoch in range(EPOCHS):
        go_through(curriculum, epoch)
    curriculum.close()
    for epoch in range(EPOCHS):
        curriculum = begin(config, stopped, store, epoch)
        go_through(curriculum, epoch)
        if epoch + 1 < EPOCHS:
            curriculum.lesson(epoch + 1)
        curriculum.close()
    assert results(stopped) == results(whole)


@pytest.mark.parametrize("policy", ["infobatch", "weighted"])
def test_the_loss_of_a_sample_is_multiplied_by_its_weight(tmp_path: Path, store: KnowledgeStore, policy: str) -> None:
    """The gradient of `w * KL(p || softmax(z))` at z = 0 is `w * (1/C - p)`."""
    folder = RunFolder(tmp_path)
    curriculum = begin(recipe(policy), folder, store)
    for epoch in range(3):
        go_through(curriculum, epoch)
    found = {}
    for order, objective in curriculum.lesson(3).parts:
        for sample in order.tolist():
            z = torch.zeros(1, CLASSES, requires_grad=True)
            objective(z, Labels(own=torch.tensor([LABELS[sample]])), np.array([sample])).loss.backward()
            assert z.grad is not None
            found[sample] = z.grad[0].numpy()
    curriculum.close()
    plan = PlanStore(folder.plans).read(3)
    assert plan.weight.max() > 1
    for sample, weight in zip(plan.kept.tolist(), plan.weight, strict=True):
        taught = special.softmax(LOGITS[1, sample])
        np.testing.assert_allclose(found.pop(sample), weight * (1 / CLASSES - taught), rtol=1e-4, atol=1e-6)
    assert not found


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["infobatch", "weighted"])
def test_weights_are_refused_with_a_loss_over_whole_batches(policy: str) -> None:
    config = recipe(policy, loss="dist")
    with pytest.raises(UserError, match=rf"^condense.policy is {policy}, which gives .* Set distill.loss.gamma=0"):
        prepare_run(config, ALONE, load_dataset(config.data))


def test_a_policy_that_is_not_there_is_refused() -> None:
    config = recipe("no_such_module:choose")
    with pytest.raises(UserError, match=r"no 'no_such_module:choose', which condense.policy names"):
        prepare_run(config, ALONE, load_dataset(config.data))


def weigh(here: Situation) -> Choice:
    return Choice(kept=np.array([0, 1]), weight=np.array([1, 2], np.float32))


def test_weights_of_an_own_policy_are_an_error_when_they_come(tmp_path: Path, store: KnowledgeStore) -> None:
    curriculum = begin(recipe(f"{__name__}:weigh", loss="dist"), RunFolder(tmp_path), store)
    for epoch in range(2):
        go_through(curriculum, epoch)
    with pytest.raises(FailedError, match=r"^stage 1: condense.policy is .*:weigh, which gives samples weights"):
        curriculum.lesson(2)
    curriculum.close()
