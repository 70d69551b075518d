"""Value functions by the name that a recipe gives them. Letters: B batch, C classes."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from kcd_pipeline.condensation.values import of_student, of_teacher
from kcd_pipeline.condensation.values.accumulation import count_forgetting
from kcd_pipeline.condensation.values.own import own_measure
from kcd_pipeline.condensation.values.worth import Measure, Worth
from kcd_pipeline.config import Config
from kcd_pipeline.own_parts import OwnPart, is_own_part

OF_STUDENT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "entropy": of_student.entropy,
    "loss": of_student.loss,
    "margin": of_student.margin,
    "el2n": of_student.el2n,
    "aum": of_student.aum,
}
OF_TEACHER: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "disagreement": of_teacher.disagreement,
    "teacher_entropy": of_teacher.teacher_entropy,
    "excess": of_teacher.excess,
}
# the others look at no label; `forgetting` asks whether a prediction is right, which it is if it is the sample's own
OF_LABELS = ("loss", "el2n", "aum", "excess")


def make_worth(config: Config) -> Worth:
    """Return the value function that `condense.value` names.

    A student of method `none` has no teacher: where the value needs one, it records the entropy of its predictions.

    Raises
    ------
    UserError
        If it is one of the user's own, and cannot be loaded.
    """
    name = config.condense.value
    if is_own_part(name):
        part = OwnPart(name, "condense.value", config.condense.value_arguments)
        return Worth(name=name, measure=own_measure(part), takes_labels=True)
    if name == "forgetting":
        return Worth(name=name, measure=_without_teacher(of_student.wrong), accumulate=count_forgetting)
    if name in OF_STUDENT:
        return Worth(name=name, measure=_without_teacher(OF_STUDENT[name]), takes_labels=name in OF_LABELS)
    if config.distill.method == "none":
        return Worth(name="entropy", measure=_without_teacher(of_student.entropy))
    if name == "gap":
        gap = partial(of_teacher.gap, temperature=config.distill.temperature)
        return Worth(name=name, measure=_with_teacher(gap), needs_teacher=True)
    return Worth(name=name, measure=_with_teacher(OF_TEACHER[name]), needs_teacher=True, takes_labels=name in OF_LABELS)


def _without_teacher(function: Callable[[Tensor, Tensor], Tensor]) -> Measure:
    def measure(logits: Tensor, labels: Tensor, teacher: Tensor | None) -> Tensor:
        return function(logits, labels)

    return measure


def _with_teacher(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Measure:
    def measure(logits: Tensor, labels: Tensor, teacher: Tensor | None) -> Tensor:
        if teacher is None:
            raise ValueError("this value needs the teacher's rows")
        return function(logits, labels, teacher)

    return measure
