"""The pictures of the most and of the least valued samples, as data URIs."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kcd_pipeline.config import parse_config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import UserError
from kcd_pipeline.report.collect.runs import RunRecord
from kcd_pipeline.report.collect.stages import ends
from kcd_stores import PlanStore

EACH = 12  # pictures at either end
LARGEST = 96  # pixels a side; a larger picture is made smaller, a smaller one is left to the browser to enlarge


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One sample: its image as a data URI, its class, its value in nats, and whether its knowledge was dropped."""

    uri: str
    sample: int
    label: str
    value: float
    dropped: bool


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The ends of one run's ranking; `problem` says why there are none."""

    most: tuple[Picture, ...] = ()
    least: tuple[Picture, ...] = ()
    problem: str | None = None


class Datasets:
    """The data sets of runs, each read once."""

    def __init__(self) -> None:
        self._found: dict[Any, Dataset] = {}

    def of(self, run: RunRecord) -> Dataset:
        """The data set of `run`, never fetched from anywhere.

        Raises
        ------
        UserError
            If it is not where the run had it, or no longer what the run was trained on.
        """
        config = parse_config(run.config, source=str(run.folder.config)).data
        key = config.model_dump_json()
        if key not in self._found:
            self._found[key] = load_dataset(config.model_copy(update={"download": False}))
        dataset = self._found[key]
        if dataset.test.fingerprint(dataset.classes) != run.test_set:
            raise UserError(f"the data set {dataset.name} found now is not the one that the run was tested on")
        trained_on = None if run.store is None else run.store["made_from"]["dataset"]["fingerprint"]
        if trained_on is not None and dataset.description["fingerprint"] != trained_on:
            raise UserError(f"the data set {dataset.name} found now is not the one that the run was trained on")
        return dataset


def gallery(run: RunRecord, value: NDArray[np.float64], datasets: Datasets) -> Gallery:
    """The pictures of `run`, whose values after its last epoch are `value[N]`."""
    try:
        dataset = datasets.of(run)
        if run.store is not None and "condensed" in run.store["made_from"]:
            raise UserError("the run was trained on a condensed set, whose samples only its store tells")
        if len(dataset.train) != len(value):
            raise UserError(f"the run has values of {len(value):,} samples, but {len(dataset.train):,} are found now")
    except UserError as error:
        return Gallery(problem=str(error))
    kept = set(PlanStore(run.folder.plans).read_all()[-1].kept.tolist())
    most, least = (
        tuple(_picture(dataset, int(sample), float(value[sample]), int(sample) not in kept) for sample in samples)
        for samples in ends(value, EACH)
    )
    return Gallery(most=most, least=least)


def _picture(dataset: Dataset, sample: int, value: float, dropped: bool) -> Picture:
    label = dataset.label_name(int(dataset.train.labels[sample]))
    uri = png_uri(dataset.train.image(sample).numpy())
    return Picture(uri=uri, sample=sample, label=label, value=value, dropped=dropped)


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """`pixels[C, H, W]` uint8 as `data:image/png;base64,...`; the first channel alone unless there are three."""
    image = Image.fromarray(pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels[0])
    if max(image.size) > LARGEST:
        image.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
