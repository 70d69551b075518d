"""Data sets of the user's own: torch datasets that a recipe names by `package.module:callable`, or that a caller has.

Letters: N samples, K chosen samples, C channels, H and W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.completion import complete
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.normalisation import measure_normalisation
from kcd_pipeline.data.pictures import PictureSplits, load_pictures
from kcd_pipeline.data.sources.items import Items, encoded
from kcd_pipeline.data.sources.labels import settle_labels
from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.errors import UserError
from kcd_pipeline.own_parts import OwnPart, part_digest, passed_name, working_folder_importable
from kcd_stores.sizes import human_bytes, machine_memory

KEY = "data.name"


def load_own(config: DataConfig) -> Dataset:
    """Return the data set that the callable `data.name` makes, called with `split` and `data.arguments`.

    A callable that has a parameter `root` is given `data.root` too.

    Raises
    ------
    UserError
        If it cannot be imported or called, or what it returns is no map-style dataset of images and labels.
    """
    digest = part_digest(config.name, KEY)
    with working_folder_importable():  # also while items are read, for that may import more
        make = OwnPart(config.name, KEY, config.arguments)
        train, test = (_called(make, config, split) for split in (config.train or "train", config.test or "test"))
        validation = _called(make, config, config.validation) if isinstance(config.validation, str) else None
        dataset = dataset_from(train, test, validation=validation, settings=config)
    return replace(dataset, source_sha256=digest)


def dataset_from(
    train: Any,
    test: Any,
    *,
    validation: Any = None,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    settings: DataConfig | None = None,
) -> Dataset:
    """Return the data set of two torch map-style datasets, whose items are `(image, label)`.

    An image is a Pillow picture, which is read as RGB, a uint8 tensor [C, H, W], or a uint8 array [H, W, C] or [H, W].
    Tensors and arrays keep their channels, and are taken as they are unless `settings` gives a size or decodes on the
    fly.

    Parameters
    ----------
    validation
        Images by which the best epoch is chosen, of the same form; `data.validation` of the settings may instead be
        the part of `train` that is held out.
    classes
        Names of the classes; None: the attribute `classes` of `train`, or else the numbers of the labels.
    mean, std
        Per channel, of pixels scaled to 0..1; None: measured over the training set.
    settings
        The section `data` of a recipe: size, limits, and whether images stay where they are until they are needed.

    Raises
    ------
    UserError
        If one of them is no such dataset, has an item that differs when it is read again, or a label without a class.
    """
    settings = settings or DataConfig(name=passed_name(train))
    given = {"classes": classes, "mean": mean, "std": std}
    settings = settings.model_copy(update={key: tuple(value) for key, value in given.items() if value is not None})
    given_parts = {"training": train, "test": test, **({} if validation is None else {"validation": validation})}
    splits = [Items(part, f"the {kind} set of {settings.name}") for kind, part in given_parts.items()]
    stated = getattr(train, "classes", None)
    labels, names = settle_labels(
        [list(map(str, items.labels())) for items in splits],
        [items.name for items in splits],
        stated=None if stated is None else tuple(map(str, stated)),
        given=settings.classes,
        place=settings.name,
    )
    first = splits[0].read(0)[0]
    if isinstance(first, Tensor) and settings.image_size is None and not settings.on_the_fly:
        dataset = _of_tensors(settings, splits, labels, names)
    else:
        sources = [OwnSource(items=items, labels=of) for items, of in zip(splits, labels, strict=True)]
        dataset = load_pictures(settings, PictureSplits.of(sources, names))
    return complete(settings, dataset, can_be_scaled=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnSource:
    """A `PictureSource` of the items of a torch dataset; each is handed over as a file that holds its pixels.

    Attributes
    ----------
    labels
        `[N]` int64.
    samples
        `[N]` int64: which items; None: all of them.
    """

    items: Items
    labels: NDArray[np.int64]
    samples: NDArray[np.int64] | None = None
    lock: Any = field(default_factory=Lock)

    def __len__(self) -> int:
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "lock": None}  # a process of its own, which decodes one after the other

    @property
    def place(self) -> str:
        """The split's name in messages."""
        return self.items.place

    def open(self, sample: int) -> BinaryIO:
        """Return the picture of `sample` as a file in memory.

        Raises
        ------
        UserError
            If the item cannot be read, or has another label than before.
        """
        number = self._item(sample)
        if self.lock is None:
            image, label = self.items.read(number)
        else:
            with self.lock:  # a dataset need not be made for several threads
                image, label = self.items.read(number)
        if label != self.labels[sample]:
            raise UserError(
                f"{self.name(sample)} has the label {label}, and had {self.labels[sample]} before. Expected a data set "
                f"that gives the same items whenever it is read."
            )
        return encoded(image, self.name(sample))

    def name(self, sample: int) -> str:
        """Return how messages call the picture."""
        return self.items.name(self._item(sample))

    def subset(self, samples: NDArray[np.int64]) -> "OwnSource":
        """Return the pictures of `samples[K]`, in that order."""
        chosen = samples if self.samples is None else self.samples[samples]
        return replace(self, labels=self.labels[samples], samples=chosen)

    def stamp(self) -> None:
        """Return None: nothing tells whether a data set in code has changed, so its fingerprint is taken each time."""

    def _item(self, sample: int) -> int:
        return sample if self.samples is None else int(self.samples[sample])


