"""Models that a caller passes as objects, in the place of those that a recipe names.

A copy is used, so that the caller's own model stays what it is: an object that was trained would not be the one that a
run goes on with.
"""

import copy
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from kcd_pipeline.errors import UserError
from kcd_pipeline.models.trial import require_logits, require_trainable
from kcd_pipeline.models.weights import weights_hash
from kcd_pipeline.own_parts import passed_name

SHOWN = 12  # hex digits of a structure


@dataclass(frozen=True, kw_only=True, eq=False)
class PassedModels:
    """The models that were passed; None where the recipe's own is meant."""

    teacher: nn.Module | None = None
    student: nn.Module | None = None

    def origin(self) -> dict[str, str]:
        """Return the hash of the student's initial weights, if one was passed; a teacher's is recorded by its store."""
        return {} if self.student is None else {"student": weights_hash(self.student.state_dict())}


NONE_PASSED = PassedModels()


def recorded_model(model: nn.Module) -> dict[str, object]:
    """Return the keys `model` and `arguments` by which a recipe records a model that was passed."""
    return {"model": passed_name(model), "arguments": {"structure": structure(model)}}


def structure(model: nn.Module) -> str:
    """Return a digest of the modules of `model`, as they print themselves, and of the shapes of its state.

    Initial weights have no part in it, so that models of several seeds have one structure.
    """
    printed = re.sub(r"0x[0-9a-fA-F]+", "", repr(model))  # addresses in memory
    shapes = [(name, str(entry.dtype), tuple(entry.shape)) for name, entry in model.state_dict().items()]
    return hashlib.sha256(f"{printed}\n{shapes}".encode()).hexdigest()[:SHOWN]


def copy_of_passed(
    model: nn.Module, *, image_shape: Sequence[int], classes: int, trained_by: int = 0, part: str
) -> nn.Module:
    """Return a copy of a model that was passed, on the CPU, after it was tried as `model_for` tries one that is named.

    Parameters
    ----------
    image_shape
        [K, H, W].
    trained_by
        The number of processes that are to train it together.
    part
        `teacher` or `student`, for messages.

    Raises
    ------
    UserError
        If it is no module, or cannot be copied, cannot take such images, or cannot be trained.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"{part}: found an object of type {type(model).__name__}, expected a torch.nn.Module")
    try:
        copied = copy.deepcopy(model).cpu()
    except Exception as error:  # another's model may refuse to be copied in any way
        raise UserError(
            f"{part}: the {type(model).__name__} that was passed cannot be copied ({type(error).__name__}: {error}). "
            f"Build it anew and pass it before it is used, or name a callable that builds it, package.module:callable."
        ) from error
    name = f"the {type(model).__name__} that was passed as {part}"
    require_logits(copied, name, image_shape, classes)
    if trained_by:
        require_trainable(copied, name, image_shape, classes, together=trained_by > 1)
    return copied
