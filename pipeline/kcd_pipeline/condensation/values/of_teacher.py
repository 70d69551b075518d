"""Worths that look at the teacher's row, too: the one that the step is taught, perturbed where the plan perturbs it.

Letters: B batch, C classes, T temperature, p_S and p_T the softmaxes of student and teacher, y the label. Each function
takes `logits[B, C]` float32, `labels[B]` int64 and `teacher[B, C]` float32, logits as well, and returns `[B]` float32.
"""

from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.condensation.values.entropy import prediction_entropy


def gap(logits: Tensor, labels: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Return `KL(p_T || p_S)` of both at temperature T, in nats, 0 or more: how far the student is from its lesson.

    It is the loss of Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network" (2015), without its factor
    T^2. What rounding takes below 0 is 0.
    """
    log_student = F.log_softmax(logits / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(dim=1).clamp_(min=0)


def disagreement(logits: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
    """Return 1 where student and teacher predict different classes, else 0; the mean is the share of such visits."""
    return (logits.argmax(dim=1) != teacher.argmax(dim=1)).float()


def teacher_entropy(logits: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
    """Return the entropy of the teacher's prediction at temperature 1, in nats, 0 to ln C."""
    return prediction_entropy(teacher)


def excess(logits: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
    """Return the student's cross-entropy minus the teacher's, `log p_T,y - log p_S,y`, in nats, any number.

    It follows Mindermann et al., "Prioritized training on points that are learnable, worth learning, and not yet
    learnt" (ICML 2022), eq. 3, the reducible holdout loss, with the teacher in place of their model of held-out data:
    what even the teacher cannot explain, as a wrong label, is worth little.
    """
    student = F.cross_entropy(logits, labels, reduction="none")
    return student - F.cross_entropy(teacher, labels, reduction="none")
