"""The contract of an operation, of which a pipeline has several.

Letters: B samples of a batch, W words, P parameters of a view, C channels, H and W pixels.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


class Operation(Protocol):
    """Changes the pixels of a picture, as parameters say that are a pure function of (seed, sample, view, place).

    Pixels are the same bytes on every device and in every batch: each step is one of integers, or a single rounding of
    floating-point numbers, as IEEE 754 prescribes it.

    An operation is a frozen value, whose fields are its keys in a recipe. The place is its number in the list of the
    pipeline, so that an operation that is added at the end leaves the views of those before it as they were.

    Attributes
    ----------
    words
        Random words of 32 bits that one view takes.
    """

    @property
    def words(self) -> int: ...

    def describe(self) -> dict[str, Any]:
        """Return its name and all settings that the pixels depend on, as a store records them."""
        ...

    def parameters(self, words: NDArray[np.uint32], height: int, width: int) -> NDArray[np.int64]:
        """Turn `words[W, B]` into the parameters of views of images of this height and width: `[P, B]`.

        P is the same for all words and sizes.

        Raises
        ------
        ValueError
            If the operation does not fit images of this size.
        """
        ...

    def apply(self, images: Tensor, parameters: Tensor, drawn: NDArray[Any]) -> Tensor:
        """Return `images[B, C, H, W]` uint8 as the parameters say: same shape and dtype. What is given stays as it is.

        Parameters
        ----------
        parameters
            `[P, B]`, on the device of the images.
        drawn
            The same numbers on the host, by which samples can be grouped without a wait for the device: a mask there
            would have to be counted there.
        """
        ...

    def apply_picture(self, picture: Image.Image, parameters: NDArray[Any]) -> Image.Image:
        """Return an RGB `picture` as its `parameters[P]` say, of the size that it has."""
        ...
