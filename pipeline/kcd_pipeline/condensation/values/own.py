"""Value functions of the user's own, called as `f(logits=, labels=, teacher=)`. Letters: B batch, C classes."""

from torch import Tensor

from kcd_pipeline.condensation.values.worth import Measure
from kcd_pipeline.errors import FailedError
from kcd_pipeline.own_parts import OwnPart


def own_measure(part: OwnPart) -> Measure:
    """Return the measure that calls `part` and requires of it what a worth must be.

    It is given `logits[B, C]` float32, `labels[B]` int64 and `teacher[B, C]` float32, which is None without a teacher,
    on the device of the student, and returns `[B]` float32 there.
    """

    def measure(logits: Tensor, labels: Tensor, teacher: Tensor | None) -> Tensor:
        # copies: the gradients are still to be computed from these tensors, whatever the function does with its own
        rows = None if teacher is None else teacher.clone()
        try:
            found = part(logits=logits.clone(), labels=labels.clone(), teacher=rows)
        except Exception as error:  # code of the user's may raise anything
            raise FailedError(
                f"condense.value: {part.name} failed on a batch of {len(labels)} samples: {type(error).__name__}: "
                f"{error}. "
                f"It is called with logits {list(logits.shape)}, labels {list(labels.shape)} and teacher, "
                f"{'None: method none has no teacher' if teacher is None else 'of the shape of the logits'}."
            ) from error
        return _as_worths(found, part.name, logits)

    return measure


def _as_worths(found: object, name: str, logits: Tensor) -> Tensor:
    """Return `found`; raise FailedError unless it is a float32 tensor `[B]` on the device of `logits[B, C]`."""
    expected = f"torch.float32 of shape [{len(logits)}] on {logits.device}"
    if isinstance(found, Tensor):
        got = f"{found.dtype} of shape {list(found.shape)} on {found.device}"
    else:
        got = f"a {type(found).__name__}"
    if not isinstance(found, Tensor) or got != expected:
        raise FailedError(
            f"condense.value: {name} returned {got}, expected {expected}: one number for each sample of the batch."
        )
    return found
