"""Worths that look at the student's prediction alone, and at the label.

Letters: B batch, C classes, z logits, p = softmax(z), y the label. Each function takes `logits[B, C]` float32 and
`labels[B]` int64, and returns `[B]` float32. High means that there is more left to learn.
"""

from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.condensation.values.entropy import prediction_entropy

LOWEST = float("-inf")


def entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `-sum_c p_c log p_c`, in nats, 0 to ln C.

    Li et al., "Knowledge condensation distillation" (ECCV 2022), eq. 7.
    """
    return prediction_entropy(logits)


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy with the label, `-log p_y`, in nats, 0 or more.

    Loshchilov & Hutter, "Online batch selection for faster training of neural networks" (ICLR workshop 2016), rank
    samples by it.
    """
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `1 - (p_1 - p_2)` of the two largest probabilities, 0 to 1.

    Scheffer, Decomain & Wrobel, "Active hidden Markov models for information extraction" (IDA 2001): the smaller the
    margin between the two, the less sure the student is. It is taken from 1 so that high means unsure.
    """
    first, second = logits.softmax(dim=1).topk(2, dim=1).values.unbind(dim=1)
    return 1 - (first - second)


def el2n(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the distance `||p - onehot(y)||_2`, 0 to the square root of 2.

    Paul, Ganguli & Dziugaite, "Deep learning on a data diet: finding important examples early in training" (NeurIPS
    2021): the EL2N score, of one model instead of the mean over several.
    """
    error = logits.softmax(dim=1)
    error.scatter_add_(1, labels[:, None], error.new_full((len(labels), 1), -1.0))
    return error.norm(dim=1)


def aum(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `max_{c != y} z_c - z_y`, any number: positive where the prediction is wrong.

    Pleiss et al., "Identifying mislabeled data using the area under the margin ranking" (NeurIPS 2020): its
    negative is the margin of one visit, and the mean over the visits is the area under it.
    """
    label = labels[:, None]
    others = logits.scatter(1, label, LOWEST).amax(dim=1)
    return others - logits.gather(1, label).squeeze(1)


def wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1 where the prediction is wrong and 0 where it is right; `count_forgetting` counts with it."""
    return (logits.argmax(dim=1) != labels).float()
