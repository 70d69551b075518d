"""Accuracy of a model on a split, and its predictions."""

import numpy as np
import torch
from torch import Tensor, nn

from kcd_pipeline.augmentation import ViewSource
from kcd_pipeline.device_moves import to_device
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
