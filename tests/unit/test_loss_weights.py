"""The weights of labels and knowledge in an epoch, and of the samples of a batch."""

from itertools import product
from math import factorial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from kcd_pipeline.augmentation import Labels
from kcd_pipeline.config import DistillConfig
from kcd_pipeline.distillation.objective import DistillationLoss
from kcd_pipeline.losses import LossWeights, Pkt, compares_batch, loss_weights, make_loss


def config(**keys: Any) -> DistillConfig:
    return DistillConfig.model_validate(keys)


# --- of labels and knowledge ------------------------------------------------------------------------------


def test_without_keys_the_weights_are_those_of_the_recipe_in_every_epoch() -> None:
    for epoch, kept in ((0, 1.0), (7, 0.7), (239, 0.01)):
        assert loss_weights(config(ce_weight=0.3, kd_weight=2), epoch, kept) == LossWeights(ce=0.3, kd=2)


def test_warmup_by_hand() -> None:
    """Epochs 1 to 4 of a warm-up of 4 have a quarter, a half, three quarters and all of kd_weight 2."""
    found = [loss_weights(config(kd_weight=2, ce_weight=1, kd_warmup=4), epoch, 1.0) for epoch in range(6)]
    assert [weights.kd for weights in found] == [0.5, 1, 1.5, 2, 2, 2]
    assert {weights.ce for weights in found} == {1}


def test_following_the_kept_fraction_by_hand() -> None:
    """With 1/4 of the samples kept, 1/4 of ce_weight 0.8 stays, and 0.6 of it joins kd_weight 0.2."""
    chosen = config(ce_weight=0.8, kd_weight=0.2, kd_follows_kept=True)
    weights = loss_weights(chosen, 0, 0.25)
    assert (weights.ce, weights.kd) == pytest.approx((0.2, 0.8), rel=1e-15)
    assert loss_weights(chosen, 0, 1.0) == LossWeights(ce=0.8, kd=0.2)


def test_a_warmup_scales_what_the_kept_fraction_gives() -> None:
    weights = loss_weights(config(ce_weight=0.8, kd_weight=0.2, kd_follows_kept=True, kd_warmup=2), 0, 0.25)
    assert (weights.ce, weights.kd) == pytest.approx((0.2, 0.4), rel=1e-15)


weight = st.floats(0, 1e6)


@settings(max_examples=50)
@given(weight, weight, st.integers(1, 1000), st.integers(1, 1000), st.integers(0, 500))
def test_weights_are_between_their_bounds_and_rise_and_fall_as_they_should(
    ce: float, kd: float, kept: int, samples: int, warmup: int
) -> None:
    fraction = min(kept, samples) / samples
    chosen = config(ce_weight=ce, kd_weight=kd, kd_warmup=warmup, kd_follows_kept=True)
    by_epoch = [loss_weights(chosen, epoch, fraction) for epoch in (0, 1, warmup, warmup + 1, 500)]
    knowledge = [weights.kd for weights in by_epoch]
    assert knowledge == sorted(knowledge)
    assert all(0 <= weights.ce <= ce and weights.kd >= 0 for weights in by_epoch)
    assert by_epoch[-1].ce + by_epoch[-1].kd == pytest.approx(ce + kd, rel=1e-12)
    fewer = loss_weights(chosen, 500, fraction / 2)
    assert fewer.kd >= by_epoch[-1].kd
    assert fewer.ce <= by_epoch[-1].ce


# --- of the samples of a batch ----------------------------------------------------------------------------

LOGITS = np.array([[0.0, 1.0, 2.0], [1.0, -1.0, 0.5], [0.0, 0.0, 3.0], [2.0, 2.0, -1.0]])
TAUGHT = np.array([[1.0, 1.0, 4.0], [0.0, 2.0, 0.0], [1.0, 0.0, 5.0], [3.0, 0.0, 0.0]])
LABELS = np.array([2, 1, 2, 0])
TERMS: dict[str, dict[str, Any]] = {
    "kd": {"name": "kd"},
    "standardised": {"name": "kd", "standardise": True},
    "dkd": {"name": "dkd"},
    "dist over classes": {"name": "dist", "gamma": 0},
}


