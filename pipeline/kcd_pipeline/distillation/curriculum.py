"""A student's curriculum: the same for `none`, `kd` and `kcd`, which differ in their plans and in what is taught."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kcd_pipeline.augmentation import permutation
from kcd_pipeline.condensation import (
    Perturbation,
    ResidentRows,
    TaughtRows,
    condense,
    make_resident,
    new_values,
    stage_of,
    update_values,
)
from kcd_pipeline.config import Config
from kcd_pipeline.distillation.plans_from import PlansFromRun
from kcd_pipeline.errors import FailedError
from kcd_pipeline.losses import make_feature_loss, make_loss
from kcd_pipeline.models.feature_tap import FeatureTap
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.epoch import EpochResult, Objective, Part, label_objective
from kcd_pipeline.training.ranks import ALONE, Ranks
from kcd_pipeline.training.session import Lesson
from kcd_stores import (
    NO_PARTNER,
    EpochStream,
    KnowledgeStore,
    Plan,
    PlanStore,
    Reading,
    Rows,
    Streaming,
    ValueStore,
    keep_all,
    open_stream,
)

CPU = torch.device("cpu")


class StudentCurriculum:
    """Epoch e: the samples of its stage's plan, as view `e mod V`, taught by the stored rows of that view.

    Values and frequencies are recorded in every epoch of every method; only `kcd` condenses by them, or follows the
    plans that are `given`.
    """

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        knowledge: tuple[KnowledgeStore, Streaming] | None,
        samples: int,
        given: PlansFromRun | None = None,
        *,
        ranks: Ranks = ALONE,
        device: torch.device = CPU,
        tap: FeatureTap | None = None,
    ) -> None:
        self._config, self._knowledge, self._samples, self._given = config, knowledge, samples, given
        self._ranks, self._device = ranks, device
        self._condense, self._loss = config.condense, make_loss(config.distill)
        self._tap, self._feature_loss = tap, make_feature_loss(config.distill)
        self._scratch = folder.path if folder.path.is_dir() else None  # only rank 0 is sure to see the folder
        self._epochs, self._views = config.distill.epochs, config.store.views
        self._values_path = folder.values
        self._plans = PlanStore(folder.plans)
        self._stream: EpochStream | None = None
        self._plan = keep_all(samples)
        self._bytes_read = 0

    def start(self, epoch: int) -> None:
        """Restore values and plan as they stood before `epoch`, and begin to read ahead."""
        self._plan = self._ranks.run_on_first(lambda: self._restored(epoch))
        if self._knowledge is not None:
            self._stream = open_stream(
                self._knowledge[0],
                (e % self._views for e in range(epoch, self._epochs)),
                self._knowledge[1],
                batch_size=self._config.distill.batch_size,
                scratch=self._scratch,
                share=self._ranks.share,
            )

    def _restored(self, epoch: int) -> Plan:
        """The plan before `epoch`; values as they stood then, which rank 0 alone keeps."""
        if epoch:
            self._values = ValueStore.open(self._values_path, writable=True)
            self._value, self._frequency = self._values.read(epoch - 1)
            self._entropy = self._values.read_entropy(epoch - 1)
            return self._plans.read(self._stage(epoch - 1))
        self._values = ValueStore.create(self._values_path, epochs=self._epochs, samples=self._samples)
        self._value, self._frequency = new_values(self._samples)
        self._entropy = np.full(self._samples, np.nan, dtype=np.float32)
        self._plans.write(self._plan)
        return self._plan

    def lesson(self, epoch: int) -> Lesson:
        if self._stage(epoch) != self._plan.stage:
            self._plan = self._ranks.run_on_first(lambda: self._condensed(epoch))
        return Lesson(
            view=epoch % self._views,
            samples=len(self._plan.kept),
            parts=self._parts(epoch),
            knowledge_rows=0 if self._stream is None else len(self._plan.kept),
            perturbation=Perturbation(self._plan) if self._condense.perturb == "pair" else None,
        )

    def record(self, epoch: int, result: EpochResult) -> dict[str, int]:
        return self._ranks.run_on_first(lambda: self._noted(epoch, result))

    def _noted(self, epoch: int, result: EpochResult) -> dict[str, int]:
        """Values and frequencies after `epoch`, written; what this process has read of the store for it."""
        try:
            update_values(self._value, self._frequency, result.order, result.entropy)
        except ValueError as error:
            raise FailedError(f"epoch {epoch + 1}: {error}. Training has diverged; lower distill.lr.") from error
        self._entropy[result.order] = result.entropy
        self._values.write(epoch, self._value, self._frequency, self._entropy)
        before, self._bytes_read = self._bytes_read, 0 if self._knowledge is None else self._knowledge[0].bytes_read
        return {"bytes_read": self._bytes_read - before}

    def close(self) -> None:
        """Stop reading ahead."""
        if self._stream is not None:
            self._stream.close()

    def _stage(self, epoch: int) -> int:
        return stage_of(epoch, self._condense.interval) if self._config.distill.method == "kcd" else 0

    def _condensed(self, epoch: int) -> Plan:
        """The plan of the stage that `epoch` opens, written."""
        plan = self._ranked(epoch) if self._given is None else self._given.plan(self._stage(epoch))
        self._plans.write(plan)
        return plan

    def _ranked(self, epoch: int) -> Plan:
        return condense(
            self._values,
            before=self._plan,
            stage=self._stage(epoch),
            epochs=self._epochs,
            config=self._condense,
            seed=self._config.seed,
        )

    def _parts(self, epoch: int) -> Iterator[Part]:
        """The epoch's samples in order, portion by portion as their knowledge streams by."""
        if self._stream is None:
            yield permutation(self._config.seed, epoch, self._plan.kept), label_objective
            return
        space = "pair" if self._condense.perturb == "pair" else self._condense.space
        temperature = self._config.distill.temperature
        assert self._knowledge is not None  # or there were no stream
        classes = self._knowledge[0].layout.classes
        taught = TaughtRows(self._plan, space=space, temperature=temperature, classes=classes, device=self._device)
        # what the next epoch reads is known ahead, unless a condensation comes first
        same_plan = epoch + 1 < self._epochs and self._stage(epoch + 1) == self._plan.stage
        then = self._reading(epoch + 1) if same_plan else None
        for portion in self._stream.read(self._reading(epoch), then):
            rows = make_resident(portion.rows, self._device, self._config.run.resident)
            yield portion.order, self._objective(taught, rows, classes)

    def _reading(self, epoch: int) -> Reading:
        plan = self._plan
        # where eps is 0 a partner is not looked up
        partner = np.where(plan.epsilon > 0, plan.partner, NO_PARTNER) if plan.epsilon.any() else None
        return Reading(seed=self._config.seed, epoch=epoch, view=epoch % self._views, kept=plan.kept, partner=partner)

    def _objective(self, taught: TaughtRows, rows: Rows | ResidentRows, classes: int) -> Objective:
        """ce_weight * CE + kd_weight * the chosen loss towards what is taught of `rows`, and what is on features."""
        distill = self._config.distill

        def objective(logits: Tensor, labels: Tensor, index: np.ndarray) -> Tensor:
            targets = taught.batch(rows, index)
            knowledge = self._loss(logits, targets[:, :classes], labels)
            loss = distill.ce_weight * F.cross_entropy(logits, labels) + distill.kd_weight * knowledge
            if self._feature_loss is None or self._tap is None:
                return loss
            weight, of_features = self._feature_loss
            return loss + weight * of_features(self._tap.take(), targets[:, classes:])

        return objective
