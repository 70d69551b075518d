"""The training loop: one epoch of one model over some samples of one view. Teachers and students share it.

Letters: n samples trained in an epoch, B batch, C classes.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from kcd_pipeline.augmentation import Augmentation, Identity, ViewSource
from kcd_pipeline.condensation import Perturbation
from kcd_pipeline.config import OptimisationConfig, RunConfig
from kcd_pipeline.data import Dataset
from kcd_pipeline.device_moves import to_device
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.losses import prediction_entropy
from kcd_pipeline.training.batch_norm import synchronise_batch_norm
from kcd_pipeline.training.device import make_accelerator
from kcd_pipeline.training.optimisation import learning_rate, make_optimizer
from kcd_pipeline.training.ranks import ALONE, Ranks
from kcd_stores.streaming.order import cut_batches

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


def label_objective(logits: Tensor, labels: Tensor, index: NDArray[np.int64]) -> Tensor:
    """The objective that needs no knowledge: cross-entropy."""
    return F.cross_entropy(logits, labels)


class Trainer:
    """A model, its optimizer and its data on a device; every rank has them, and trains on its share of each batch."""

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        augmentation: Augmentation,
        *,
        optimisation: OptimisationConfig,
        run: RunConfig,
    ) -> None:
        self.ranks = Ranks.current()
        self.accelerator = make_accelerator(run)
        self.device: torch.device = self.accelerator.device
        self._config, self._image_shape = optimisation, dataset.image_shape
        model = model.to(memory_format=torch.channels_last)
        if self.ranks.several and run.batch_norm == "synchronised":
            model = synchronise_batch_norm(model, self.device)
        self._optimizer = self.accelerator.prepare(make_optimizer(model, optimisation))
        # as in evaluation: what accelerate knows, and checkpoints, is the model itself for any number of ranks
        self._model = self.accelerator.prepare_model(model, evaluation_mode=True)
        if run.compile:
            self._model.compile()
        self._trained = self._model
        if self.ranks.several:
            self._trained = _in_parallel(self._model)
        self._train = dataset.train_views(augmentation, self.device, run.resident)
        self._labels = dataset.train.labels.to(self.device)
        self._test = dataset.test_views(Identity(), self.device, run.resident)
        self._test_labels = dataset.test.labels.to(self.device)

    @property
    def model(self) -> nn.Module:
        """The model itself, without what accelerate wraps around it."""
        model: nn.Module = self.accelerator.unwrap_model(self._model)
        return model

    @property
    def samples(self) -> int:
        """N, the size of the training set."""
        return len(self._train)

    def train_epoch(
        self,
        epoch: int,
        *,
        view: int,
        samples: int,
        parts: Iterable[Part],
        perturbation: Perturbation | None = None,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> EpochResult:
        """Train on the `samples` of all `parts` together, as their `view`, part after part in the order given.

        Images are blended as `perturbation` says. No value is copied from the device before the epoch ends. All ranks
        go through the same parts, and get the same result.

        Raises
        ------
        FailedError
            If the loss is not finite at the end of the epoch.
        """
        started = time.perf_counter()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._config, epoch)
        trained: list[NDArray[np.int64]] = []
        # of each sample of the epoch, in order; a rank leaves what is not its own at 0, and adds 0 to the others' sums
        entropy = torch.zeros(samples, device=self.device)
        loss_sum, correct = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self._trained.train()
        done = steps = 0
        for order, objective in parts:
            cut = cut_batches(order, self._config.batch_size)
            shares = [self.ranks.share.part_of(len(batch)) for batch in cut]
            mine = [batch[share] for batch, share in zip(cut, shares, strict=True)]
            mine_there = to_device(np.concatenate([order[:0], *mine]), self.device)
            labels = torch.split(self._labels[mine_there], [len(part) for part in mine])
            batches = self._batches(mine, view, perturbation)
            for batch, share, (index, images), truth in zip(cut, shares, batches, labels, strict=True):
                logits, loss = self._step(images, truth, index, objective, len(batch))
                with torch.no_grad():
                    entropy[done + share.start : done + share.stop] = prediction_entropy(logits)
                    loss_sum += loss * len(index)
                    correct += (logits.argmax(dim=1) == truth).sum()
                done += len(batch)
                steps += 1
                on_batch(len(batch))
            trained.append(order)
        self.ranks.add_up(entropy, loss_sum, correct)
        self.ranks.share_buffers(self._model)
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

    def _step(
        self, images: Tensor, labels: Tensor, index: NDArray[np.int64], objective: Objective, whole: int
    ) -> tuple[Tensor, Tensor]:
        """One step on this rank's part of a batch of `whole` samples; logits `[B, C]` and the part's mean loss."""
        with self.accelerator.autocast():
            logits = self._trained(images)
        logits = logits.float()
        if self.ranks.several:
            # a part that is empty must still take part in every exchange
            loss = objective(logits, labels, index) if len(index) else logits.sum() * 0
            # gradients are averaged over ranks as if their parts were equal
            self.accelerator.backward(loss * (len(index) * self.ranks.share.ranks / whole))
        else:
            loss = objective(logits, labels, index)
            self.accelerator.backward(loss)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return logits, loss.detach()

    def _batches(
        self, cut: list[NDArray[np.int64]], view: int, perturbation: Perturbation | None
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Samples `index[B]` as their `view`, as `(1 - eps) * x1 + eps * x0` where they are blended: `[B, C, H, W]`.

        Of normalised images: normalisation is affine, so it gives the same as blending their pixels would.
        """
        made = self._train.batches([index for index in cut if len(index)], view)
        try:
            for index in cut:
                if not len(index):
                    yield index, self._no_images()
                    continue
                _, images = next(made)
                found = None if perturbation is None else perturbation.lookup(index)
                if found is not None and len(found.places):
                    places = to_device(found.places, self.device)
                    epsilon = to_device(found.epsilon, self.device)[:, None, None, None]
                    images[places] = torch.lerp(images[places], self._train.batch(found.partners, view), epsilon)
                yield index, images
        except ValueError as error:
            raise UserError(f"the augmentation does not fit the data: {error}") from error

    def _no_images(self) -> Tensor:
        return torch.empty(0, *self._image_shape, device=self.device).to(memory_format=torch.channels_last)

    def test_accuracy(self) -> float:
        """Top-1 accuracy on the test split, 0..1, of which each rank sees its batches."""
        return evaluate(self._model, self._test, self._test_labels, self.ranks)


def _in_parallel(model: nn.Module) -> nn.Module:
    """`model` with gradients averaged over ranks; buffers are exchanged once an epoch, not at every step."""
    with warnings.catch_warnings():
        # torch 2.14 gives this argument another name, which 2.11 does not know
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return DistributedDataParallel(model, broadcast_buffers=False)


@torch.inference_mode()
def evaluate(model: nn.Module, views: ViewSource, labels: Tensor, ranks: Ranks = ALONE) -> float:
    """Top-1 accuracy of `model` in evaluation mode, 0..1; among several `ranks`, each takes every R-th batch."""
    model.eval()
    cut = cut_batches(np.arange(len(views)), EVALUATION_BATCH)[ranks.share.rank :: ranks.share.ranks]
    correct = torch.zeros((), dtype=torch.int64, device=labels.device)
    for index, images in views.batches(cut, 0):
        correct += (model(images).argmax(dim=1) == labels[to_device(index, labels.device)]).sum()
    ranks.add_up(correct)
    return int(correct) / len(views)
