"""The cross-entropy with labels: smoothing and weights of classes, by hand, by scikit-learn and by torch."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from kcd_pipeline.augmentation import Labels
from kcd_pipeline.config import DistillConfig, OptimisationConfig, load_config
from kcd_pipeline.distillation.objective import DistillationLoss
from kcd_pipeline.errors import UserError
from kcd_pipeline.losses import CrossEntropy, LossWeights, make_cross_entropy
from kcd_pipeline.losses.cross_entropy import balanced_weights

CPU = torch.device("cpu")
LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])  # N = 8: four, two and two of three classes
NAMES = ("cat", "dog", "eel")
# two samples with p = (1/2, 1/4, 1/4) and (1/8, 1/8, 3/4)
LOGITS = torch.log(torch.tensor([[2.0, 1.0, 1.0], [1.0, 1.0, 6.0]]))
TRUTH = Labels(own=torch.tensor([0, 1]))


def made(**keys: Any) -> CrossEntropy:
    return make_cross_entropy(OptimisationConfig(**keys), LABELS, NAMES, None, CPU)


def test_smoothing_by_hand() -> None:
    """s = 0.3: 0.7 * ln 2 + 0.1 * (ln 2 + 2 ln 4) = 1.2 ln 2; 0.7 * ln 8 + 0.1 * (2 ln 8 + ln 4/3)."""
    each = made(label_smoothing=0.3).each(LOGITS, TRUTH)
    by_hand = [1.2 * np.log(2), 0.9 * np.log(8) + 0.1 * np.log(4 / 3)]
    np.testing.assert_allclose(each, by_hand, rtol=1e-6)
    assert float(made(label_smoothing=0.3).mean(LOGITS, TRUTH)) == pytest.approx(np.mean(by_hand), rel=1e-6)


def test_weights_by_hand() -> None:
    """Weights 3, 1, 0 have the mean (4 * 3 + 2 * 1 + 2 * 0) / 8 = 7/4, so they are 12/7, 4/7 and 0."""
    loss = made(class_weights=[3, 1, 0])
    np.testing.assert_allclose(loss.each(LOGITS, TRUTH), [12 / 7 * np.log(2), 4 / 7 * np.log(8)], rtol=1e-6)
    # (12/7 ln 2 + 12/7 ln 2) / 2: the sum is divided by the two samples, and not by the sum of their weights
    assert float(loss.mean(LOGITS, TRUTH)) == pytest.approx(12 / 7 * np.log(2), rel=1e-6)
    assert float(loss.mean(LOGITS, TRUTH, torch.tensor([1.0, 3.0]))) == pytest.approx(24 / 7 * np.log(2), rel=1e-6)


def test_a_mapping_names_some_classes_and_the_others_weigh_one() -> None:
    assert torch.equal(made(class_weights={"dog": 2}).class_weight, made(class_weights=[1, 2, 1]).class_weight)  # type: ignore[arg-type]
    people = ("Felis", "Canis", "Anguilla")
    found = make_cross_entropy(OptimisationConfig(class_weights={"Canis": 2}), LABELS, NAMES, people, CPU)
    assert torch.equal(found.class_weight, made(class_weights=[1, 2, 1]).class_weight)  # type: ignore[arg-type]


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = np.random.default_rng(0).integers(0, 7, 500)
    expected = compute_class_weight("balanced", classes=np.arange(7), y=labels)
    np.testing.assert_allclose(balanced_weights(labels, 7), expected, rtol=1e-12)
    weighed = made(class_weights="balanced").class_weight
    assert weighed is not None
    np.testing.assert_allclose(weighed, compute_class_weight("balanced", classes=np.arange(3), y=LABELS), rtol=1e-6)


def test_a_class_without_samples_takes_no_weight_from_the_others() -> None:
    np.testing.assert_allclose(balanced_weights(np.array([0, 0, 0, 2]), 3), [4 / 6, 0, 4 / 2])


def test_over_all_samples_the_loss_is_the_weighted_mean_of_torch() -> None:
    logits = torch.randn(len(LABELS), 3, generator=torch.Generator().manual_seed(0))
    given, truth = torch.tensor([1.0, 2.5, 0.25]), torch.from_numpy(LABELS)
    found = made(class_weights=given.tolist(), label_smoothing=0.1).mean(logits, Labels(own=truth))
    expected = F.cross_entropy(logits, truth, weight=given, label_smoothing=0.1)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_without_either_the_loss_has_the_bytes_of_torch() -> None:
    logits = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    truth = torch.arange(64) % 10
    assert torch.equal(CrossEntropy().mean(logits, Labels(own=truth)), F.cross_entropy(logits, truth))
    assert torch.equal(CrossEntropy().each(logits, Labels(own=truth)), F.cross_entropy(logits, truth, reduction="none"))


def test_the_loss_with_the_teacher_is_left_as_it_is() -> None:
    """With kd, the term with the labels alone is smoothed and weighed: 0.5 * the numbers above, and KL at T = 1."""
    config = DistillConfig(temperature=1)
    chosen = DistillationLoss(config, None, made(class_weights=[3, 1, 0]))
    even = torch.zeros(2, 3)  # KL(1/3 || p) = -ln 3 - (sum ln p) / 3
    _, terms = chosen.in_terms(LOGITS, even, TRUTH, classes=3, weights=LossWeights(ce=0.5, kd=2))
    kl = [-np.log(3) - np.log(1 / 32) / 3, -np.log(3) - np.log(3 / 256) / 3]
    np.testing.assert_allclose(terms, [6 / 7 * np.log(2), 2 * np.mean(kl), 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([1, 2], "distill.class_weights is a list of 2 weights, but the data set has 3 classes."),
        ({"dgo": 2}, "names the class 'dgo', which the data set does not have; did you mean 'dog'?"),
        ([0, 0, 0], "distill.class_weights gives each class that has training images the weight 0."),
    ],
)
def test_weights_of_other_classes_are_refused(given: Any, problem: str) -> None:
    with pytest.raises(UserError, match=re.escape(problem)):
        make_cross_entropy(DistillConfig(class_weights=given), LABELS, NAMES, None, CPU)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("teacher.class_weights=ballanced", "did you mean 'balanced'?"),
        ("distill.class_weights=[1, -2]", "distill.class_weights: found the weight -2, expected a number from 0 to"),
        ("distill.class_weights={0: yes}", "distill.class_weights: found the weight True"),
        ("distill.class_weights=[]", "expected balanced, a list with a weight for each class, or a mapping"),
        ("distill.label_smoothing=1.5", "distill.label_smoothing: found 1.5"),
    ],
)
def test_what_is_no_weight_is_refused(override: str, problem: str) -> None:
    with pytest.raises(UserError, match=re.escape(problem)):
        load_config("digits", [override])


def test_class_names_that_yaml_takes_for_numbers_are_text() -> None:
    assert load_config("digits", ["distill.class_weights={3: 2}"]).distill.class_weights == {"3": 2}
