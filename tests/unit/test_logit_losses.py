"""The losses of `distill.loss`, each compared with numbers worked out by hand and with an independent formula."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

from kcd_pipeline.config import DistillConfig
from kcd_pipeline.losses import Dist, Dkd, Kd, KnowledgeLoss, make_loss
from kcd_pipeline.losses.dist import pearson_correlation
from kcd_pipeline.losses.dkd import without_target
from kcd_pipeline.losses.kd import standardise
from kcd_stores import make_encoding

T = 3.0
LABELS = np.array([0, 3, 3, 9, 5, 1, 7, 2])
LOSSES: dict[str, KnowledgeLoss] = {
    "kd": Kd(temperature=T),
    "kd standardised": Kd(temperature=T, standardise=True),
    "dkd": Dkd(temperature=T, alpha=1.0, beta=8.0),
    "dist": Dist(temperature=T, beta=1.5, gamma=0.5),
}


def logits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the student's and the teacher's logits, `[8, 10]` float64."""
    student, teacher = np.random.default_rng(seed).normal(size=(2, len(LABELS), 10)) * 4
    return student, teacher


def softmax(values: np.ndarray) -> np.ndarray:
    return special.softmax(values / T, axis=1)


def of(loss: KnowledgeLoss, student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Return the loss of each sample, `[8]`."""
    return loss(torch.from_numpy(student), torch.from_numpy(teacher), torch.from_numpy(LABELS)).numpy()


# --- independent formulas: numpy, scipy and the papers' words ---------------------------------------------


def kd_by_scipy(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    return T**2 * stats.entropy(softmax(teacher), softmax(student), axis=1)


def standardised_kd_by_scipy(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Compute Hinton's loss of logits standardised by the deviation with C - 1, as Sun et al.'s code does."""
    return kd_by_scipy(stats.zscore(student, axis=1, ddof=1), stats.zscore(teacher, axis=1, ddof=1))


def dkd_by_scipy(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Compute DKD sample by sample, from probabilities renormalised without the true class."""
    each = []
    for p, q, label in zip(softmax(teacher), softmax(student), LABELS, strict=True):
        target = stats.entropy([p[label], 1 - p[label]], [q[label], 1 - q[label]])
        others = stats.entropy(np.delete(p, label) / (1 - p[label]), np.delete(q, label) / (1 - q[label]))
        each.append(T**2 * (1.0 * target + 8.0 * others))
    return np.array(each)


def dist_by_scipy(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Compute DIST of each sample: its own correlation over classes, and the batch's over samples, shared by all."""
    p, q = softmax(teacher), softmax(student)
    inter = np.array([1 - stats.pearsonr(a, b).statistic for a, b in zip(p, q, strict=True)])
    intra = np.mean([1 - stats.pearsonr(a, b).statistic for a, b in zip(p.T, q.T, strict=True)])
    return T**2 * (1.5 * inter + 0.5 * intra)


INDEPENDENT: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "kd": kd_by_scipy,
    "kd standardised": standardised_kd_by_scipy,
    "dkd": dkd_by_scipy,
    "dist": dist_by_scipy,
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_a_loss_is_the_independent_formula(name: str, seed: int) -> None:
    assert of(LOSSES[name], *logits(seed)) == pytest.approx(INDEPENDENT[name](*logits(seed)), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_gradient_is_the_slope_between_neighbouring_points(name: str) -> None:
    student, teacher = (torch.from_numpy(part) for part in logits(5))
    labels = torch.from_numpy(LABELS)
    assert torch.autograd.gradcheck(lambda z: LOSSES[name](z, teacher, labels), student.requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_what_the_teacher_says_costs_nothing_and_is_a_minimum(name: str) -> None:
    student = torch.from_numpy(logits(1)[1]).requires_grad_()
    loss = LOSSES[name](student, student.detach().clone(), torch.from_numpy(LABELS))
    (slope,) = torch.autograd.grad(loss.mean(), student)
    assert loss.detach().numpy() == pytest.approx(0, abs=1e-5)
    assert float(slope.abs().max()) == pytest.approx(0, abs=1e-6)


CERTAIN = torch.zeros(4, 10).index_fill_(1, torch.tensor([3]), 1e4)
CONSTANT = torch.full((4, 10), 2.0)
TIMID = torch.linspace(-1, 1, 40).view(4, 10)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        (TIMID, CERTAIN),
        (CERTAIN, CERTAIN),
        (-CERTAIN, CERTAIN),
        (CERTAIN, TIMID),
        (CONSTANT, CERTAIN),
        (TIMID, CONSTANT),
    ],
    ids=["timid", "certain", "certain of the contrary", "taught doubt", "that knows nothing", "taught nothing"],
)
@pytest.mark.parametrize("label", [3, 4])
def test_losses_and_gradients_are_finite_for_the_certain(
    name: str, student: Tensor, teacher: Tensor, label: int
) -> None:
    student = student.clone().requires_grad_()
    loss = LOSSES[name](student, teacher, torch.full((4,), label))
    (slope,) = torch.autograd.grad(loss.sum(), student)
    assert loss.shape == (4,)
    assert loss.isfinite().all()
    assert slope.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_the_decoded_rows_of_a_topk_store_will_do(name: str) -> None:
    """The rows that a `topk` store teaches are finite, and the losses are near those of all logits."""
    student, teacher = logits(2)
    encoding = make_encoding("topk", k=6)
    decoded = encoding.decode(encoding.encode(teacher.astype(np.float32), view=0, first=0), 10)
    assert of(LOSSES[name], student, decoded.astype(np.float64)) == pytest.approx(
        INDEPENDENT[name](student, decoded.astype(np.float64)), rel=1e-5
    )


# --- by hand ----------------------------------------------------------------------------------------------


def test_standardised_by_hand() -> None:
    # (1, 3, 8): mean 4, deviations (-3, -1, 4), variance (9 + 1 + 16) / 2 = 13, std 3.6055513
    expected = [[-0.8320503, -0.2773501, 1.1094004]]
    np.testing.assert_allclose(standardise(torch.tensor([[1.0, 3.0, 8.0]])), expected, rtol=1e-6)


def test_standardised_kd_by_hand() -> None:
    """T = 1: the student's (2, 4) becomes (-1, 1) / sqrt 2, the teacher's (0, -6) the opposite.

    With a = sqrt 2, the probabilities are 1 / (1 + e^a) = 0.19557032 and 0.80442968: KL = 0.60885936 * a = 0.86105717.
    """
    loss = Kd(temperature=1, standardise=True)(
        torch.tensor([[2.0, 4.0]]), torch.tensor([[0.0, -6.0]]), torch.tensor([0])
    )
    assert loss.tolist() == pytest.approx([0.86105717], abs=1e-6)


def test_standardised_kd_asks_for_relations_and_not_for_size() -> None:
    _, teacher = logits(0)
    assert of(LOSSES["kd standardised"], 0.01 * teacher + 7, teacher) == pytest.approx(0, abs=1e-7)
    assert of(LOSSES["kd"], 0.01 * teacher + 7, teacher).mean() > 0.1


def test_dkd_by_hand() -> None:
    """T = 1, label 0: p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2).

    TCKD = 1/2 ln((1/2)/(1/4)) + 1/2 ln((1/2)/(3/4)) = 1/2 ln 2 + 1/2 ln(2/3) = 1/2 ln(4/3) = 0.14384104
    among the rest p' = (1/2, 1/2), q' = (1/3, 2/3): NCKD = 1/2 ln(3/2) + 1/2 ln(3/4) = 1/2 ln(9/8) = 0.05889152
    """
    teacher, student = (torch.log(torch.tensor([row])) for row in ([0.5, 0.25, 0.25], [0.25, 0.25, 0.5]))
    label = torch.tensor([0])
    only_target, only_rest, both = (
        float(Dkd(temperature=1, alpha=alpha, beta=beta)(student, teacher, label))
        for alpha, beta in ((1, 0), (0, 1), (1, 8))
    )
    assert only_target == pytest.approx(0.14384104, abs=1e-7)
    assert only_rest == pytest.approx(0.05889152, abs=1e-7)
    assert both == pytest.approx(0.14384104 + 8 * 0.05889152, abs=1e-6)


def test_dkd_decouples_what_kd_couples() -> None:
    """The paper starts from KD = TCKD + (1 - p_t) * NCKD, for each sample."""
    student, teacher = logits(4)
    for row, label in enumerate(LABELS):
        one = (torch.from_numpy(student[row : row + 1]), torch.from_numpy(teacher[row : row + 1]))
        coupled = 1 - softmax(teacher)[row, label]
        decoupled = Dkd(temperature=T, alpha=1.0, beta=coupled)(*one, torch.tensor([label]))
        assert float(decoupled) == pytest.approx(float(Kd(temperature=T)(*one, torch.tensor([label]))), rel=1e-9)


def test_without_leaves_the_label_out_and_the_rest_in_order() -> None:
    rows = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert without_target(rows, torch.tensor([1, 2])).tolist() == [[1, 3], [4, 5]]


def test_correlation_by_hand() -> None:
    # (1, 2, 3) with (1, 3, 2): deviations (-1, 0, 1) and (-1, 1, 0): 1 / (sqrt 2 * sqrt 2) = 1/2
    first = torch.tensor([[1.0, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3]])
    second = torch.tensor([[1.0, 3, 2], [10, 20, 30], [3, 2, 1], [5, 5, 5]])
    np.testing.assert_allclose(pearson_correlation(first, second), [0.5, 1, -1, 0], atol=1e-6)


# --- chosen by a recipe -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "made"),
    [
        ({}, Kd(temperature=2.5)),
        ({"standardise": True}, Kd(temperature=2.5, standardise=True)),
        ({"name": "dkd"}, Dkd(temperature=2.5, alpha=1, beta=8)),
        ({"name": "dkd", "beta": 2}, Dkd(temperature=2.5, alpha=1, beta=2)),
        ({"name": "dist", "gamma": 3}, Dist(temperature=2.5, beta=1, gamma=3)),
    ],
)
def test_a_recipe_chooses_its_loss(chosen: dict[str, object], made: KnowledgeLoss) -> None:
    assert make_loss(DistillConfig.model_validate({"temperature": 2.5, "loss": chosen})) == made
