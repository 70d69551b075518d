"""Metrics of the logits `[N, C]` of a whole split and its labels `[N]`."""

import torch
from torch import Tensor


def balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the mean over classes of the share of their samples that are predicted right, 0 to 1."""
    right = logits.argmax(dim=1) == labels
    return torch.stack([right[labels == label].float().mean() for label in labels.unique()]).mean().item()


def top_k_accuracy(logits: Tensor, labels: Tensor, k: int = 5) -> float:
    """Return the share of samples whose class is among the k likeliest, 0 to 1."""
    return (logits.topk(k, dim=1).indices == labels[:, None]).any(dim=1).float().mean().item()
