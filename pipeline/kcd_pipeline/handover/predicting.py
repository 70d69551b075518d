"""Predictions for pictures: the likeliest classes and their probabilities.

Letters: N pictures, B pictures of a batch, C classes, k likeliest classes.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kcd_pipeline.config import RunConfig
from kcd_pipeline.data.pictures.unreadable import printable
from kcd_pipeline.device_moves import to_device
from kcd_pipeline.errors import FailedError
from kcd_pipeline.handover.pictures import find_pictures, picture_batches
from kcd_pipeline.handover.student import Student
from kcd_pipeline.progress import progress_bar
from kcd_pipeline.terminal import new_table
from kcd_pipeline.training.device import prepare_for_inference


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Answers of a model to N images.

    Attributes
    ----------
    likeliest
        `[N, k]` int32: likeliest classes first; those with equal logits are in their own order.
    probability
        `[N, k]` float64: the softmax of the logits at temperature 1, of these classes.
    """

    likeliest: NDArray[np.int32]
    probability: NDArray[np.float64]


@torch.inference_mode()
def ask(
    model: nn.Module, batches: Iterable[tuple[NDArray[np.int64], Tensor]], *, count: int, top: int, device: torch.device
) -> Answers:
    """Return the `top` likeliest classes of `count` images, given as batches of places `index[B]` and images.

    Raises
    ------
    FailedError
        If a logit is not finite.
    """
    likeliest = torch.zeros(count, top, dtype=torch.int32, device=device)
    probability = torch.zeros(count, top, dtype=torch.float64, device=device)
    with progress_bar() as bar:
        task = bar.add_task("predicting", total=count, note="", unit="img")
        for index, images in batches:
            logits = model(images).float()
            order = logits.sort(dim=1, descending=True, stable=True).indices[:, :top]
            place = to_device(index, device)
            likeliest[place] = order.to(torch.int32)
            probability[place] = logits.double().softmax(dim=1).gather(1, order)
            bar.advance(task, len(index))
    if not probability.isfinite().all():
        raise FailedError(
            "the model gives logits that are not finite (NaN or infinity), so it predicts nothing. Take weights of an "
            "earlier epoch, such as best.safetensors, or train anew with a lower learning rate."
        )
    return Answers(likeliest=likeliest.cpu().numpy(), probability=probability.cpu().numpy())


def predict(student: Student, places: Sequence[Path], *, top: int, run: RunConfig) -> tuple[list[Path], Answers]:
    """Return the pictures that `places` name, files or folders, and what `student` says of them.

    Parameters
    ----------
    top
        Classes to return of each; all of them if there are fewer.
    run
        Its device computes.

    Raises
    ------
    UserError
        If there are no pictures, or one of them cannot be read.
    """
    pictures = find_pictures(places)
    model, device = prepare_for_inference(student.model, run)
    batches = picture_batches(pictures, student.preprocess, device)
    answers = ask(model, batches, count=len(pictures), top=min(top, len(student.classes)), device=device)
    return pictures, answers


def predictions_as_json(student: Student, pictures: Sequence[Path], answers: Answers) -> str:
    """Return the predictions as JSON for machines."""
    told: list[dict[str, Any]] = []
    for picture, labels, shares in zip(pictures, answers.likeliest, answers.probability, strict=True):
        found = [_told(student, int(label), float(share)) for label, share in zip(labels, shares, strict=True)]
        told.append({"image": printable(picture), "predictions": found})
    return json.dumps({"weights": student.source, "model": student.name, "images": told}, indent=2)


def _told(student: Student, label: int, share: float) -> dict[str, Any]:
    name = {} if student.label_names is None else {"label_name": student.label_names[label]}
    return {"label": label, "class": student.classes[label], **name, "probability": share}


def predictions_as_table(student: Student, pictures: Sequence[Path], answers: Answers) -> Any:
    """Return a table with a line for each picture."""
    table = new_table()
    table.add_column("image", overflow="fold")
    for place in range(answers.likeliest.shape[1]):
        table.add_column("likeliest" if place == 0 else f"{place + 1}.", overflow="fold")
        table.add_column("", justify="right")
    for picture, labels, shares in zip(pictures, answers.likeliest, answers.probability, strict=True):
        cells = [
            word
            for label, share in zip(labels, shares, strict=True)
            for word in (student.label_name(int(label)), f"{share:.1%}")
        ]
        table.add_text_row(printable(picture), *cells)
    return table
