"""Items of a torch `Dataset` of the user's own: `(image, label)`, read, checked and named if they are something else.

Letters: C channels, H and W pixels.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kcd_pipeline.data.pictures.grey import is_deep
from kcd_pipeline.errors import UserError

COMPARED = 64  # items that are read twice: one that a random transform changes once in ten times is found surely


class Items:
    """The items of one split.

    Parameters
    ----------
    dataset
        A map-style dataset: `len(dataset)`, and `dataset[i]` is `(image, label)`.
    place
        How messages call the split, such as "the training set of `module:callable`".

    Raises
    ------
    UserError
        If it is no map-style dataset, is empty, or an item that is read twice is not twice the same.
    """

    def __init__(self, dataset: Any, place: str) -> None:
        self.dataset, self.place = dataset, place
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise UserError(
                f"{place} is a {type(dataset).__name__} without a length or without items. Expected a map-style torch "
                f"Dataset: __len__, and __getitem__ that returns (image, label)."
            )
        if not len(dataset):
            raise UserError(f"{place} is empty: its length is 0. Expected at least one item.")
        self._require_not_random()

    def __len__(self) -> int:
        return len(self.dataset)

    def name(self, sample: int) -> str:
        """Return how messages call an item."""
        return f"item {sample} of {self.place}"

    def read(self, sample: int) -> tuple[Image.Image | Tensor, int]:
        """Return the image of an item, a Pillow picture or uint8 [C, H, W], and its label.

        Raises
        ------
        UserError
            If the dataset raises an error, or the item is something else.
        """
        try:
            item = self.dataset[sample]
        except Exception as error:  # code of the user's, which may raise anything
            raise UserError(
                f"{self.name(sample)} cannot be read: {type(error).__name__}: {error}. Mend the data set, or the files "
                f"that it reads."
            ) from error
        if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != 2:
            raise UserError(f"{self.name(sample)} is {_form(item)}, expected a pair (image, label)")
        return self._image(item[0], sample), self._label(item[1], sample)

    def labels(self) -> list[int]:
        """Return the labels of all items, from the attribute `targets` of torchvision's data sets if it is there."""
        stated = getattr(self.dataset, "targets", None)
        if isinstance(stated, Sequence | Tensor | np.ndarray) and len(stated) == len(self):
            labels = [_whole_number(label) for label in stated]
            if None not in labels and all(labels[k] == self.read(k)[1] for k in self._spread()):
                return [label for label in labels if label is not None]
        return [self.read(sample)[1] for sample in range(len(self))]

    def _image(self, image: Any, sample: int) -> Image.Image | Tensor:
        if isinstance(image, Image.Image):
            return image
        if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
            pixels = image[..., None] if image.ndim == 2 else image
            return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))
        if isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 3:
            return image.contiguous()
        advice = ""
        if isinstance(image, Tensor | np.ndarray) and "float" in str(image.dtype):
            advice = " Leave out ToTensor and Normalize: pixels are normalised by data.mean and data.std."
        raise UserError(
            f"the image of {self.name(sample)} is {_form(image)}, expected a Pillow picture, a uint8 tensor [C, H, W], "
            f"or a uint8 array [H, W, C] or [H, W].{advice}"
        )

    def _label(self, label: Any, sample: int) -> int:
        number = _whole_number(label)
        if number is None or number < 0:
            raise UserError(f"the label of {self.name(sample)} is {_form(label)}, expected a class number from 0")
        return number

    def _spread(self) -> list[int]:
        return np.linspace(0, len(self) - 1, min(COMPARED, len(self))).astype(int).tolist()

    def _require_not_random(self) -> None:
        """Raise UserError if an item differs from itself: a stored row belongs to one picture, and would match none."""
        for sample in self._spread():
            (image, label), (again, label_again) = self.read(sample), self.read(sample)
            if label != label_again or not _equal(image, again):
                raise UserError(
                    f"{self.name(sample)} was read twice and is not the same both times. Take random transforms out of "
                    f"the data set: views are made by the section augmentation, so that each can be made again."
                )


def encoded(image: Image.Image | Tensor, name: str) -> BytesIO:
    """Return a picture, or uint8 [1, H, W] or [3, H, W], as a file that holds exactly its pixels: PNM, or TIFF if deep.

    Raises
    ------
    UserError
        If it is a tensor with another number of channels.
    """
    if isinstance(image, Tensor):
        if len(image) not in (1, 3):
            raise UserError(
                f"{name} has {len(image)} channels, and only images of 1 or 3 can be scaled or decoded on the fly. "
                f"Leave data.image_size and data.on_the_fly unset, and let the data set give one size."
            )
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        image = Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels)
    file = BytesIO()
    if is_deep(image):
        image.save(file, "TIFF")
    else:
        (image if image.mode in ("L", "RGB") else _without_transparency(image).convert("RGB")).save(file, "PPM")
    file.seek(0)
    return file


def _without_transparency(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    copy.info.pop("transparency", None)  # it has no place in RGB, but Pillow would warn of it
    return copy


def _whole_number(label: Any) -> int | None:
    """Return a label as a number; None if it is no whole number."""
    if isinstance(label, Tensor | np.ndarray) and label.ndim == 0:
        label = label.item()
    return int(label) if isinstance(label, int | np.integer) and not isinstance(label, bool) else None


def _equal(image: Image.Image | Tensor, again: Image.Image | Tensor) -> bool:
    if isinstance(image, Tensor) and isinstance(again, Tensor):
        return torch.equal(image, again)
    if isinstance(image, Image.Image) and isinstance(again, Image.Image):
        return image.mode == again.mode and image.size == again.size and image.tobytes() == again.tobytes()
    return False


def _form(value: Any) -> str:
    """Return type, and shape or content of what an item holds, for messages."""
    if isinstance(value, Tensor | np.ndarray):
        return f"a {type(value).__name__} of {value.dtype} {list(value.shape)}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)} parts"
    return f"a {type(value).__name__}, {str(value)[:60]!r}"
