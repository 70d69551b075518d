"""Pair mode: the image is blended with the partner, the view and the strength that its knowledge is blended with."""

import numpy as np
import torch

from kcd_pipeline.augmentation import Augmentation, build_augmentation
from kcd_pipeline.condensation import Perturbation
from kcd_pipeline.config import AugmentationConfig, OptimisationConfig, RunConfig
from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.models import build_model
from kcd_pipeline.training.blended_views import BlendedViews
from kcd_pipeline.training.epoch import label_objective
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import NO_PARTNER, Plan

MEAN, STD = (0.4, 0.5), (0.2, 0.3)
AUGMENTATION = AugmentationConfig(name="crop-flip", padding=2, seed=3)
# of six samples 4 and 5 are dropped; 1 is blended with 5 at 0.25, 2 with 4 at 0 (the top of K1L)
PLAN = Plan(
    stage=1,
    epoch=1,
    samples=6,
    kept=np.array([0, 1, 2, 3]),
    partner=np.array([NO_PARTNER, 5, 4, NO_PARTNER]),
    epsilon=np.array([0, 0.25, 0, 0], np.float32),
)


def split() -> InMemorySplit:
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (6, 2, 8, 8), dtype=np.uint8))
    return InMemorySplit(images=images, labels=torch.tensor([0, 1, 0, 1, 0, 1]))


def trainer() -> Trainer:
    torch.manual_seed(0)
    dataset = Dataset(name="made", classes=("a", "b"), train=split(), test=split(), mean=MEAN, std=STD)
    return Trainer(
        build_model("resnet8", channels=2, classes=2),
        dataset,
        build_augmentation(AUGMENTATION),
        optimisation=OptimisationConfig(batch_size=2, lr=0.01),
        run=RunConfig(device="cpu", threads=1),
    )


def pixels(augmentation: Augmentation, sample: int, view: int) -> np.ndarray:
    index = np.array([sample])
    return augmentation(split().images[index], index, view)[0].numpy().astype(np.float64)


def images_seen(one: Trainer, index: list[int], view: int) -> torch.Tensor:
    """Return the images that the model of `one` gets for samples `index` under the plan."""
    ((_, images),) = one._batches([np.array(index)], view, Perturbation(PLAN))
    return images


def test_what_the_student_sees_is_the_blend_of_the_pixels_of_both_views() -> None:
    """The blend is computed on pixels and normalised afterwards: equal, since normalisation is affine."""
    view, augmentation = 3, build_augmentation(AUGMENTATION)
    seen = images_seen(trainer(), [2, 1, 0], view).double().numpy()
    blended = 0.75 * pixels(augmentation, 1, view) + 0.25 * pixels(augmentation, 5, view)
    mean, std = (np.array(part)[:, None, None] for part in (MEAN, STD))
    for row, expected in zip(
        seen, [pixels(augmentation, 2, view), blended, pixels(augmentation, 0, view)], strict=True
    ):
        np.testing.assert_allclose(row, (expected / 255 - mean) / std, atol=1e-5)


def test_a_blend_acts_on_the_images_themselves_however_often_they_are_asked_for() -> None:
    one = trainer()
    first, again = (images_seen(one, [1, 3], 0) for _ in range(2))
    assert torch.equal(first, again)


def test_a_blend_depends_on_its_sample_and_its_view_alone() -> None:
    """However a batch is put together, and whether its samples have one view or each their own."""
    one = trainer()
    blended = BlendedViews(one.train_views, Perturbation(PLAN), torch.device("cpu"))
    order, views = np.array([3, 1, 0, 1]), np.array([2, 0, 1, 2])
    together = blended.batch(order, views)
    for image, sample, view in zip(together, order, views.tolist(), strict=True):
        torch.testing.assert_close(blended.batch(np.array([sample]), view)[0], image, rtol=0, atol=0)
    for index, images in blended.batches([order[:1], order[1:3]], 2):
        torch.testing.assert_close(images, blended.batch(index, 2), rtol=0, atol=0)
    assert len(blended) == 6


def test_an_epoch_of_blended_images_trains_another_student_than_one_of_the_images_alone() -> None:
    weights = []
    for perturbation in (None, Perturbation(PLAN)):
        one = trainer()
        parts = [(np.array([0, 1, 2, 3]), label_objective())]
        result = one.train_epoch(0, view=1, samples=4, parts=parts, perturbation=perturbation)
        assert result.order.tolist() == [0, 1, 2, 3]
        weights.append(torch.cat([parameter.detach().flatten() for parameter in one.model.parameters()]))
    assert not torch.equal(*weights)
