"""Views of images in memory, as extraction, training and evaluation all take them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from kcd_pipeline.augmentation.mixing import Mixing
from kcd_pipeline.augmentation.protocol import Augmentation
from kcd_pipeline.device_moves import is_resident, tensor_to_device, to_device

DRAWN_AT_ONCE = 8192  # samples whose parameters are drawn together: a few hundred kilobytes


class Normaliser:
    """`(pixel / 255 - mean) / std` per channel, as one multiplication and one addition.

    Parameters
    ----------
    mean, std
        Per channel, of pixels scaled to 0..1.
    device
        Where the arithmetic runs and the result lies.
    """

    def __init__(self, *, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> None:
        self.device = device
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self._scale, self._shift = scale.float().to(device), shift.float().to(device)
        self._of_line: dict[int, tuple[Tensor, Tensor]] = {}  # scale and shift of the W * C numbers of a line, by W

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalise `pixels[B, C, H, W]` uint8: float32 of the same shape, channels last in memory."""
        last = torch.channels_last
        on_device = pixels.to(self.device, non_blocking=True).contiguous(memory_format=last)  # bytes move fast
        normalised = on_device.to(torch.float32, memory_format=last)
        scale, shift = self._line(pixels.shape[3])
        # along whole lines: over C numbers at a time the arithmetic would take four times as long
        normalised.permute(0, 2, 3, 1).view(len(pixels), pixels.shape[2], len(scale)).mul_(scale).add_(shift)
        return normalised

    def _line(self, width: int) -> tuple[Tensor, Tensor]:
        """Return scale and shift of each number of a line of pixels, `[W * C]`."""
        if width not in self._of_line:
            self._of_line[width] = self._scale.repeat(width), self._shift.repeat(width)
        return self._of_line[width]


class _Drawn(NamedTuple):
    """Samples and what their views are made by.

    Attributes
    ----------
    samples
        `[n]` int64, on the device of the images.
    parameters, on_host
        `[P, n]`, on the device of the model and on the host.
    mixed
        Those of them that are mixed with others; None if no sample is.
    """

    samples: Tensor
    parameters: Tensor
    on_host: NDArray[Any]
    mixed: "_Mixed | None" = None

    def part(self, part: slice) -> "_Drawn":
        """Return what concerns a part of the samples."""
        mixed = None if self.mixed is None else self.mixed.within(part)
        return _Drawn(self.samples[part], self.parameters[:, part], self.on_host[:, part], mixed)


class _Mixed(NamedTuple):
    """The m of n samples that are mixed with others: of the rest, nothing of a partner is seen, and none is made.

    Attributes
    ----------
    places, on_host
        `[m]` int64 places among the n samples, ascending, on the device of the model and on the host.
    partners
        The samples that they are mixed with.
    parameters
        `[5, m]` int64: how, on the device of the model.
    """

    places: Tensor
    on_host: NDArray[np.int64]
    partners: _Drawn
    parameters: Tensor

    def within(self, part: slice) -> "_Mixed":
        """Return those within a part of the n samples."""
        some = slice(*np.searchsorted(self.on_host, (part.start, part.stop)).tolist())
        places, on_host = self.places[some] - part.start, self.on_host[some] - part.start
        return _Mixed(places, on_host, self.partners.part(some), self.parameters[:, some])


class InMemoryViews:
    """A `ViewSource` over images in memory: they are gathered, augmented and mixed as uint8, then normalised.

    Parameters
    ----------
    images
        `[N, C, H, W]` uint8.
    mean, std
        Per channel, of pixels scaled to 0..1.
    device
        Where augmentation and normalisation run.
    resident
        `run.resident`: whether the images lie on `device`. From the host each batch goes there when it is wanted.
    mixing
        How samples are mixed with others, if they are.
    """

    def __init__(
        self,
        images: Tensor,
        augmentation: Augmentation,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        resident: str = "auto",
        mixing: Mixing | None = None,
    ) -> None:
        self._device, self._mixing = device, mixing
        self._images = images.to(device) if is_resident(images.nbytes, device, resident) else images
        self._augmentation = augmentation
        self._normalise = Normaliser(mean=mean, std=std, device=device)

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, index: NDArray[np.int64], view: ArrayLike) -> Tensor:
        """Return views of samples `index[B]`: float32 `[B, C, H, W]`, channels last in memory.

        Raises
        ------
        ValueError
            If the augmentation does not fit images of this size.
        """
        return self._normalise(self._pixels(self._draw(index, view)))

    def batches(
        self, index_batches: Sequence[NDArray[np.int64]], view: int
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield each `index[B]` of `index_batches` with its views.

        The parameters of many batches are drawn and moved together, which spares the device many small copies.

        Raises
        ------
        ValueError
            If the augmentation does not fit images of this size.
        """
        for some in _runs(index_batches):
            drawn, start = self._draw(np.concatenate(some), view), 0
            for index in some:
                part = slice(start, start + len(index))
                yield index, self._normalise(self._pixels(drawn.part(part)))
                start = part.stop

    def _draw(self, index: NDArray[np.int64], view: ArrayLike) -> _Drawn:
        """Return how the views of samples `index[n]` are made, and those of the samples that they are mixed with."""
        own = self._draw_alone(index, view)
        if self._mixing is None:
            return own
        height, width = self._images.shape[2:]
        mixes = self._mixing.draw(index, view, samples=len(self), height=height, width=width)
        places = np.flatnonzero(mixes.weight < 1)
        if not len(places):
            return own
        partners = self._draw_alone(mixes.partner[places], np.broadcast_to(view, index.shape)[places])
        there = to_device(places, self._device)
        mixed = _Mixed(there, places, partners, to_device(mixes.parameters[:, places], self._device))
        return own._replace(mixed=mixed)

    def _draw_alone(self, index: NDArray[np.int64], view: ArrayLike) -> _Drawn:
        on_host = self._augmentation.parameters(index, view, *self._images.shape[2:])
        return _Drawn(to_device(index, self._images.device), to_device(on_host, self._device), on_host)

    def _pixels(self, drawn: _Drawn) -> Tensor:
        """Return views as uint8 `[n, C, H, W]`, on the device of the model."""
        own, mixed = self._augmented(drawn), drawn.mixed
        if self._mixing is None or mixed is None or not len(mixed.on_host):
            return own
        made = self._mixing.apply(own[mixed.places], self._augmented(mixed.partners), mixed.parameters)
        return own.index_copy(0, mixed.places, made)

    def _augmented(self, drawn: _Drawn) -> Tensor:
        images = self._images[drawn.samples]
        if images.device != self._device:
            images = tensor_to_device(images, self._device)
        return self._augmentation.apply(images, drawn.parameters, drawn.on_host)


def _runs(index_batches: Sequence[NDArray[np.int64]]) -> Iterator[Sequence[NDArray[np.int64]]]:
    """Yield runs of batches, of about DRAWN_AT_ONCE samples each; the first batch says how large a batch is."""
    length = max(DRAWN_AT_ONCE // max(len(index_batches[0]), 1), 1) if index_batches else 1
    for start in range(0, len(index_batches), length):
        yield index_batches[start : start + length]
