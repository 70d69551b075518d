"""Pictures that a user names, and labelled images: those of a folder of classes, and the test set of a data set.

Letters: N images, B images of a batch, C channels, H and W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.augmentation import Identity
from kcd_pipeline.data import Dataset
from kcd_pipeline.data.folders.listing import list_folder
from kcd_pipeline.data.folders.walk import Skipped, pictures_below
from kcd_pipeline.data.pictures.unreadable import printable
from kcd_pipeline.data.preprocessing import Preprocessing
from kcd_pipeline.device_moves import tensor_to_device
from kcd_pipeline.errors import UserError
from kcd_pipeline.handover.student import Student
from kcd_pipeline.progress import say
from kcd_pipeline.training.evaluation import EVALUATION_BATCH
from kcd_stores.streaming.order import cut_batches

PICTURE_BATCH = 64  # pictures that are decoded at once
NAMED = 8  # classes in a message


def find_pictures(places: Sequence[Path]) -> list[Path]:
    """Return the picture files that `places` name: files as they are, of folders all pictures in them and below.

    Raises
    ------
    UserError
        If one of them is missing, or a folder holds no picture.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            skipped = Skipped()
            below = pictures_below(place, skipped)
            if not below:
                raise UserError(f"{printable(place)} holds no pictures. Name files, or a folder that holds some.")
            if str(skipped):
                say(f"{printable(place)}: not taken as pictures: {skipped}")
            found += [place / name for name in below]
        elif place.exists():
            found.append(place)
        else:
            raise UserError(f"there is no picture or folder {printable(place)} (in {Path.cwd()}).")
    return found


def picture_batches(
    pictures: Sequence[Path], preprocess: Preprocessing, device: torch.device
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield places `index[B]` in `pictures` with the images that a model takes, `[B, C, H, W]` float32 on `device`."""
    for index in cut_batches(np.arange(len(pictures)), PICTURE_BATCH):
        images = preprocess.batch([pictures[place] for place in index])
        yield index, tensor_to_device(images, device).to(memory_format=torch.channels_last)


class LabelledImages(Protocol):
    """Images with their true classes, as any model can be shown them.

    Attributes
    ----------
    name
        How messages call them.
    labels
        `[N]`: places in the classes of the model that is evaluated.
    """

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> NDArray[np.int64]: ...

    def batches(self, preprocess: Preprocessing, device: torch.device) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield samples `index[B]` with their images as a model of this preprocessing takes them, on `device`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderImages:
    """The pictures of a folder of class folders."""

    name: str
    labels: NDArray[np.int64]
    pictures: tuple[Path, ...]

    def batches(self, preprocess: Preprocessing, device: torch.device) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        return picture_batches(self.pictures, preprocess, device)


@dataclass(frozen=True, kw_only=True, eq=False)
class TestImages:
    """The test set of a data set, whose images have their size already."""

    dataset: Dataset

    @property
    def name(self) -> str:
        return f"the test set of {self.dataset.name}"

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.dataset.test.labels.numpy()

    def batches(self, preprocess: Preprocessing, device: torch.device) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        views = self.dataset.test.views(Identity(), mean=preprocess.mean, std=preprocess.std, device=device)
        return views.batches(cut_batches(np.arange(len(views)), EVALUATION_BATCH), 0)


def images_of_folder(folder: Path, student: Student) -> FolderImages:
    """Return the pictures in `folder/<class>/`; folders are called as the model's classes, of which some may lack.

    Raises
    ------
    UserError
        If a folder is not called as a class, or cannot be read.
    """
    listing = list_folder(folder)
    if listing.skipped:
        say(f"{printable(folder)}: not taken as pictures: {listing.skipped}")
    places = {name: place for place, name in enumerate(student.label_names or ())}
    places |= {name: place for place, name in enumerate(student.classes)}
    unknown = [name for name in listing.classes if name not in places]
    if unknown:
        raise UserError(
            f"{printable(folder)} has folders that no class of {student.name} is called by: {_some(unknown)}. Its "
            f"{len(student.classes)} classes are {_some(student.classes)}. Name a folder that has a folder for each "
            f"class, such as DATA/test, or a recipe."
        )
    of_listing = np.array([places[name] for name in listing.classes])
    return FolderImages(
        name=printable(folder),
        labels=of_listing[listing.labels],
        pictures=tuple(listing.open(sample) for sample in range(len(listing))),
    )


def images_of_dataset(dataset: Dataset, student: Student) -> TestImages:
    """Return the test set of `dataset`, which must have the model's classes, and images as the model takes them.

    Raises
    ------
    UserError
        If it has not.
    """
    if dataset.classes != student.classes:
        raise UserError(
            f"{dataset.name} has the {len(dataset.classes)} classes {_some(dataset.classes)}, and {student.name} has "
            f"the {len(student.classes)} classes {_some(student.classes)}. Name the recipe of data with its classes, "
            f"or a folder of class folders."
        )
    found, expected = Preprocessing.of(dataset).describe(), student.preprocess.describe()
    if found != expected:
        different = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
        sides = "; ".join(f"{key} found {found.get(key)}, expected {expected.get(key)}" for key in different)
        raise UserError(
            f"the images of {dataset.name} are not those that {student.name} takes: {sides}. Set data.image_size and "
            f"the other keys of data as in the recipe that it was trained by, or name a folder of class folders."
        )
    return TestImages(dataset=dataset)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
