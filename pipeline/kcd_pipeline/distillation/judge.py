"""The teacher of a run that has blended pictures judged (`condense.perturb: teacher`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import FeatureTap
from kcd_pipeline.models.external import is_published
from kcd_pipeline.teacher import load_teacher, tap_features
from kcd_stores import KnowledgeStore, is_condensed

SHOWN = 12  # digits of a hash in a message


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """The teacher that a store was made by.

    Attributes
    ----------
    model
        In evaluation mode, on the CPU while nothing is judged.
    tap
        Takes its features, if the student is taught features.
    """

    model: nn.Module
    tap: FeatureTap | None

    @contextmanager
    def on(self, device: torch.device) -> Iterator[nn.Module]:
        """Yield the model on `device`, channels last, and take it back to the CPU at exit."""
        try:
            yield self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's hints lack it
        finally:
            self.model.to("cpu")


def judges_blends(config: Config) -> bool:
    """Return True if the run of a recipe shows blended pictures to the teacher."""
    return config.distill.method == "kcd" and config.condense.perturb == "teacher"


def load_judge(config: Config, dataset: Dataset, store: KnowledgeStore, passed: nn.Module | None = None) -> Judge:
    """Load the teacher of a recipe, which must be the one that `store` was made by.

    Parameters
    ----------
    passed
        A teacher that was passed as an object, in the place of the recipe's.

    Raises
    ------
    UserError
        If its weights are missing, or are not those that the store records, or the store is a condensed set.
    """
    weights = config.teacher.weights
    needed = "condense.perturb is teacher: the teacher is asked for its rows of blended pictures"
    otherwise = "or set condense.perturb to knowledge, pair or off, which need no teacher"
    if is_condensed(store):
        raise UserError(
            f"{needed}, in every view of all samples, but the store at {store.location} is a condensed set. Set "
            f"store.path to the store that it was condensed from, {otherwise}."
        )
    if passed is None and not is_published(weights) and not weights.is_file():
        raise UserError(
            f"{needed}, but its weights, teacher.weights, are not at {weights}. Put them there, {otherwise}."
        )
    model, found = load_teacher(config, dataset, passed)
    expected = str(store.made_from["teacher"].get("weights_sha256"))
    if found != expected:
        raise UserError(
            f"{needed}, but the weights at {weights} are not those that the store at {store.location} was made with: "
            f"their SHA-256 is {found[:SHOWN]}…, expected {expected[:SHOWN]}…. Set teacher.weights to the store's "
            f"teacher, {otherwise}."
        )
    tap = None
    if store.encoding.feature_columns:
        tap = tap_features(model, config, dataset)
    return Judge(model=model, tap=tap)