def batch_loss(loss: dict[str, Any], sample_weight: list[float] | None, *, ce: float = 0.3, kd: float = 2.0) -> float:
    chosen = DistillationLoss(config(temperature=2, loss=loss), None)
    weights = None if sample_weight is None else torch.tensor(sample_weight, dtype=torch.float64)
    labels = Labels(own=torch.from_numpy(LABELS))
    arguments = (torch.from_numpy(LOGITS), torch.from_numpy(TAUGHT), labels)
    return float(chosen(*arguments, classes=3, weights=LossWeights(ce=ce, kd=kd), sample_weight=weights))


def each_loss() -> NDArray[np.float64]:
    """Return `0.3 * CE + 2 * KD` of each sample at T = 2, `[4]`, by scipy."""
    ce = -special.log_softmax(LOGITS, axis=1)[np.arange(4), LABELS]
    p, q = (special.softmax(values / 2, axis=1) for values in (TAUGHT, LOGITS))
    return np.asarray(0.3 * ce + 2 * 4 * special.rel_entr(p, q).sum(axis=1))


def test_the_loss_of_a_batch_is_the_mean_of_its_samples_losses() -> None:
    assert batch_loss({}, None) == pytest.approx(each_loss().mean(), rel=1e-12)
    assert batch_loss({}, [1, 1, 1, 1]) == pytest.approx(each_loss().mean(), rel=1e-12)


