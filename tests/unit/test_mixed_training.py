"""Pictures that are decoded one by one are mixed as those in memory are, and a trainer pairs them with both labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.tables import save_folders

from kcd_pipeline.augmentation import Labels, Mixing, build_augmentation, build_mixing
from kcd_pipeline.condensation.values import make_worth
from kcd_pipeline.config import AugmentationConfig, Config, DataConfig, OptimisationConfig, RunConfig, parse_config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.distillation.objective import DistillationLoss
from kcd_pipeline.losses import CrossEntropy, Dkd, LossWeights
from kcd_pipeline.models import build_model
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.epoch import StepOutcome
from kcd_pipeline.training.trainer import Trainer

CPU = torch.device("cpu")
N = 8
CONFIG = AugmentationConfig(name="crop-flip", seed=7, mix={"name": "mixup-cutmix", "probability": 0.8})


def mixing() -> Mixing:
    found = build_mixing(CONFIG)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folders(tmp_path_factory.mktemp("photographs"))


def load(folders: Path, **more: Any) -> Dataset:
    given = {"name": "imagefolder", "root": folders, "image_size": 32, "mean": [0.5] * 3, "std": [0.25] * 3}
    return load_dataset(DataConfig.model_validate(given | more))


@pytest.mark.parametrize("workers", [0, 2])
def test_decoded_pictures_are_mixed_as_those_in_memory_are(folders: Path, workers: int) -> None:
    augmentation = build_augmentation(CONFIG)
    in_memory = load(folders).train_views(augmentation, CPU, mixing=mixing())
    decoded = load(folders, on_the_fly=True, workers=workers).train_views(augmentation, CPU, mixing=mixing())
    order = np.array([5, 0, 7, 2, 1, 6, 3, 4])
    for index, images in decoded.batches([order[:3], order[3:]], 4):
        torch.testing.assert_close(images, in_memory.batch(index, 4), rtol=0, atol=0)


def test_a_trainer_shows_mixed_pictures_with_both_labels(folders: Path) -> None:
    dataset = load(folders)
    model = build_model("resnet8", channels=3, classes=2)
    trainer = Trainer(
        model,
        dataset,
        build_augmentation(CONFIG),
        optimisation=OptimisationConfig(epochs=1, batch_size=3, lr=0.01),
        run=RunConfig(device="cpu"),
        mixing=mixing(),
    )
    drawn, labels = mixing().draw(np.arange(N), 2, samples=N, height=32, width=32), dataset.train.labels
    seen: list[int] = []

    def objective(logits: torch.Tensor, given: Labels, index: np.ndarray[Any, Any]) -> StepOutcome:
        assert given.partner is not None
        assert given.weight is not None
        assert torch.equal(given.own, labels[index])
        assert torch.equal(given.partner, labels[drawn.partner[index]])
        np.testing.assert_array_equal(given.weight, drawn.weight[index])
        seen.extend(index.tolist())
        return StepOutcome(CrossEntropy().mean(logits, given), torch.zeros(len(index)))

    trainer.train_epoch(0, view=2, samples=N, parts=[(np.arange(N)[::-1].copy(), objective)])
    assert sorted(seen) == list(range(N))
    shown = trainer.train_views.batch(np.arange(N), 2)
    unmixed = dataset.train_views(build_augmentation(CONFIG), CPU).batch(np.arange(N), 2)
    alone = torch.from_numpy(drawn.weight == 1)
    assert 0 < int(alone.sum()) < N
    assert torch.equal(shown[alone], unmixed[alone])
    assert not any(torch.equal(a, b) for a, b in zip(shown[~alone], unmixed[~alone], strict=True))


def recipe(**sections: dict[str, Any]) -> Config:
    tree: dict[str, Any] = {
        "data": {"name": "cifar10"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr"},
        "student": {"model": "resnet8"},
    }
    return parse_config(tree | sections, source="the test")


LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 2.0, 1.0]])
TEACHER = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
OWN, PARTNER = torch.tensor([0, 1]), torch.tensor([2, 1])
MIXED = Labels(own=OWN, partner=PARTNER, weight=torch.tensor([0.75, 0.1]))


def weighed(of_own: torch.Tensor, of_partner: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return 3/4 and 1/4 of the first sample's numbers, 1/10 and 9/10 of the second's."""
    return np.array([0.75, 0.1]) * of_own.numpy() + np.array([0.25, 0.9]) * of_partner.numpy()


def test_a_loss_with_a_target_class_is_the_mean_over_both_labels() -> None:
    config = recipe(distill={"temperature": 2, "loss": {"name": "dkd", "beta": 2}}).distill
    weights = LossWeights(ce=0.5, kd=3)
    loss, terms = DistillationLoss(config, None).in_terms(LOGITS, TEACHER, MIXED, classes=3, weights=weights)
    dkd = Dkd(temperature=2, alpha=1, beta=2)
    of = [dkd(LOGITS, TEACHER, labels) for labels in (OWN, PARTNER)]
    ce = [-LOGITS.log_softmax(1)[torch.arange(2), labels] for labels in (OWN, PARTNER)]
    expected = [0.5 * weighed(*ce).mean(), 3 * weighed(*of).mean(), 0]
    np.testing.assert_allclose(terms, expected, rtol=1e-5)
    assert float(loss) == pytest.approx(sum(expected), rel=1e-5)


@pytest.mark.parametrize("value", ["loss", "el2n", "aum", "entropy", "margin", "forgetting"])
def test_values_of_labels_are_means_over_both_and_others_are_as_ever(tmp_path: Path, value: str) -> None:
    config = recipe(distill={"method": "none", "epochs": 1}, condense={"value": value})
    curriculum = StudentCurriculum(config, RunFolder(tmp_path), None, 2)
    ((_, objective),) = curriculum.lesson(0).parts
    measure = make_worth(config)
    of_own, of_partner = (measure(LOGITS, labels, None) for labels in (OWN, PARTNER))
    expected = weighed(of_own, of_partner) if value in ("loss", "el2n", "aum") else of_own
    np.testing.assert_allclose(objective(LOGITS, MIXED, np.arange(2)).worth, expected, rtol=1e-5)
