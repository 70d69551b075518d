"""Accuracy of a model on a split, and its predictions."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kcd_pipeline.augmentation import ViewSource
from kcd_pipeline.device_moves import to_device
from kcd_pipeline.training.own_metrics import OwnMetrics
from kcd_pipeline.training.ranks import ALONE, Ranks
from kcd_stores.streaming.order import cut_batches

EVALUATION_BATCH = 512
MOST_LIKELY = 5  # classes of a prediction: enough for top-5 accuracy


@torch.inference_mode()
def evaluate(model: nn.Module, views: ViewSource, labels: Tensor, ranks: Ranks = ALONE) -> float:
    """Return the top-1 accuracy of `model` in evaluation mode, 0..1, over all N samples of `views`.

    Parameters
    ----------
    labels
        `[N]` int64, on the device of the model.
    ranks
        Each of R ranks evaluates every R-th batch; all get the same result.
    """
    model.eval()
    cut = cut_batches(np.arange(len(views)), EVALUATION_BATCH)[ranks.share.rank :: ranks.share.ranks]
    correct = torch.zeros((), dtype=torch.int64, device=labels.device)
    for index, images in views.batches(cut, 0):
        correct += (model(images).argmax(dim=1) == labels[to_device(index, labels.device)]).sum()
    ranks.add_up(correct)
    return int(correct) / len(views)


class Measures(NamedTuple):
    """How a model does on a split.

    Attributes
    ----------
    accuracy
        Top-1, 0..1.
    metrics
        Metrics of the user's own by name, None where one is not finite; empty if the recipe names none.
    averaged
        Top-1, 0..1, of the averaged weights; None without `ema`.
    """

    accuracy: float
    metrics: dict[str, float | None]
    averaged: float | None = None


def measure(
    model: nn.Module,
    views: ViewSource,
    labels: Tensor,
    *,
    classes: int,
    metrics: OwnMetrics,
    ranks: Ranks = ALONE,
) -> Measures:
    """Return the accuracy of `evaluate`, and metrics of the logits of one and the same pass over the split.

    Parameters
    ----------
    labels
        `[N]` int64, on the device of the model.
    classes
        C, the columns of the model's logits.
    metrics
        If there are any, logits of all samples are kept, on the device of the model.
    """
    if not metrics:
        return Measures(evaluate(model, views, labels, ranks), {})
    logits = _all_logits(model, views, classes=classes, device=labels.device, ranks=ranks)
    correct = int((logits.argmax(dim=1) == labels).sum())
    return Measures(correct / len(views), metrics(logits.cpu(), labels.cpu()))


def _all_logits(model: nn.Module, views: ViewSource, *, classes: int, device: torch.device, ranks: Ranks) -> Tensor:
    """Return the logits of all samples, `[N, C]` float32; each of R ranks computes every R-th batch."""
    model.eval()
    cut = cut_batches(np.arange(len(views)), EVALUATION_BATCH)[ranks.share.rank :: ranks.share.ranks]
    logits = torch.zeros(len(views), classes, device=device)
    with torch.no_grad():
        for index, images in views.batches(cut, 0):
            logits[to_device(index, device)] = model(images).float()
    ranks.add_up(logits)
    return logits


@torch.inference_mode()
def predict(model: nn.Module, views: ViewSource, *, classes: int, device: torch.device, ranks: Ranks = ALONE) -> Tensor:
    """Return the classes that `model` in evaluation mode finds likeliest for each of N samples, likeliest first.

    Parameters
    ----------
    classes
        C, the columns of the model's logits.
    device
        That of the model.
    ranks
        Each of R ranks predicts every R-th batch; all get the same result.

    Returns
    -------
    Tensor
        `[N, k]` int32 on the CPU, of the `MOST_LIKELY` classes, or of all if there are fewer. Classes with equal
        logits are in their own order, so that the first is the one that `evaluate` takes.
    """
    model.eval()
    cut = cut_batches(np.arange(len(views)), EVALUATION_BATCH)[ranks.share.rank :: ranks.share.ranks]
    likeliest = torch.zeros(len(views), min(MOST_LIKELY, classes), dtype=torch.int32, device=device)
    for index, images in views.batches(cut, 0):
        found = model(images).sort(dim=1, descending=True, stable=True).indices[:, : likeliest.shape[1]]
        likeliest[to_device(index, device)] = found.to(torch.int32)
    ranks.add_up(likeliest)
    return likeliest.cpu()
