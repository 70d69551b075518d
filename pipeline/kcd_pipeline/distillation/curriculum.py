"""A student's curriculum: the same for `none`, `kd` and `kcd`, which differ in their plans and in what is taught."""

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.condensation import TaughtRows, condense, new_values, stage_of, update_values
from kcd_pipeline.config import Config
from kcd_pipeline.errors import FailedError
from kcd_pipeline.losses import kd_loss
from kcd_pipeline.training.folder import RunFolder
from kcd_pipeline.training.session import Lesson
from kcd_pipeline.training.trainer import EpochResult, Objective, labels_only
from kcd_stores import KnowledgeStore, Plan, PlanStore, ValueStore, ViewStream, keep_all


class StudentCurriculum:
    """Epoch e: the samples of its stage's plan, as view `e mod V`, taught by the stored rows of that view.

    Values and frequencies are recorded in every epoch of every method; only `kcd` condenses by them.
    """

    def __init__(self, config: Config, folder: RunFolder, store: KnowledgeStore | None, samples: int) -> None:
        self._config, self._store, self._samples = config, store, samples
        self._epochs, self._views = config.distill.epochs, config.store.views
        self._values_path = folder.values
        self._plans = PlanStore(folder.plans)
        self._stream: ViewStream | None = None
        self._plan = keep_all(samples)

    def start(self, epoch: int) -> None:
        """Restore values and plan as they stood before `epoch`, and begin to read ahead."""
        if epoch:
            self._values = ValueStore.open(self._values_path, writable=True)
            self._value, self._frequency = self._values.read(epoch - 1)
            self._plan = self._plans.read(self._stage(epoch - 1))
        else:
            self._values = ValueStore.create(self._values_path, epochs=self._epochs, samples=self._samples)
            self._value, self._frequency = new_values(self._samples)
            self._plans.write(self._plan)
        if self._store is not None:
            self._stream = ViewStream(self._store, (e % self._views for e in range(epoch, self._epochs)))

    def lesson(self, epoch: int) -> Lesson:
        if self._stage(epoch) != self._plan.stage:
            self._plan = self._condensed(epoch)
            self._plans.write(self._plan)
        return Lesson(
            view=epoch % self._views,
            kept=self._plan.kept,
            objective=self._objective(),
            knowledge_rows=0 if self._stream is None else len(self._plan.kept),
        )

    def learnt(self, epoch: int, result: EpochResult) -> None:
        try:
            update_values(self._value, self._frequency, result.order, result.entropy)
        except ValueError as error:
            raise FailedError(f"epoch {epoch + 1}: {error}. Training has diverged; lower distill.lr.") from error
        self._values.write(epoch, self._value, self._frequency)

    def close(self) -> None:
        """Stop reading ahead."""
        if self._stream is not None:
            self._stream.close()

    def _stage(self, epoch: int) -> int:
        return stage_of(epoch, self._config.condense.interval) if self._config.distill.method == "kcd" else 0

    def _condensed(self, epoch: int) -> Plan:
        return condense(
            self._values,
            before=self._plan,
            stage=self._stage(epoch),
            epochs=self._epochs,
            config=self._config.condense,
        )

    def _objective(self) -> Objective:
        """ce_weight * CE + kd_weight * T^2 * KL towards the next view's rows, or the labels alone."""
        if self._stream is None:
            return labels_only
        rows = next(self._stream)
        distill = self._config.distill
        taught = TaughtRows(self._plan, space=self._config.condense.space, temperature=distill.temperature)

        def objective(logits: Tensor, labels: Tensor, index: np.ndarray) -> Tensor:
            targets = taught.batch(rows, index).to(logits.device, non_blocking=True)
            knowledge = kd_loss(logits, targets, distill.temperature)
            return distill.ce_weight * F.cross_entropy(logits, labels) + distill.kd_weight * knowledge

        return objective
