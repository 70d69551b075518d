"""Hinton's loss and the entropy of predictions, against numbers worked out by hand and against scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from kcd_pipeline.condensation.values import prediction_entropy
from kcd_pipeline.losses.kd import kl_divergence


def test_kd_loss_by_hand_at_temperature_one() -> None:
    # teacher (1/2, 1/2), student (1/4, 3/4): KL = 1/2 ln 2 + 1/2 ln(2/3) = 1/2 ln(4/3) = 0.14384104
    teacher = torch.tensor([[0.0, 0.0]])
    student = torch.tensor([[0.0, math.log(3)]])
    assert kl_divergence(student, teacher, 1).item() == pytest.approx(0.14384104, abs=1e-7)


def test_kd_loss_by_hand_at_temperature_two() -> None:
    # logits 0 and 2 ln 3 at T = 2 are the distribution (1/4, 3/4); T^2 makes it 4 * 0.14384104
    teacher = torch.tensor([[0.0, 0.0]])
    student = torch.tensor([[0.0, 2 * math.log(3)]])
    assert kl_divergence(student, teacher, 2).item() == pytest.approx(0.57536414, abs=1e-6)


def test_kd_loss_is_from_the_teacher_to_the_student_and_not_the_other_way() -> None:
    # KL((1/4, 3/4) || (1/2, 1/2)) = 1/4 ln(1/2) + 3/4 ln(3/2) = 0.13081204
    teacher = torch.tensor([[0.0, math.log(3)]])
    student = torch.tensor([[0.0, 0.0]])
    assert kl_divergence(student, teacher, 1).item() == pytest.approx(0.13081204, abs=1e-7)


def test_kd_loss_of_each_sample_is_scipys_relative_entropy() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 16, 10)) * 5
    for temperature in (0.5, 1.0, 4.0):
        p, q = (special.softmax(logits / temperature, axis=1) for logits in (teacher, student))
        expected = temperature**2 * stats.entropy(p, q, axis=1)
        found = kl_divergence(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
        assert found.numpy() == pytest.approx(expected, rel=1e-9)


def test_a_student_that_says_what_the_teacher_says_loses_nothing() -> None:
    logits = torch.randn(4, 10, dtype=torch.float64)
    assert kl_divergence(logits + 3, logits, 4).numpy() == pytest.approx(0, abs=1e-12)  # a shift changes no softmax


def test_at_a_large_temperature_the_gradient_is_that_of_the_logits_themselves() -> None:
    # Hinton et al. (2015), eq. 4: as T grows, T^2 times the gradient goes to (s_c - t_c) / C for centred logits,
    # whatever T; here over a batch of one
    student = torch.tensor([[1.0, -2.0, 0.5, 0.5]], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[3.0, -1.0, -1.0, -1.0]], dtype=torch.float64)
    limit = (student.detach() - teacher) / 4
    sizes = []
    for temperature in (1e3, 1e4):
        (gradient,) = torch.autograd.grad(kl_divergence(student, teacher, temperature), student)
        torch.testing.assert_close(gradient, limit, rtol=5 / temperature, atol=0)
        sizes.append(float(gradient.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def test_confident_teachers_and_students_give_finite_losses_and_gradients() -> None:
    student = torch.tensor([[1e4, 0.0, 0.0], [0.0, 1e4, 0.0]], requires_grad=True)
    teacher = torch.tensor([[1e4, 0.0, 0.0], [1e4, 0.0, 0.0]])
    loss = kl_divergence(student, teacher, 1)
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([0, 1e4])
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_entropy_is_scipys() -> None:
    logits = np.random.default_rng(1).normal(size=(64, 100)).astype(np.float32) * 6
    expected = stats.entropy(special.softmax(logits.astype(np.float64), axis=1), axis=1)
    assert prediction_entropy(torch.from_numpy(logits)).numpy() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_entropy_by_hand() -> None:
    # (1/4, 3/4): 1/4 ln 4 + 3/4 ln(4/3) = 0.56233514 nats
    assert float(prediction_entropy(torch.tensor([[0.0, math.log(3)]]))) == pytest.approx(0.56233514, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_entropy_of_the_uniform_is_log_c(classes: int) -> None:
    assert float(prediction_entropy(torch.full((1, classes), 7.0))) == pytest.approx(math.log(classes), rel=1e-5)


@pytest.mark.parametrize("largest", [200.0, 1e4, 1e30])
def test_entropy_of_certainty_is_zero_and_never_nan(largest: float) -> None:
    logits = torch.zeros(2, 10)
    logits[0, 3] = largest
    logits[1, 3] = -largest  # the other extreme: nine equal classes are left
    entropy = prediction_entropy(logits)
    assert float(entropy[0]) == 0
    assert float(entropy[1]) == pytest.approx(math.log(9), rel=1e-5)


def test_entropy_where_probabilities_are_exactly_zero() -> None:
    """Classes that cannot be (-inf) and those that float32 makes 0 (e^-20000) add nothing."""
    never = float("-inf")
    logits = torch.tensor([[0.0, never, 0.0, never], [1e4, 1e4, 1e4, -1e4], [1e4, -1e4, never, never]])
    assert prediction_entropy(logits).tolist() == pytest.approx([math.log(2), math.log(3), 0.0], rel=1e-6)


def test_entropy_of_no_distribution_is_not_mistaken_for_a_number() -> None:
    logits = torch.tensor([[float("inf"), 0.0], [float("-inf"), float("-inf")]])
    assert prediction_entropy(logits).isnan().all()


def test_entropy_is_float32_and_keeps_no_graph_also_under_mixed_precision() -> None:
    logits = torch.randn(3, 10, dtype=torch.bfloat16, requires_grad=True)
    entropy = prediction_entropy(logits)
    assert entropy.dtype == torch.float32
    assert entropy.shape == (3,)
    assert not entropy.requires_grad


def test_entropy_of_what_has_diverged_is_not_mistaken_for_a_number() -> None:
    assert prediction_entropy(torch.tensor([[float("nan"), 0.0]])).isnan().all()