def test_weights_of_samples_are_factors_of_their_losses_and_do_not_change_the_divisor() -> None:
    expected = (np.array([2.0, 0.5, 1.0, 4.0]) * each_loss()).sum() / 4
    assert batch_loss({}, [2.0, 0.5, 1.0, 4.0]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", TERMS)
def test_a_weight_of_two_is_the_same_sample_twice(loss: str) -> None:
    """Holds for each loss that is a mean over samples: 4 times the batch's is the sum over its samples."""
    alone = [4 * batch_loss(TERMS[loss], [float(i == j) for j in range(4)]) for i in range(4)]
    assert 4 * batch_loss(TERMS[loss], [2, 1, 1, 1]) == pytest.approx(sum(alone) + alone[0], rel=1e-12)


@pytest.mark.parametrize("loss", TERMS)
def test_a_loss_that_compares_no_batch_is_the_same_for_a_sample_alone(loss: str) -> None:
    assert not compares_batch(config(loss=TERMS[loss]))
    term = make_loss(config(loss=TERMS[loss]))
    arguments = [torch.from_numpy(values) for values in (LOGITS, TAUGHT, LABELS)]
    together = term(*arguments)
    for i in range(4):
        torch.testing.assert_close(term(*(values[i : i + 1] for values in arguments)), together[i : i + 1])


@pytest.mark.parametrize(
    ("loss", "compares"),
    [
        ({"name": "dist"}, True),
        ({"name": "dist", "beta": 0}, True),
        ({"name": "dist", "gamma": 0}, False),
        ({"name": "pkt"}, True),
        ({"name": "pkt", "beta": 0}, False),
    ],
)
def test_a_loss_that_compares_samples_is_told(loss: dict[str, Any], compares: bool) -> None:
    assert compares_batch(config(loss=loss)) == compares


def test_the_term_that_compares_a_batch_is_added_to_each_sample_once() -> None:
    term = make_loss(config(loss={"name": "dist", "beta": 0}))
    found = term(*(torch.from_numpy(values) for values in (LOGITS, TAUGHT, LABELS)))
    assert found.shape == (4,)
    assert len(set(found.tolist())) == 1


# --- the expected gradient, by all outcomes there are -----------------------------------------------------


def parameter_gradient(kept: list[int], sample_weight: list[float], loss: dict[str, Any]) -> NDArray[np.float64]:
    """Return the gradient, `[2, 3]`, of an epoch's summed loss by a linear student's parameters.

    The kept samples are one batch, so that its size times its mean loss is the sum.
    """
    inputs = torch.from_numpy(np.random.default_rng(3).normal(size=(4, 2)))[kept]
    student = torch.from_numpy(np.random.default_rng(4).normal(size=(2, 3))).requires_grad_()
    mean = DistillationLoss(config(temperature=2, loss=loss), None)(
        inputs @ student,
        torch.from_numpy(TAUGHT)[kept],
        Labels(own=torch.from_numpy(LABELS)[kept]),
        classes=3,
        weights=LossWeights(ce=0.3, kd=2.0),
        sample_weight=torch.tensor(sample_weight, dtype=torch.float64),
    )
    (gradient,) = torch.autograd.grad(mean * len(kept), student)
    return gradient.numpy()


@pytest.mark.parametrize("loss", TERMS)
def test_pruning_at_random_with_weights_keeps_the_expected_gradient(loss: str) -> None:
    """Samples 0 and 2 are left out with probability 1/4 each, and weigh 4/3 when they stay: four outcomes."""
    full = parameter_gradient([0, 1, 2, 3], [1, 1, 1, 1], TERMS[loss])
    expected = np.zeros_like(full)
    for first, third in product((False, True), repeat=2):
        probability = (0.75 if first else 0.25) * (0.75 if third else 0.25)
        kept = [i for i, stays in enumerate((first, True, third, True)) if stays]
        weights = [4 / 3 if i in (0, 2) else 1.0 for i in kept]
        expected += probability * parameter_gradient(kept, weights, TERMS[loss])
    np.testing.assert_allclose(expected, full, rtol=1e-9, atol=1e-12)


def test_without_weights_pruning_changes_the_expected_gradient() -> None:
    """The check above would notice it: the two low samples have a quarter less of the gradient."""
    full = parameter_gradient([0, 1, 2, 3], [1, 1, 1, 1], {})
    low = parameter_gradient([0, 2], [1, 1], {})
    expected = np.zeros_like(full)
    for first, third in product((False, True), repeat=2):
        probability = (0.75 if first else 0.25) * (0.75 if third else 0.25)
        kept = [i for i, stays in enumerate((first, True, third, True)) if stays]
        expected += probability * parameter_gradient(kept, [1.0] * len(kept), {})
    np.testing.assert_allclose(expected, full - low / 4, rtol=1e-9)


@pytest.mark.parametrize("loss", TERMS)
def test_drawing_with_replacement_with_weights_keeps_the_expected_gradient(loss: str) -> None:
    """Three draws with p = (0.4, 0.3, 0.2, 0.1): sample i drawn m times weighs m / (3 p_i); 20 multisets."""
    p = np.array([0.4, 0.3, 0.2, 0.1])
    full = parameter_gradient([0, 1, 2, 3], [1, 1, 1, 1], TERMS[loss])
    expected, total = np.zeros_like(full), 0.0
    for counts in product(range(4), repeat=4):
        if sum(counts) != 3:
            continue
        probability = factorial(3) * np.prod([q**m / factorial(m) for q, m in zip(p, counts, strict=True)])
        kept = [i for i, m in enumerate(counts) if m]
        weights = [counts[i] / (3 * p[i]) for i in kept]
        expected += probability * parameter_gradient(kept, weights, TERMS[loss])
        total += probability
    assert total == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(expected, full, rtol=1e-9, atol=1e-12)


def test_a_loss_over_features_has_no_factor_of_samples() -> None:
    """PKT compares the batch: beside the weighted losses of samples it stands once, with its own weight."""

    class Tap:
        def take(self) -> torch.Tensor:
            return torch.from_numpy(LOGITS)

    features = torch.from_numpy(TAUGHT[:, :2] + 5)
    loss = DistillationLoss(config(temperature=2, loss={"name": "pkt", "beta": 7}), Tap())  # type: ignore[arg-type]
    found, terms = loss.in_terms(
        torch.from_numpy(LOGITS),
        torch.cat([torch.from_numpy(TAUGHT), features], dim=1),
        Labels(own=torch.from_numpy(LABELS)),
        classes=3,
        weights=LossWeights(ce=0.3, kd=2.0),
        sample_weight=torch.full((4,), 3.0),
    )
    beside = 7 * float(Pkt()(torch.from_numpy(LOGITS), features))
    assert float(found) == pytest.approx(3 * each_loss().mean() + beside, rel=1e-6)
    of_labels = -0.9 * special.log_softmax(LOGITS, axis=1)[np.arange(4), LABELS].mean()
    assert terms.tolist() == pytest.approx([of_labels, 3 * each_loss().mean() - of_labels, beside], rel=1e-6)
