"""The accuracies that a training ends with, of its last weights and of its best ones."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from kcd_pipeline.models import load_weights
from kcd_pipeline.runs import AVERAGED, OWN_METRICS, RunFolder
from kcd_pipeline.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Results:
    """Accuracies 0..1 after all epochs.

    Attributes
    ----------
    epochs
        The number of epochs done: fewer than planned if training has stopped early.
    test_accuracy
        On the test set, with the weights after the last epoch.
    best_test_accuracy
        On the test set, with the best weights: those that did best on the validation images, or where there are none
        on the test set itself.
    validation
        With validation images: `validation_accuracy` of the last weights, `best_validation_accuracy`, the `best_epoch`,
        counted from 0, and whether training has `stopped_early`. Empty without any.
    metrics
        Metrics of the user's own on the test set, with the weights after the last epoch.
    averaged
        With `ema`: `ema_test_accuracy` and, with validation images, `ema_validation_accuracy` of the average of the
        weights after the last epoch. Empty without.
    """

    epochs: int
    test_accuracy: float
    best_test_accuracy: float
    validation: dict[str, Any]
    metrics: dict[str, float | None]
    averaged: dict[str, float]

    def summary(self) -> dict[str, Any]:
        """Return what the summary of a training says of its results, as plain data."""
        return {
            "epochs": self.epochs,
            "test_accuracy": self.test_accuracy,
            "best_test_accuracy": self.best_test_accuracy,
            **({OWN_METRICS: self.metrics} if self.metrics else {}),
            **self.validation,
            **self.averaged,
        }

    def told(self) -> dict[str, Any]:
        """Return what the header of the weights after the last epoch says of them."""
        of_validation = {key: value for key, value in self.validation.items() if key == "validation_accuracy"}
        return {"epoch": self.epochs - 1, "test_accuracy": self.test_accuracy, **of_validation}

    def told_of_average(self) -> dict[str, Any]:
        """Return what the header of the average of the weights says of it."""
        return {"epoch": self.epochs - 1, **{key.removeprefix(AVERAGED): of for key, of in self.averaged.items()}}


def take_results(trainer: Trainer, folder: RunFolder) -> Results:
    """Return the results of a training whose last epoch is done; every rank must call this, and all get the same.

    With validation images this is where the test set is looked at, and the only place: once with the last weights, and
    once with the best ones if they are others. With `ema`, the average of the weights is looked at as well.
    """
    accuracies = trainer.ranks.run_on_first(partial(_accuracies, trainer.accuracy_key, folder))
    best = max(accuracies)
    last = trainer.ranks.run_on_first(lambda: folder.read_metrics()[-1])
    averaged = {key: last[key] for key in (f"{AVERAGED}{trainer.accuracy_key}",) if key in last}
    if not trainer.has_validation:
        return Results(
            epochs=len(accuracies),
            test_accuracy=accuracies[-1],
            best_test_accuracy=best,
            validation={},
            metrics=last.get(OWN_METRICS, {}),
            averaged=averaged,
        )
    best_epoch = accuracies.index(best)
    measures = trainer.test_measures()
    of_best = measures.accuracy
    if measures.averaged is not None:
        averaged[f"{AVERAGED}test_accuracy"] = measures.averaged
    if best_epoch != len(accuracies) - 1:
        of_best = trainer.test_accuracy_with(
            trainer.ranks.run_on_first(partial(_best_state, folder)), folder.best_weights
        )
    return Results(
        epochs=len(accuracies),
        test_accuracy=measures.accuracy,
        best_test_accuracy=of_best,
        metrics=measures.metrics,
        averaged=averaged,
        validation={
            "validation_accuracy": accuracies[-1],
            "best_validation_accuracy": best,
            "best_epoch": best_epoch,
            "stopped_early": len(accuracies) < trainer.planned_epochs,
        },
    )


def _accuracies(accuracy_key: str, folder: RunFolder) -> list[float]:
    return [line[accuracy_key] for line in folder.read_metrics()]


def _best_state(folder: RunFolder) -> dict[str, Tensor]:
    return dict(load_weights(folder.best_weights).state)
