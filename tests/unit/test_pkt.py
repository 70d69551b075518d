"""PKT against numpy, the tap that takes features, and features under a plan, by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kcd_pipeline.condensation import TaughtRows
from kcd_pipeline.condensation.vaks import blend_features
from kcd_pipeline.errors import UserError
from kcd_pipeline.losses import Pkt
from kcd_pipeline.models import FeatureTap, build_model
from kcd_stores import Plan


def by_numpy(student: np.ndarray, teacher: np.ndarray) -> float:
    """Compute the paper's equations in a loop over pairs."""
    total, size = 0.0, len(student)
    for i in range(size):

        def conditional(features: np.ndarray, i: int = i) -> np.ndarray:
            lengths = np.linalg.norm(features, axis=1)
            kernel = np.array([(features[i] @ features[j] / lengths[i] / lengths[j] + 1) / 2 for j in range(size)])
            return kernel / kernel.sum()

        p, q = conditional(teacher), conditional(student)
        total += (p * np.log(p / q)).sum()
    return total / size**2


def test_it_is_the_papers_for_features_of_different_widths() -> None:
    random = np.random.default_rng(0)
    student, teacher = random.normal(size=(9, 5)), random.normal(size=(9, 12))
    found = Pkt()(torch.from_numpy(student), torch.from_numpy(teacher))
    assert float(found) == pytest.approx(by_numpy(student, teacher), rel=1e-4)


def test_what_is_as_alike_as_the_teachers_costs_nothing_however_long_or_turned() -> None:
    teacher = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    turned, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))
    assert float(Pkt()(7 * teacher @ turned, teacher)) == pytest.approx(0, abs=1e-7)


def test_its_gradient_is_finite_where_features_are_zero() -> None:
    student = torch.zeros(4, 3, requires_grad=True)
    Pkt()(student, torch.eye(4)).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize(
    ("space", "expected"),
    [("logits", [2.25, 0.5]), ("probabilities", [1.8, 0.4]), ("pair", [1.75, 0.5])],
)
def test_features_are_blended_as_their_knowledge_is(space: str, expected: list[float]) -> None:
    """f1 = (2, 0), f0 = (1, 2), eps = 0.25: f1 + f0/4; the same over 1.25; 0.75 f1 + 0.25 f0."""
    blended = blend_features(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 2.0]]), torch.tensor([0.25]), space=space)
    assert blended.tolist() == [pytest.approx(expected)]


def test_a_plan_blends_logits_and_features_behind_them_and_leaves_other_rows_alone() -> None:
    rows = np.array([[1, 0, 5, 5], [2, 0, 4, 0], [0, 2, 0, 8]], np.float32)  # two logits, two features
    plan = Plan(
        stage=1,
        epoch=1,
        samples=3,
        kept=np.array([0, 1]),
        partner=np.array([-1, 2]),
        epsilon=np.array([0, 0.5], np.float32),
    )
    taught = TaughtRows(plan, space="logits", temperature=4.0, classes=2)
    assert taught.batch(rows, np.array([1, 0])).tolist() == [[2, 1, 4, 4], [1, 0, 5, 5]]


@pytest.mark.parametrize("name", ["resnet8", "wrn_16_1", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2"])
def test_the_tap_takes_what_the_last_layer_sees(name: str) -> None:
    model: Any = build_model(name, channels=3, classes=7).eval()
    tap = FeatureTap(model, image_shape=[3, 32, 32], classes=7)
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        logits = model(images)
        features = tap.take()
        assert features.shape == (3, tap.width)
        torch.testing.assert_close(features, model.features(images))
        torch.testing.assert_close(model.get_submodule(model.last_layer)(features), logits)


class Scaled(nn.Module):
    """A model whose logits are not the output of its last linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * self.layer(images.flatten(1))


@pytest.mark.parametrize(("model", "says"), [(Scaled(), "not what its last linear"), (nn.Conv2d(3, 4, 2), "no linear")])
def test_a_model_whose_features_cannot_be_taken_is_refused(model: nn.Module, says: str) -> None:
    with pytest.raises(UserError, match=says):
        FeatureTap(model, image_shape=[3, 2, 2], classes=4)


def test_features_are_taken_once_a_pass() -> None:
    tap = FeatureTap(build_model("resnet8", channels=1, classes=3), image_shape=[1, 8, 8], classes=3)
    with pytest.raises(RuntimeError, match="no forward pass"):
        tap.take()
