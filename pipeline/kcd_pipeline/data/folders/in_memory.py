"""Folders of pictures decoded into memory, where they fit."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from kcd_pipeline.augmentation.frame import Frame, as_pixels
from kcd_pipeline.data.dataset import Split
from kcd_pipeline.data.folders.listing import Listing
from kcd_pipeline.data.folders.on_disk import open_picture
from kcd_pipeline.errors import UserError


def decoded(listing: Listing, frame: Frame | None) -> Split:
    """All pictures of `listing`, brought to `frame` if there is one: uint8 [N, 3, H, W].

    Raises
    ------
    UserError
        If one cannot be read, or sizes differ and there is no frame.
    """

    def pixels(sample: int) -> Tensor:
        picture = open_picture(listing.path(sample))
        return as_pixels(picture) if frame is None else frame.centred(picture)

    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
        images = list(pool.map(pixels, range(len(listing))))
    for sample, image in enumerate(images):
        if image.shape != images[0].shape:
            first, this = (f"{size.shape[2]}x{size.shape[1]}" for size in (images[0], image))
            raise UserError(
                f"images differ in size: {listing.path(0)} is {first}, {listing.path(sample)} is {this} pixels. Give "
                f"one size with --set data.image_size=N"
            )
    return Split(images=torch.stack(images), labels=torch.from_numpy(listing.labels))
