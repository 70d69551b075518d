"""Any folder of `train/` and `test/` (or `val/`) folders of classes of images, decoded into memory."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from kcd_pipeline.data.dataset import Split
from kcd_pipeline.errors import UserError

TEST_NAMES = ("test", "val")
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises of damaged files


def load(root: Path, *, image_size: int | None) -> tuple[Split, Split, tuple[str, ...]]:
    """Training and test split, images uint8 [N, 3, H, W], classes and order as torchvision's ImageFolder has them.

    Raises
    ------
    UserError
        If a folder is missing, the classes of the splits differ, an image cannot be read, or sizes differ and no
        `image_size` was given.
    """
    test_root = next((root / name for name in TEST_NAMES if (root / name).is_dir()), None)
    if not (root / "train").is_dir() or test_root is None:
        raise UserError(
            f"{root.resolve()} is not an image folder: expected train/<class>/*.png (or jpg, ...) and the same below "
            f"test/ or val/. Set data.root to the folder that holds both."
        )
    train, test = _list(root / "train"), _list(test_root)
    if train.classes != test.classes:
        only = sorted(set(train.classes) ^ set(test.classes))
        raise UserError(
            f"{root}: train and {test_root.name} must hold the same classes; only in one: {', '.join(only)}"
        )
    return _decode(train, image_size), _decode(test, image_size), tuple(train.classes)


def _list(folder: Path) -> ImageFolder:
    try:
        return ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise UserError(f"{folder}: {error}") from error


def _decode(folder: ImageFolder, image_size: int | None) -> Split:
    paths = [Path(path) for path, _ in folder.samples]
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
        arrays = list(pool.map(lambda path: _pixels(path, image_size), paths))
    for path, array in zip(paths, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise UserError(
                f"images differ in size: {paths[0]} is {arrays[0].shape[1]}x{arrays[0].shape[0]}, {path} is "
                f"{array.shape[1]}x{array.shape[0]} pixels. Give one size with --set data.image_size=N"
            )
    images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    return Split(images=images, labels=torch.tensor(folder.targets, dtype=torch.int64))


def _pixels(path: Path, image_size: int | None) -> np.ndarray:
    """One image as uint8 [H, W, 3]."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read as an image: {error}. Mend or remove the file.") from error
    if image_size is not None:
        image = v2.functional.center_crop(v2.functional.resize(image, [image_size]), [image_size, image_size])
    return np.asarray(image)
