"""The training loop: one epoch of one model over some samples of one view. Teachers and students share it.

Letters: n samples trained in an epoch, B batch, b a rank's share of a batch, C classes; images are `[b, C, H, W]`.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kcd_pipeline.augmentation import Augmentation, Identity, Labels, Mixing, ViewSource
from kcd_pipeline.condensation import Perturbation
from kcd_pipeline.config import DistillConfig, OptimisationConfig, RunConfig
from kcd_pipeline.data import Dataset
from kcd_pipeline.device_moves import to_device
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.models import fill_model
from kcd_pipeline.runs import Predictions
from kcd_pipeline.training.batch_norm import synchronise_batch_norm
from kcd_pipeline.training.blended_views import BlendedViews
from kcd_pipeline.training.device import device_of, make_accelerator, seed_epoch
from kcd_pipeline.training.epoch import EpochResult, EpochSums, Objective, Part, StepOutcome
from kcd_pipeline.training.evaluation import Measures, evaluate, measure, predict
from kcd_pipeline.training.model_hooks import load_models, part_neighbours
from kcd_pipeline.training.optimisation import Rates, make_optimizer
from kcd_pipeline.training.own_metrics import OwnMetrics
from kcd_pipeline.training.ranks import Ranks
from kcd_pipeline.training.steps import StepPlan
from kcd_pipeline.training.trackers import require_trackers
from kcd_pipeline.training.weight_average import WeightAverage
from kcd_stores.scratch import IN_MEMORY, Scratch
from kcd_stores.streaming.order import cut_batches


class Trainer:
    """A model, its optimizer and its data on a device. Every rank has all of them and trains its share of each batch.

    Parameters
    ----------
    model
        Trained in place, channels last; among several ranks its batch norm is replaced as `run.batch_norm` says.
    augmentation
        Augmentation of training images; test images are not augmented.
    mixing
        How training images and their labels are mixed with those of others, if they are.
    seed
        That of what the model draws in training, such as the units that dropout leaves out.

    Raises
    ------
    UserError
        If the device or the precision of `run` is not available, or the package of a tracker is not installed.

    Attributes
    ----------
    trackers
        `run.trackers`.
    average
        The average of the weights; None without `ema`.
    """

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        augmentation: Augmentation,
        *,
        optimisation: OptimisationConfig,
        run: RunConfig,
        mixing: Mixing | None = None,
        seed: int = 0,
    ) -> None:
        require_trackers(run.trackers)
        self.ranks = Ranks.current()
        self.accelerator = make_accelerator(run)
        self.device = device_of(self.accelerator)
        self.trackers = run.trackers
        self._config, self._seed = optimisation, seed
        self._image_shape, self._classes = dataset.image_shape, len(dataset.classes)
        model = model.to(memory_format=torch.channels_last)
        if self.ranks.several and run.batch_norm == "synchronised":
            model = synchronise_batch_norm(model, self.device)
        optimizer = make_optimizer(model, optimisation)
        self._rates = Rates(optimizer, optimisation)
        self._optimizer = self.accelerator.prepare(optimizer)
        # evaluation mode keeps accelerate from wrapping the model: checkpoints then fit any number of ranks
        self._model = self.accelerator.prepare_model(model, evaluation_mode=True)
        self.accelerator.register_save_state_pre_hook(part_neighbours)
        self.accelerator.register_load_state_pre_hook(load_models)
        if run.compile:
            self._model.compile()
        self._trained = self._model
        if self.ranks.several:
            self._trained = _in_parallel(self._model)
        self.average = None if optimisation.ema is None else self._begin_average(optimisation.ema)
        self._metrics = OwnMetrics(optimisation.metrics if isinstance(optimisation, DistillConfig) else ())
        self._mixing = mixing
        self._train = dataset.train_views(augmentation, self.device, run.resident, mixing)
        self._labels = dataset.train.labels.to(self.device)
        self._test = dataset.test_views(Identity(), self.device, run.resident)
        self._test_labels = dataset.test.labels.to(self.device)
        self._validation = dataset.validation_views(Identity(), self.device, run.resident)
        if dataset.validation is not None:
            self._validation_labels = dataset.validation.labels.to(self.device)

    @property
    def model(self) -> nn.Module:
        """The model itself, without what accelerate wraps around it."""
        model: nn.Module = self.accelerator.unwrap_model(self._model)
        return model

    @property
    def train_views(self) -> ViewSource:
        """The training images as the model takes them, on its device."""
        return self._train

    @property
    def has_validation(self) -> bool:
        """True if there are validation images, by which the best epoch is chosen, instead of by the test set."""
        return self._validation is not None

    @property
    def accuracy_key(self) -> str:
        """The key of metrics.jsonl that has the accuracy by which the best epoch is chosen."""
        return "validation_accuracy" if self.has_validation else "test_accuracy"

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return float(self._optimizer.param_groups[0]["lr"])

    @property
    def planned_epochs(self) -> int:
        """The epochs that there will be, unless training stops early."""
        return self._config.epochs

    @property
    def patience(self) -> int | None:
        """Epochs in a row without a better accuracy after which training ends; None: it never ends early."""
        return self._config.patience

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
        scratch: Scratch = IN_MEMORY,
    ) -> EpochResult:
        """Train on all `parts`, one after the other, each in its own order, with images as their `view`.

        Nothing is copied from the device before the epoch ends, but worths of very long ones. All ranks must get the
        same parts; all return the same result.

        Parameters
        ----------
        epoch
            0-based; the learning rate depends on it, and may on the step.
        samples
            n, the number of samples in all parts together.
        perturbation
            Blends images with their partners, if given.
        on_batch
            Called after each batch with its size.
        scratch
            Place of the order and the worths of the epoch.

        Raises
        ------
        FailedError
            If the loss is not finite at the end of the epoch.
        UserError
            If the augmentation does not fit images of this size.
        """
        started = time.perf_counter()
        trained, done = scratch.empty(samples, np.int64), 0
        sums = EpochSums(samples, self.device, self.ranks.add_up, scratch)
        plan = StepPlan(samples=samples, batch_size=self._config.batch_size, accumulate=self._config.accumulate)
        seed_epoch(self._seed, epoch, self.ranks.share.rank)
        rates = self._rates.of_epoch(epoch, plan.steps)
        self._trained.train()
        for order, objective in parts:
            self._train_part(
                order, objective, sums, plan, rates, view=view, perturbation=perturbation, on_batch=on_batch
            )
            trained[done : done + len(order)] = order
            done += len(order)
        worth = sums.worths()
        self.ranks.add_up(sums.loss, sums.correct, sums.terms)
        self.ranks.share_buffers(self._model.buffers())
        if self.average is not None:
            self.ranks.share_buffers(self.average.buffers())
        loss = float(sums.loss) / samples
        self._require_finite(loss, epoch)
        return EpochResult(
            loss=loss,
            accuracy=float(sums.correct) / samples,
            order=trained[:done],
            worth=worth,
            steps=plan.steps,
            seconds=time.perf_counter() - started,
            terms=sums.mean_terms(samples),
        )

    def _train_part(
        self,
        order: NDArray[np.int64],
        objective: Objective,
        sums: EpochSums,
        plan: StepPlan,
        rates: Iterator[float],
        *,
        view: int,
        perturbation: Perturbation | None,
        on_batch: Callable[[int], None],
    ) -> None:
        """Learn from each batch of samples `order`, add its results to `sums`, and take the steps of the `plan`."""
        batches = cut_batches(order, self._config.batch_size)
        shares = [self.ranks.share.part_of(len(batch)) for batch in batches]
        own = [batch[share] for batch, share in zip(batches, shares, strict=True)]
        labels = self._labels_of(own, view)
        images = self._batches(own, view, perturbation)
        for batch, share, (index, pictures), truth in zip(batches, shares, images, labels, strict=True):
            together, steps = plan.samples_of(plan.step_of(sums.batches)), plan.ends_step(sums.batches)
            with self._gradients_kept_here(until_later=not steps):
                logits, outcome = self._learn(pictures, truth, index, objective, together)
            if steps:
                self._step(next(rates))
            sums.add(logits, truth, outcome, share=share, batch_size=len(batch))
            on_batch(len(batch))

    def _labels_of(self, batches: list[NDArray[np.int64]], view: int) -> list[Labels]:
        """Return the labels of each batch of samples as their `view`, on the device, moved there all at once."""
        index, sizes = np.concatenate([np.empty(0, np.int64), *batches]), [len(batch) for batch in batches]
        own = torch.split(self._labels[to_device(index, self.device)], sizes)
        if self._mixing is None:
            return [Labels(own=labels) for labels in own]
        height, width = self._image_shape[1:]
        mixes = self._mixing.draw(index, view, samples=self.samples, height=height, width=width)
        partner = torch.split(self._labels[to_device(mixes.partner, self.device)], sizes)
        weight = torch.split(to_device(mixes.weight, self.device), sizes)
        return [Labels(own=a, partner=b, weight=w) for a, b, w in zip(own, partner, weight, strict=True)]

    def _learn(
        self, images: Tensor, labels: Labels, index: NDArray[np.int64], objective: Objective, together: int
    ) -> tuple[Tensor, StepOutcome]:
        """Add the gradients of this rank's share of a batch; return its logits `[b, C]` and the outcome.

        They are those of the mean loss over all samples of the step, `together` in number, on all ranks.
        """
        with self.accelerator.autocast():
            logits = self._trained(images)
        logits = logits.float()
        # a rank whose share is empty must still take part in every exchange
        outcome = objective(logits, labels, index) if len(index) else _no_outcome(logits)
        # ranks average gradients as if their shares were equal: undo that
        part = len(index) * self.ranks.share.ranks / together
        self.accelerator.backward(outcome.loss if part == 1 else outcome.loss * part)
        return logits, outcome._replace(loss=outcome.loss.detach())

    def _step(self, rate: float) -> None:
        """Take a step of this learning rate by the gradients that were added up since the one before."""
        self._rates.set(self._optimizer, rate)
        if self._config.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self._model.parameters(), self._config.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self.average is not None:
            self.average.update()

    def _gradients_kept_here(self, *, until_later: bool) -> AbstractContextManager[None]:
        """Keep ranks from exchanging gradients inside the block, if they do so with those of a later batch."""
        if until_later and isinstance(self._trained, DistributedDataParallel):
            return self._trained.no_sync()
        return nullcontext()

    def _begin_average(self, decay: float) -> WeightAverage:
        """Return the average of the weights, which is saved with each checkpoint and restored from it."""
        average = WeightAverage(self.model, decay)
        self.accelerator.register_save_state_pre_hook(average.save)
        self.accelerator.register_load_state_pre_hook(average.load)
        return average

    def _batches(
        self, batches: list[NDArray[np.int64]], view: int, perturbation: Perturbation | None
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield each batch of samples `index[b]` with its images as their `view`, blended as `perturbation` says."""
        source = self._train if perturbation is None else BlendedViews(self._train, perturbation, self.device)
        views = source.batches([index for index in batches if len(index)], view)
        try:
            for index in batches:
                yield next(views) if len(index) else (index, self._no_images())
        except ValueError as error:
            raise UserError(f"the augmentation does not fit the data: {error}") from error

    def _no_images(self) -> Tensor:
        return torch.empty(0, *self._image_shape, device=self.device).to(memory_format=torch.channels_last)

    def _require_finite(self, loss: float, epoch: int) -> None:
        if not np.isfinite(loss):
            raise FailedError(
                f"the loss became {loss} in epoch {epoch + 1}: training has diverged. Lower the learning rate "
                f"(now {self.lr:g}) and start anew; earlier checkpoints are untouched."
            )

    def epoch_measures(self) -> Measures:
        """Return the accuracy by which the best epoch is chosen, see `accuracy_key`, and own metrics of that split."""
        if self._validation is None:
            return self.test_measures()
        return self._measure(self._validation, self._validation_labels)

    def test_measures(self) -> Measures:
        """Return accuracy and own metrics on the test split; each rank evaluates its share of the batches."""
        return self._measure(self._test, self._test_labels)

    def _measure(self, views: ViewSource, labels: Tensor) -> Measures:
        measures = measure(self._model, views, labels, classes=self._classes, metrics=self._metrics, ranks=self.ranks)
        if self.average is None:
            return measures
        with self.average.in_model():
            return measures._replace(averaged=evaluate(self._model, views, labels, self.ranks))

    def test_accuracy_with(self, state: Mapping[str, Tensor], source: Path) -> float:
        """Return the test accuracy of the model with the weights `state`, read from `source`; it keeps its own."""
        own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        fill_model(self.model, state, source=source, name="model of this run")
        try:
            return evaluate(self._model, self._test, self._test_labels, self.ranks)
        finally:
            self.model.load_state_dict(own)

    def test_predictions(self) -> Predictions:
        """Return what the model predicts of the test split; each rank predicts its share of the batches."""
        likeliest = predict(self._model, self._test, classes=self._classes, device=self.device, ranks=self.ranks)
        return Predictions(likeliest=likeliest.numpy(), labels=self._test_labels.cpu().numpy().astype(np.int32))


def _no_outcome(logits: Tensor) -> StepOutcome:
    """Return the outcome of a share without samples, `logits[0, C]`: its gradients are 0."""
    return StepOutcome(logits.sum() * 0, logits.new_empty(0))


def _in_parallel(model: nn.Module) -> nn.Module:
    """Wrap `model` so that ranks average gradients at each step; buffers are shared once an epoch instead."""
    with warnings.catch_warnings():
        # torch 2.14 gives this argument another name, which 2.11 does not know
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return DistributedDataParallel(model, broadcast_buffers=False)
