"""A model of other classes than the data set's: its outputs are chosen, or joined, to be those of the data set.

Letters: B batch, K outputs of the model, C classes of the data set, m outputs that stand for one class at most.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MergedOutputs(nn.Module):
    """A model of K outputs as one of C classes: `images -> logits[B, C]`.

    The logit of a class is `log(sum_j exp(z_j))` over the outputs j that stand for it, so that at temperature 1 its
    probability is the sum of theirs, among the outputs that stand for any class. For a single output it is that output.

    Parameters
    ----------
    model
        `images -> logits[B, K]`.
    members
        For each of the C classes, the outputs that stand for it: at least one.
    outputs
        K.

    Attributes
    ----------
    model
        The model itself, which has all parameters.
    members
        As given.
    outputs
        K.
    """

    index: Tensor
    missing: Tensor

    def __init__(self, model: nn.Module, members: Sequence[Sequence[int]], outputs: int) -> None:
        super().__init__()
        self.model, self.members, self.outputs = model, [list(group) for group in members], outputs
        most = max(map(len, members))
        index = [[*outputs, *[outputs[0]] * (most - len(outputs))] for outputs in members]
        missing = [[0.0] * len(outputs) + [float("-inf")] * (most - len(outputs)) for outputs in members]
        self.register_buffer("index", torch.tensor(index), persistent=False)
        self.register_buffer("missing", torch.tensor(missing), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return `logits[B, C]`."""
        members = self.model(images)[:, self.index]
        return members.squeeze(2) if members.shape[2] == 1 else (members + self.missing).logsumexp(dim=2)


def whole_model(model: nn.Module) -> nn.Module:
    """Return the model with all its own outputs, whether or not they are joined."""
    return model.model if isinstance(model, MergedOutputs) else model
