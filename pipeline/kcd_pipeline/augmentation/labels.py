"""The labels of a batch of pictures, each of which may be mixed with another one. Letters: B batch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """The labels of a batch; where pictures are mixed, also those of their partners.

    Attributes
    ----------
    own
        `[B]` int64: the label of each sample.
    partner
        `[B]` int64: the label of the picture that it is mixed with; None if no picture is mixed.
    weight
        `[B]` float32: the part of its own label, 0 to 1; the rest is its partner's. None if no picture is mixed.

    Raises
    ------
    ValueError
        If partners have no weights, or weights no partners.
    """

    own: Tensor
    partner: Tensor | None = None
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.partner is None) != (self.weight is None):
            raise ValueError("labels of partners and their weights go together, found one without the other")

    def __len__(self) -> int:
        return len(self.own)

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return `weight * f(own) + (1 - weight) * f(partner)`, `[B]`: f at the mixed label if it is linear in labels.

        Cross-entropy is. Zhang et al., "mixup: beyond empirical risk minimization" (ICLR 2018).

        Parameters
        ----------
        function
            f, of labels `[B]` int64; it returns `[B]` float32.
        """
        at_own = function(self.own)
        if self.partner is None or self.weight is None:
            return at_own
        return torch.lerp(function(self.partner), at_own, self.weight.to(at_own.dtype))
