"""Augmentations of the user's own.

Letters: B samples of a batch, P parameters of a view, C channels, H and W pixels.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation.centre_crop import CentreCrop
from kcd_pipeline.device_moves import to_device
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.own_parts import OwnPart, part_digest

KEY = "augmentation.name"
METHODS = ("parameters", "apply")


class OwnAugmentation:
    """An augmentation that a part of the user's own makes, with all that the program needs beside it.

    The user's object has `parameters(index, view, height, width)` and `apply(images, parameters)`, as `Augmentation`
    describes them; its parameters may be of any number type. It may have `augment_picture(picture, crop, sample, view)`
    for pictures that are decoded one by one. Without it their middle is cut out and augmented as an image in memory.

    Parameters
    ----------
    name
        Its name in the recipe, `package.module:callable`.
    seed
        `augmentation.seed`.
    arguments
        `augmentation.arguments`.

    Raises
    ------
    UserError
        If the part cannot be loaded or called, or what it returns lacks a method.
    """

    def __init__(self, name: str, *, seed: int, arguments: Mapping[str, Any]) -> None:
        part = OwnPart(name, KEY, arguments)
        self._name, self._digest = name, part_digest(name, KEY)
        self._seed, self._arguments = seed, json.dumps(dict(arguments), sort_keys=True)
        try:
            self._own = part(seed=seed)
        except (Exception, SystemExit) as error:  # code of the user's may raise anything
            raise UserError(
                f"{KEY}: {name} cannot be made with the arguments {dict(arguments)}: {type(error).__name__}: {error}."
            ) from error
        lacking = [method for method in METHODS if not callable(getattr(self._own, method, None))]
        if lacking:
            raise UserError(
                f"{KEY}: what {name} returns, a {type(self._own).__name__}, has no {lacking[0]}. Expected an object "
                f"with parameters(index, view, height, width) and apply(images, parameters): see "
                f"docs/how-to/bring-your-own.md."
            )

    def describe(self) -> dict[str, Any]:
        """Return name, seed, arguments and the digest of the source, on all of which the pixels depend."""
        return {"name": self._name, "seed": self._seed, "arguments": self._arguments, "source_sha256": self._digest}

    def parameters(self, index: NDArray[np.int64], view: ArrayLike, height: int, width: int) -> NDArray[Any]:
        """Draw the parameters of the views of samples `index[B]`, for images of this height and width: `[P, B]`.

        Raises
        ------
        FailedError
            If the user's object raises something, or returns no such array.
        """
        # a copy, and always a view for each sample: what is drawn must not hang on how a batch was asked for
        views = np.broadcast_to(np.asarray(view, np.int64), index.shape).copy()
        try:
            drawn = self._own.parameters(index.copy(), views, height, width)
        except Exception as error:
            raise self._failure("parameters", error) from error
        if not (isinstance(drawn, np.ndarray) and drawn.ndim == 2 and drawn.shape[1] == len(index)):
            raise FailedError(
                f"{KEY}: parameters of {self._name} returned {_shape_of(drawn)}, expected a numpy array [P, "
                f"{len(index)}]: a column for each sample."
            )
        if drawn.dtype.kind not in "biuf" or not np.isfinite(drawn).all():
            raise FailedError(
                f"{KEY}: parameters of {self._name} returned {drawn.dtype}, or numbers that are not finite; expected "
                f"finite integers, floats or truth values."
            )
        return drawn

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any] | None = None) -> Tensor:
        """Return the views of `images[B, C, H, W]` uint8 that `parameters[P, B]` describe: same shape and dtype.

        Raises
        ------
        FailedError
            If the user's object raises something, or returns other images.
        """
        try:
            views = self._own.apply(images, parameters)
        except Exception as error:
            raise self._failure("apply", error) from error
        if not isinstance(views, Tensor) or (views.shape, views.dtype, views.device) != (
            images.shape,
            images.dtype,
            images.device,
        ):
            raise FailedError(
                f"{KEY}: apply of {self._name} returned {_shape_of(views)}, expected {_shape_of(images)} as "
                f"it was given."
            )
        return views

    def __call__(self, images: Tensor, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return the `view` of samples `index[B]`, which are `images[B, C, H, W]` uint8: same shape and dtype."""
        parameters = self.parameters(index, view, *images.shape[2:])
        return self.apply(images, to_device(parameters, images.device))

    def augment_pictures(
        self, pictures: Iterable[Image.Image], crop: CentreCrop, index: NDArray[np.int64], view: ArrayLike
    ) -> Iterator[Tensor]:
        """Yield one view of each of the RGB `pictures` of any size: uint8 [3, size, size].

        Raises
        ------
        FailedError
            If the user's object raises something, or returns no such image.
        """
        views = np.broadcast_to(np.asarray(view, np.int64), index.shape)
        own = getattr(self._own, "augment_picture", None)
        for k, picture in enumerate(pictures):
            if own is None:
                yield self(crop(picture)[None], index[[k]], views[[k]])[0]
            else:
                yield self._own_picture(own, picture, crop, int(index[k]), int(views[k]))

    def _own_picture(
        self, own: Callable[..., Any], picture: Image.Image, crop: CentreCrop, sample: int, view: int
    ) -> Tensor:
        """Return the view that the user's method `own` makes."""
        try:
            pixels = own(picture, crop, sample, view)
        except Exception as error:
            raise self._failure("augment_picture", error) from error
        size = [3, crop.size, crop.size]
        if not isinstance(pixels, Tensor) or (list(pixels.shape), pixels.dtype) != (size, torch.uint8):
            raise FailedError(
                f"{KEY}: augment_picture of {self._name} returned {_shape_of(pixels)}, expected uint8 {size}."
            )
        return pixels

    def _failure(self, method: str, error: Exception) -> FailedError:
        return FailedError(f"{KEY}: {method} of {self._name} failed: {type(error).__name__}: {error}.")


def _shape_of(found: object) -> str:
    if isinstance(found, Tensor):
        return f"{str(found.dtype).removeprefix('torch.')} {list(found.shape)} on {found.device}"
    return f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"
