"""The curriculum of students: `none`, `kd` and `kcd` share it, and differ in their plans and objectives.

Letters: N samples, V views, B batch, C classes, D features.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.augmentation import Labels
from kcd_pipeline.condensation import (
    DeviceRows,
    Perturbation,
    SampleWeights,
    TaughtRows,
    condense,
    make_worth,
    new_values,
    rows_for,
    stage_of,
    stage_openings,
    visits,
)
from kcd_pipeline.config import Config
from kcd_pipeline.distillation.judged_blends import NO_COST, JudgedBlends
from kcd_pipeline.distillation.objective import DistillationLoss, require_sample_losses
from kcd_pipeline.distillation.plan_arrays import partners_needed, share_plan
from kcd_pipeline.distillation.plans_from import PlansFromRun
from kcd_pipeline.errors import DamagedError, FailedError, UserError
from kcd_pipeline.losses import PLAIN, CrossEntropy, LossWeights, loss_weights
from kcd_pipeline.models import FeatureTap
from kcd_pipeline.runs import Record, RunFolder
from kcd_pipeline.training.epoch import EpochResult, Part, StepOutcome
from kcd_pipeline.training.ranks import ALONE, Ranks
from kcd_pipeline.training.row_exchange import open_exchange
from kcd_pipeline.training.sampling import Drawn, draw_balanced
from kcd_pipeline.training.session import Lesson
from kcd_stores import (
    BlendedStores,
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
from kcd_stores.philox import permutation

CPU = torch.device("cpu")
BLEND_IMAGES = ("pair", "teacher")  # values of condense.perturb


class StudentCurriculum:
    """In epoch e, the samples of the current stage's plan as view `e mod V`, taught by the stored rows of that view.

    Values and frequencies are recorded in every epoch of every method. Only `kcd` condenses with them, unless it
    follows the plans of another run.

    Parameters
    ----------
    knowledge
        The store, or the blend of several, to be read and how it is streamed; None to learn from labels alone.
    samples
        N, the number of training samples.
    plans_from
        Plans to follow instead of condensing.
    labels
        `[N]` int64: the class of each sample, for policies that look at it, and for a balanced sampler.
    sample_weight
        `[N]` float32: the weights that a condensed store gives its samples, if it does.
    device
        Where the student is trained.
    tap
        Takes the student's features, if the loss is on them.
    cross_entropy
        The loss with the labels.
    blends
        Has blended pictures judged by the teacher, if they are.
    """

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        knowledge: tuple[KnowledgeStore | BlendedStores, Streaming] | None,
        samples: int,
        plans_from: PlansFromRun | None = None,
        *,
        labels: NDArray[np.int64] | None = None,
        sample_weight: NDArray[np.float32] | None = None,
        ranks: Ranks = ALONE,
        device: torch.device = CPU,
        tap: FeatureTap | None = None,
        cross_entropy: CrossEntropy = PLAIN,
        blends: JudgedBlends | None = None,
    ) -> None:
        self._config, self._knowledge, self._samples = config, knowledge, samples
        self._plans_from, self._ranks, self._device = plans_from, ranks, device
        self._labels, self._given_weight, self._blends = labels, sample_weight, blends
        self._condense, self._cross_entropy = config.condense, cross_entropy
        self._loss = DistillationLoss(config.distill, tap, cross_entropy)
        self._worth = make_worth(config)
        self._scratch = folder.scratch()
        self._epochs, self._views = config.distill.epochs, config.store.views
        self._openings = stage_openings(self._epochs, self._condense) if config.distill.method == "kcd" else (0,)
        self._values_path = folder.values
        self._plans = PlanStore(folder.plans)
        self._stream: EpochStream | None = None
        self._follow(keep_all(samples, scratch=self._scratch))
        self._bytes_read = 0

    def start(self, epoch: int, recorded: Record | None = None) -> None:
        """Restore values and plan to their state before `epoch`, as `recorded`, and begin to read ahead."""
        self._follow(share_plan(self._ranks, partial(self._restore, epoch, recorded), self._scratch))
        if self._knowledge is not None:
            store, streaming = self._knowledge
            self._stream = open_stream(
                store,
                (e % self._views for e in range(epoch, self._epochs)),
                streaming,
                batch_size=self._config.distill.batch_size,
                scratch=self._scratch.folder,
                share=self._ranks.share,
                exchange=open_exchange(self._ranks),
            )

    def lesson(self, epoch: int) -> Lesson:
        """Return the lesson of `epoch`, after a condensation if the epoch opens a stage."""
        if self._stage(epoch) != self._plan.stage:
            self._follow(share_plan(self._ranks, partial(self._open_stage, epoch), self._scratch))
        if self._blends is not None:
            self._blends.open(self._plan, self._views_of_stage())
        samples = self._taught(epoch).draws
        return Lesson(
            view=epoch % self._views,
            samples=samples,
            parts=self._parts(epoch),
            knowledge_rows=0 if self._stream is None else samples,
            perturbation=self._perturbation if self._condense.perturb in BLEND_IMAGES else None,
        )

    def record(self, epoch: int, result: EpochResult) -> dict[str, float]:
        """Write values and frequencies after `epoch`; return the bytes that all ranks have read from the store for it.

        With blends that the teacher judges, their rows and seconds are returned as well, in the first epoch of a stage.
        """
        before, self._bytes_read = self._bytes_read, 0 if self._knowledge is None else self._knowledge[0].bytes_read
        read = torch.tensor(self._bytes_read - before, device=self._device)
        self._ranks.add_up(read)
        return self._ranks.run_on_first(partial(self._write_values, epoch, result, int(read)))

    def values(self) -> NDArray[np.float64]:
        """Return the values `[N]` of all samples, NaN where never visited; rank 0 alone has them."""
        return self._value

    def digests(self, epochs: int) -> dict[str, list[str]]:
        """Return the digests of the values after each of so many epochs, and of the plans up to now."""
        return {
            "values": self._values.checksums(epochs),
            "plans": self._plans.checksums(self._plan.stage + 1),
        }

    def close(self) -> None:
        """Stop reading ahead."""
        if self._stream is not None:
            self._stream.close()

    def _stage(self, epoch: int) -> int:
        return stage_of(epoch, self._openings)

    def _views_of_stage(self) -> list[int]:
        """Return the views that the epochs of the current stage use, ascending."""
        first, stop = (*self._openings, self._epochs)[self._plan.stage :][:2]
        return sorted({epoch % self._views for epoch in range(first, stop)})

    # --- on rank 0 alone ---

    def _restore(self, epoch: int, recorded: Record | None) -> Plan:
        """Restore the values, which only rank 0 keeps, to their state before `epoch`; return the plan of that time."""
        if epoch:
            plans, values = ([], []) if recorded is None else (recorded.plans, recorded.values)
            self._plans = PlanStore(self._plans.path, recorded=plans)
            self._values = ValueStore.open(self._values_path, recorded=values)
            self._require_own_values()
            self._value, self._frequency = self._values.read(epoch - 1, self._scratch)
            self._latest = self._values.read_latest(epoch - 1, self._scratch)
            return self._plans.read(self._stage(epoch - 1), self._scratch)
        self._values = ValueStore.create(
            self._values_path, epochs=self._epochs, samples=self._samples, measure=self._worth.name
        )
        self._value, self._frequency = new_values(self._samples, self._scratch)
        self._latest = self._scratch.full(self._samples, np.float32, np.nan)
        self._plans.write(self._plan)
        return self._plan

    def _require_own_values(self) -> None:
        found = (self._values.epochs, self._values.samples, self._values.measure)
        if found != (self._epochs, self._samples, self._worth.name):
            raise DamagedError(
                f"{self._values_path} holds values ({self._values.measure}) of {self._values.samples:,} samples in "
                f"{self._values.epochs} epochs; this run measures {self._worth.name} of {self._samples:,} "
                f"samples in {self._epochs} epochs."
            )

    def _open_stage(self, epoch: int) -> Plan:
        """Write and return the plan of the stage that `epoch` opens."""
        stage = self._stage(epoch)
        given = self._plans_from
        plan = self._condensed(stage) if given is None else given.plan(stage, self._scratch)
        self._plans.write(plan)
        return plan

    def _condensed(self, stage: int) -> Plan:
        plan = condense(
            self._values,
            before=self._plan,
            stage=stage,
            epochs=self._epochs,
            config=self._condense,
            seed=self._config.seed,
            labels=self._labels,
            scratch=self._scratch,
        )
        if plan.weighted:
            self._require_sample_losses(stage)
        return plan

    def _require_sample_losses(self, stage: int) -> None:
        """Raise FailedError if a policy of the user's own gives samples weights that the loss cannot apply."""
        try:
            require_sample_losses(self._config.distill, f"condense.policy is {self._condense.policy}")
        except UserError as error:  # too late for a refusal: the run is under way
            raise FailedError(f"stage {stage}: {error}") from error

    def _write_values(self, epoch: int, result: EpochResult, bytes_read: int) -> dict[str, float]:
        try:
            for visit in visits(result.order):
                order, worth = result.order[visit], result.worth[visit]
                self._worth.accumulate(self._value, self._frequency, self._latest, order, worth)
        except ValueError as error:
            raise FailedError(
                f"condense.value: {self._worth.name}: epoch {epoch + 1}: {error}, expected a finite number. "
                f"If training has diverged, lower distill.lr and start anew."
            ) from error
        self._values.write(epoch, self._value, self._frequency, self._latest)
        counted: dict[str, float] = {"bytes_read": bytes_read}
        if self._blends is not None:
            counted |= self._blends.cost() if epoch == self._plan.epoch else NO_COST
        return counted

    # --- on every rank ---

    def _follow(self, plan: Plan) -> None:
        """Teach the samples of `plan` from now on."""
        self._plan, self._sample_weights = plan, SampleWeights(plan, self._given_weight, self._device)
        self._perturbation = Perturbation(plan, self._scratch)
        # where the strength is 0 the partner's row is not needed, nor where the teacher gave the row of the blend
        self._partner = partners_needed(plan, self._scratch) if plan.blends and self._blends is None else None

    def _parts(self, epoch: int) -> Iterator[Part]:
        """Yield the samples of `epoch` in the order of training, in portions, each with its objective."""
        if self._knowledge is None or self._stream is None:
            drawn = self._taught(epoch)
            order = permutation(self._config.seed, epoch, drawn.samples, times=drawn.times)
            yield order, self._label_objective
            return
        classes = self._knowledge[0].layout.classes
        taught = TaughtRows(
            self._perturbation,
            space=self._condense.perturb if self._condense.perturb in BLEND_IMAGES else self._condense.space,
            temperature=self._config.distill.temperature,
            classes=classes,
            device=self._device,
        )
        # what the next epoch reads is known ahead, unless a condensation comes first
        same_plan = epoch + 1 < self._epochs and self._stage(epoch + 1) == self._plan.stage
        then = self._reading(epoch + 1) if same_plan else None
        weights = loss_weights(self._config.distill, epoch, len(self._plan.kept) / self._samples)
        for portion in self._stream.read(self._reading(epoch), then):
            rows = rows_for(portion.rows, self._device, self._config.run.resident)
            judged = self._judged(epoch, portion.order)
            yield portion.order, partial(self._objective, taught, rows, judged, classes, weights)

    def _taught(self, epoch: int) -> Drawn:
        """Return the samples that `epoch` is taught: those that its plan keeps or as many balanced draws.

        `distill.rows` may cut it short. Its samples then come first in the random order of the epoch, whether or not
        the store is read in windows, which have an order of their own; of balanced draws there are fewer of each class.
        """
        kept, seed, rows = self._plan.kept, self._config.seed, self._config.distill.rows
        count = len(kept) if rows is None else min(len(kept), rows - epoch * len(kept))
        if self._config.distill.sampler == "balanced":
            assert self._labels is not None
            return draw_balanced(self._labels, seed, epoch, count)
        return Drawn(kept if count == len(kept) else np.sort(permutation(seed, epoch, kept)[:count]))

    def _judged(self, epoch: int, order: NDArray[np.int64]) -> Rows | DeviceRows | None:
        """Return the rows that the teacher gave for those of the samples `order` that are blended, if it judges any."""
        judged = None if self._blends is None else self._blends.portion(epoch % self._views, order)
        return None if judged is None else rows_for(judged, self._device, self._config.run.resident)

    def _reading(self, epoch: int) -> Reading:
        (kept, times), view = self._taught(epoch), epoch % self._views
        seed, partner = self._config.seed, self._partner
        return Reading(seed=seed, epoch=epoch, view=view, kept=kept, partner=partner, times=times)

    def _label_objective(self, logits: Tensor, labels: Labels, index: NDArray[np.int64]) -> StepOutcome:
        """Return mean loss and worths of `logits[B, C]` of samples `index[B]` with their labels, without a teacher."""
        loss = self._cross_entropy.mean(logits, labels, self._sample_weights.batch(index))
        return StepOutcome(loss, self._worths(logits, labels, None))

    def _objective(
        self,
        taught: TaughtRows,
        rows: Rows | DeviceRows,
        judged: Rows | DeviceRows | None,
        classes: int,
        weights: LossWeights,
        logits: Tensor,
        labels: Labels,
        index: NDArray[np.int64],
    ) -> StepOutcome:
        """Return mean loss and worths of `logits[B, C]` of samples `index[B]` with their labels, taught `rows`."""
        targets = taught.batch(rows, index, judged)
        sample_weight = self._sample_weights.batch(index)
        loss, terms = self._loss.in_terms(
            logits, targets, labels, classes=classes, weights=weights, sample_weight=sample_weight
        )
        return StepOutcome(loss, self._worths(logits, labels, targets[:, :classes]), terms)

    def _worths(self, logits: Tensor, labels: Labels, teacher: Tensor | None) -> Tensor:
        """Return the worth `[B]` of each sample; of one that is mixed with another, the mean over its two labels."""
        if self._worth.takes_labels:
            return labels.mean_of(lambda of: self._worth(logits, of, teacher))
        return self._worth(logits, labels.own, teacher)
