"""The most and the least valued samples of a run, with their images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kcd_pipeline.config import parse_config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.own_parts import is_own_part
from kcd_pipeline.reports.collect.runs import RunRecord
from kcd_pipeline.reports.collect.values import most_and_least_valued
from kcd_pipeline.runs import open_plans

SAMPLES_SHOWN = 12  # at either end
LARGEST_SIDE = 96  # pixels; a browser enlarges what is smaller


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownSample:
    """One training sample.

    Attributes
    ----------
    sample
        Its index in the training set.
    label
        The name of its class.
    value
        V after the last epoch.
    dropped
        True if the last stage dropped its knowledge.
    image
        The image, no larger than `LARGEST_SIDE` a side.
    """

    sample: int
    label: str
    value: float
    dropped: bool
    image: Image.Image


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownSamples:
    """The samples at both ends of one run's values; `problem` says why none can be shown."""

    most: tuple[ShownSample, ...] = ()
    least: tuple[ShownSample, ...] = ()
    problem: str | None = None


class DatasetCache:
    """Data sets of runs; each is read once for all runs that share it, and never downloaded."""

    def __init__(self) -> None:
        self._loaded: dict[str, Dataset] = {}

    def dataset_of(self, run: RunRecord, samples: int) -> Dataset:
        """Return the data set that `run` was trained and tested on, whose training set has `samples` samples.

        Raises
        ------
        UserError
            If it is not where the run had it, its content has changed, the run was trained on a part of it, or code of
            the user's own makes it.
        """
        config = parse_config(run.config, source=str(run.folder.config)).data
        if is_own_part(config.name):
            raise UserError(f"its data set is {config.name}, and a report imports no code that a run names")
        key = config.model_dump_json()
        if key not in self._loaded:
            self._loaded[key] = load_dataset(config.model_copy(update={"download": False}))
        dataset = self._loaded[key]
        if dataset.test.fingerprint(dataset.classes) != run.test_set:
            raise UserError(f"the data set {dataset.name} found now is not the one that the run was tested on")
        trained_on = None if run.store is None else run.store["made_from"]["dataset"]["fingerprint"]
        if trained_on is not None and dataset.description["fingerprint"] != trained_on:
            raise UserError(f"the data set {dataset.name} found now is not the one that the run was trained on")
        if run.store is not None and "condensed" in run.store["made_from"]:
            raise UserError("the run was trained on a condensed set, and only its store knows which samples are in it")
        if len(dataset.train) != samples:
            raise UserError(f"the run has values of {samples:,} samples, but {len(dataset.train):,} are found now")
        return dataset


def collect_samples(run: RunRecord, value: NDArray[np.float64], dataset: Dataset) -> ShownSamples:
    """Return the most and the least valued samples of `run`, whose values after its last epoch are `value[N]`.

    Raises
    ------
    StoreError
        If the plans of the run cannot be read.
    """
    plans = open_plans(run.folder)
    kept = set(plans.read(plans.stages()[-1]).kept.tolist())
    most, least = (
        tuple(_shown(dataset, int(sample), float(value[sample]), int(sample) not in kept) for sample in samples)
        for samples in most_and_least_valued(value, SAMPLES_SHOWN)
    )
    return ShownSamples(most=most, least=least)


def _shown(dataset: Dataset, sample: int, value: float, dropped: bool) -> ShownSample:
    label = dataset.label_name(int(dataset.train.labels[sample]))
    image = thumbnail(dataset.train.image(sample).numpy())
    return ShownSample(sample=sample, label=label, value=value, dropped=dropped, image=image)


def thumbnail(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return `pixels[C, H, W]` uint8 as an image of at most `LARGEST_SIDE` a side.

    Three channels are red, green and blue; of any other number, only the first is shown.
    """
    image = Image.fromarray(pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels[0])
    if max(image.size) > LARGEST_SIDE:
        image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return image