def _called(make: OwnPart, config: DataConfig, split: str) -> Any:
    """Return what the callable returns for a split; raise UserError if it raises anything."""
    try:
        return make(split=split, root=str(config.root))
    except (Exception, SystemExit) as error:  # code of the user's, called as the recipe says
        raise UserError(
            f"'{config.name}', which {KEY} names, cannot make the split '{split}' with {config.arguments or 'no'} "
            f"arguments: {type(error).__name__}: {error}. Its arguments are set by data.arguments."
        ) from error


def _of_tensors(
    settings: DataConfig, splits: Sequence[Items], labels: Sequence[NDArray[np.int64]], classes: tuple[str, ...]
) -> Dataset:
    """Return the data set of images that are tensors of one size, as they are."""
    train, test, *others = (_stacked(items, of) for items, of in zip(splits, labels, strict=True))
    mean, std = (settings.mean, settings.std) if settings.mean and settings.std else measure_normalisation(train.images)
    if settings.limit_per_class is not None:
        train = train.first_per_class(settings.limit_per_class)
    if settings.test_limit_per_class is not None:
        test = test.first_per_class(settings.test_limit_per_class)
    return Dataset(
        name=settings.name,
        classes=classes,
        train=train,
        test=test,
        mean=mean,
        std=std,
        validation=others[0] if others else None,
    )


def _stacked(items: Items, labels: NDArray[np.int64]) -> InMemorySplit:
    first, _ = items.read(0)
    assert isinstance(first, Tensor)
    if len(items) * first.nbytes > machine_memory():
        raise UserError(
            f"{items.place} has {len(items):,} images of {list(first.shape)}, which take "
            f"{human_bytes(len(items) * first.nbytes)}, more than this machine has memory. Set data.on_the_fly to true "
            f"with a data.image_size."
        )
    images = torch.empty((len(items), *first.shape), dtype=torch.uint8)
    for sample in range(len(items)):
        image, label = items.read(sample)
        if not isinstance(image, Tensor) or image.shape != first.shape:
            form = list(image.shape) if isinstance(image, Tensor) else "a Pillow picture"
            raise UserError(
                f"images differ: {items.name(0)} is {list(first.shape)} and {items.name(sample)} is {form}. Give one "
                f"size with --set data.image_size=N, or let the data set return one form."
            )
        if label != labels[sample]:
            raise UserError(f"{items.name(sample)} has the label {label}, and had {labels[sample]} before.")
        images[sample] = image
    return InMemorySplit(images=images, labels=torch.from_numpy(labels))
