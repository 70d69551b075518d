"""Pictures that are decoded into memory, all at once."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import torch
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation import CentreCrop, pixels_of
from kcd_pipeline.data.pictures.budget import PixelBudget
from kcd_pipeline.data.pictures.picture import Reading, open_picture
from kcd_pipeline.data.pictures.pixel_cache import keep_pixels, kept_pixels, pixels_file
from kcd_pipeline.data.pictures.source import PictureSource
from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.errors import UserError
from kcd_stores.sizes import human_bytes, machine_memory

AT_ONCE = 64_000_000  # pixels that are being decoded: about 0.9 GB
# Pillow's unit of memory. In its own, of 1 MiB, each thread's heap keeps as much as its largest picture took; so large
# a one goes back to the system
BLOCK_BYTES = 64 * 2**20
TOGETHER = 64  # pictures that a thread is given at a time: small ones take less time than handing them over


def decode(source: PictureSource, crop: CentreCrop | None, reading: Reading) -> InMemorySplit:
    """Return all pictures of `source`, cropped, or of their own size if `crop` is None: uint8 [N, 3, H, W].

    They are decoded unless an earlier command did so and kept the pixels.

    Raises
    ------
    UserError
        If one of them cannot be read, or their sizes differ and `crop` is None.
    """
    file = pixels_file(source, crop, reading)
    images = kept_pixels(file, len(source))
    if images is None:
        images = _decoded(source, crop, reading)
        keep_pixels(file, images)
    return InMemorySplit(images=images, labels=torch.from_numpy(source.labels))


def _decoded(source: PictureSource, crop: CentreCrop | None, reading: Reading) -> Tensor:
    Image.core.set_block_size(BLOCK_BYTES)  # type: ignore[attr-defined]  # it has no types
    budget = PixelBudget(AT_ONCE)

    def pixels(sample: int) -> Tensor:
        with ExitStack() as held:
            picture = open_picture(
                source.open(sample),
                reading,
                crop,
                name=source.name(sample),
                admit=lambda count: held.enter_context(budget.hold(count)),
            )
            return pixels_of(picture) if crop is None else crop(picture)

    first = pixels(0)
    _require_room(len(source), first)
    images = torch.empty((len(source), *first.shape), dtype=torch.uint8)

    def put(samples: range) -> None:
        for sample in samples:
            image = pixels(sample)
            if image.shape != first.shape:
                raise _sizes_differ(source, first, image, sample)
            images[sample] = image

    every = range(len(source))
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
        for _ in pool.map(put, (every[start : start + TOGETHER] for start in every[::TOGETHER])):
            pass
    return images


def _sizes_differ(source: PictureSource, first: Tensor, image: Tensor, sample: int) -> UserError:
    sizes = [f"{source.name(k)} is {of.shape[2]}x{of.shape[1]}" for k, of in ((0, first), (sample, image))]
    return UserError(f"images differ in size: {', '.join(sizes)} pixels. Give one size with --set data.image_size=N")


def _require_room(count: int, image: Tensor) -> None:
    """Raise UserError if `count` images like `image` are more than the machine has memory for."""
    room = machine_memory()
    if count * image.nbytes > room:
        raise UserError(
            f"{count:,} images of {image.shape[2]}x{image.shape[1]} pixels take {human_bytes(count * image.nbytes)}, "
            f"and this machine has {human_bytes(room)} of memory. Set data.image_size to a smaller size, or "
            f"data.on_the_fly to true."
        )
