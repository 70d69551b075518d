"""Folders of pictures that are decoded into memory, all at once."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import torch
from torch import Tensor

from kcd_pipeline.augmentation import CentreCrop, pixels_of
from kcd_pipeline.data.folders.budget import PixelBudget
from kcd_pipeline.data.folders.listing import Listing
from kcd_pipeline.data.folders.picture import Reading, open_picture
from kcd_pipeline.data.folders.unreadable import printable
from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.errors import UserError

AT_ONCE = 64_000_000  # pixels that are being decoded: about 0.9 GB


def decode(listing: Listing, crop: CentreCrop | None, reading: Reading) -> InMemorySplit:
    """Decode all pictures of `listing` and crop them, or keep their size if `crop` is None: uint8 [N, 3, H, W].

    Raises
    ------
    UserError
        If one of them cannot be read, or their sizes differ and `crop` is None.
    """
    budget = PixelBudget(AT_ONCE)

    def pixels(sample: int) -> Tensor:
        with ExitStack() as held:
            picture = open_picture(
                listing.path(sample), reading, crop, admit=lambda count: held.enter_context(budget.hold(count))
            )
            return pixels_of(picture) if crop is None else crop(picture)

    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
        images = list(pool.map(pixels, range(len(listing))))
    _require_one_size(images, listing)
    return InMemorySplit(images=torch.stack(images), labels=torch.from_numpy(listing.labels))


def _require_one_size(images: list[Tensor], listing: Listing) -> None:
    for sample, image in enumerate(images):
        if image.shape != images[0].shape:
            first, this = (f"{size.shape[2]}x{size.shape[1]}" for size in (images[0], image))
            raise UserError(
                f"images differ in size: {printable(listing.path(0))} is {first}, {printable(listing.path(sample))} is "
                f"{this} pixels. Give one size with --set data.image_size=N"
            )
