"""Folders of pictures that are decoded into memory, all at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from kcd_pipeline.augmentation import CentreCrop, pixels_of
from kcd_pipeline.data.folders.listing import Listing
from kcd_pipeline.data.folders.picture import open_picture
from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.errors import UserError


def decode(listing: Listing, crop: CentreCrop | None) -> InMemorySplit:
    """Decode all pictures of `listing` and crop them, or keep their size if `crop` is None: uint8 [N, 3, H, W].

    Raises
    ------
    UserError
        If one of them cannot be read, or their sizes differ and `crop` is None.
    """

    def pixels(path: Path) -> Tensor:
        picture = open_picture(path)
        return pixels_of(picture) if crop is None else crop(picture)

    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
        images = list(pool.map(pixels, map(listing.path, range(len(listing)))))
    _require_one_size(images, listing)
    return InMemorySplit(images=torch.stack(images), labels=torch.from_numpy(listing.labels))


def _require_one_size(images: list[Tensor], listing: Listing) -> None:
    for sample, image in enumerate(images):
        if image.shape != images[0].shape:
            first, this = (f"{size.shape[2]}x{size.shape[1]}" for size in (images[0], image))
            raise UserError(
                f"images differ in size: {listing.path(0)} is {first}, {listing.path(sample)} is {this} pixels. Give "
                f"one size with --set data.image_size=N"
            )
