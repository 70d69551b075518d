"""The training loop: one epoch of one model over some samples of one view. Teachers and students share it.

Letters: n samples trained in an epoch, B batch, C classes.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from kcd_pipeline.augmentation import Augmentation, Identity, ViewSource
from kcd_pipeline.condensation import Perturbation
from kcd_pipeline.config import OptimisationConfig, RunConfig
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.losses import prediction_entropy
from kcd_pipeline.training.device import make_accelerator
from kcd_pipeline.training.optimisation import learning_rate, make_optimizer
from kcd_stores.shuffle import cut_batches

EVALUATION_BATCH = 512

# (logits[B, C], labels[B], samples index[B]) -> the loss, a scalar
Objective = Callable[[Tensor, Tensor, NDArray[np.int64]], Tensor]

# some samples in the order of training, and the objective that holds as long as they are trained on
Part = tuple[NDArray[np.int64], Objective]


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochResult:
    """What one epoch left behind.

    Attributes
    ----------
    loss, accuracy
        Means over the samples trained, as they were predicted on the way.
    order
        `[n]` int64: samples in the order of training.
    entropy
        `[n]` float32: of the prediction on each, in nats, in the same order.
    steps
        Steps of the optimizer.
    seconds
        Of training alone.
    """

    loss: float
    accuracy: float
    order: NDArray[np.int64]
    entropy: NDArray[np.float32]
    steps: int
    seconds: float


def labels_only(logits: Tensor, labels: Tensor, index: NDArray[np.int64]) -> Tensor:
    """The objective that needs no knowledge: cross-entropy."""
    return F.cross_entropy(logits, labels)


class Trainer:
    """A model, its optimizer and its data on a device."""

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        augmentation: Augmentation,
        *,
        optimisation: OptimisationConfig,
        run: RunConfig,
    ) -> None:
        self.accelerator = make_accelerator(run)
        device = self.accelerator.device
        self._config = optimisation
        model = model.to(memory_format=torch.channels_last)
        self._optimizer = self.accelerator.prepare(make_optimizer(model, optimisation))
        self._model = self.accelerator.prepare(model)
        self._train = dataset.train_views(augmentation, device)
        self._labels = dataset.train.labels.to(device)
        self._test = dataset.test_views(Identity(), device)
        self._test_labels = dataset.test.labels.to(device)

    @property
    def model(self) -> nn.Module:
        """The model itself, without what accelerate wraps around it."""
        model: nn.Module = self.accelerator.unwrap_model(self._model)
        return model

    @property
    def samples(self) -> int:
        """N, the size of the training set."""
        return len(self._train)

    def epoch(
        self,
        epoch: int,
        *,
        view: int,
        samples: int,
        parts: Iterable[Part],
        blended: Perturbation | None = None,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> EpochResult:
        """Train on the `samples` of all `parts` together, as their `view`, part after part in the order given.

        Images are blended as `blended` says. No value is copied from the device before the epoch ends.

        Raises
        ------
        FailedError
            If the loss is not finite at the end of the epoch.
        """
        started = time.perf_counter()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._config, epoch)
        device = self.accelerator.device
        trained: list[NDArray[np.int64]] = []
        entropy = torch.empty(samples, device=device)
        loss_sum, correct = torch.zeros((), device=device), torch.zeros((), device=device)
        self._model.train()
        done = steps = 0
        for order, objective in parts:
            for index, images in self._batches(order, view, blended):
                labels = self._labels[torch.from_numpy(index).to(device)]
                with self.accelerator.autocast():
                    logits = self._model(images)
                logits = logits.float()
                loss = objective(logits, labels, index)
                self.accelerator.backward(loss)
                self._optimizer.step()
                self._optimizer.zero_grad()
                with torch.no_grad():
                    entropy[done : done + len(index)] = prediction_entropy(logits)
                    loss_sum += loss.detach() * len(index)
                    correct += (logits.argmax(dim=1) == labels).sum()
                done += len(index)
                steps += 1
                on_batch(len(index))
            trained.append(order)
        loss_mean = float(loss_sum) / samples
        if not np.isfinite(loss_mean):
            raise FailedError(
                f"the loss became {loss_mean} in epoch {epoch + 1}: training has diverged. Lower the learning rate "
                f"(now {learning_rate(self._config, epoch):g}) and start anew; earlier checkpoints are untouched."
            )
        return EpochResult(
            loss=loss_mean,
            accuracy=float(correct) / samples,
            order=np.concatenate(trained),
            entropy=entropy.cpu().numpy(),
            steps=steps,
            seconds=time.perf_counter() - started,
        )

    def _batches(
        self, order: NDArray[np.int64], view: int, blended: Perturbation | None
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Samples `index[B]` as their `view`, as `(1 - eps) * x1 + eps * x0` where they are blended: `[B, C, H, W]`.

        Of normalised images: normalisation is affine, so it gives the same as blending their pixels would.
        """
        try:
            for index, images in self._train.batches(cut_batches(order, self._config.batch_size), view):
                found = None if blended is None else blended.of(index)
                if found is not None and len(found.places):
                    places = torch.from_numpy(found.places).to(images.device)
                    epsilon = torch.from_numpy(found.epsilon).to(images.device)[:, None, None, None]
                    images[places] = torch.lerp(images[places], self._train.batch(found.partners, view), epsilon)
                yield index, images
        except ValueError as error:
            raise UserError(f"the augmentation does not fit the data: {error}") from error

    def test_accuracy(self) -> float:
        """Top-1 accuracy on the test split, 0..1."""
        return evaluate(self._model, self._test, self._test_labels)


@torch.inference_mode()
def evaluate(model: nn.Module, views: ViewSource, labels: Tensor) -> float:
    """Top-1 accuracy of `model` in evaluation mode, 0..1."""
    model.eval()
    correct = 0
    for index, images in views.batches(cut_batches(np.arange(len(views)), EVALUATION_BATCH), 0):
        predicted = model(images).argmax(dim=1)
        correct += int((predicted == labels[torch.from_numpy(index).to(labels.device)]).sum())
    return correct / len(views)
