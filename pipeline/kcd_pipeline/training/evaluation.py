"""Accuracy of a model on a split."""

import numpy as np
import torch
from torch import Tensor, nn

from kcd_pipeline.augmentation import ViewSource
from kcd_pipeline.device_moves import to_device
from kcd_pipeline.training.ranks import ALONE, Ranks
from kcd_stores.streaming.order import cut_batches

EVALUATION_BATCH = 512


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
