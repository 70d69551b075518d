"""Fashion-MNIST from its four IDX files, plain or gzipped, in torchvision's folder, Debian's, or any other."""

import gzip
import zlib
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
from torchvision.datasets import FashionMNIST

from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.errors import FailedError, UserError

CLASSES = tuple(FashionMNIST.classes)
FOLDERS = (".", "FashionMNIST/raw")  # below root, in Debian's layout and in torchvision's
UINT8 = 8  # IDX's type code of unsigned bytes


def load(root: Path, *, download: bool) -> tuple[InMemorySplit, InMemorySplit, tuple[str, ...]]:
    """Return training split (60,000), test split (10,000) and class names; images are uint8 [N, 1, 28, 28].

    Raises
    ------
    UserError
        If a file is missing or damaged, or images and labels do not belong together.
    FailedError
        If they cannot be fetched.
    """
    if download and _find(root, "train-images-idx3-ubyte") is None:
        _fetch(root)
    return _split(root, "train"), _split(root, "t10k"), CLASSES


def _fetch(root: Path) -> None:
    try:
        FashionMNIST(str(root), download=True)
    except (RuntimeError, URLError) as error:
        raise FailedError(
            f"fashion-mnist could not be fetched into {root}: {error}. Try again, or set data.root to the folder that "
            f"holds it, without data.download."
        ) from error


def _split(root: Path, prefix: str) -> InMemorySplit:
    images, labels = _read(root, f"{prefix}-images-idx3-ubyte"), _read(root, f"{prefix}-labels-idx1-ubyte")
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise UserError(f"{root}: {prefix} images {images.shape} and labels {labels.shape} do not belong together")
    if (labels >= len(CLASSES)).any():
        raise UserError(
            f"{root}: {prefix} labels go up to {labels.max()}, but there are {len(CLASSES)} classes (0 to 9)"
        )
    return InMemorySplit(
        images=torch.from_numpy(images[:, None].copy()), labels=torch.from_numpy(labels.astype(np.int64))
    )


def _find(root: Path, name: str) -> Path | None:
    candidates = (root / folder / (name + suffix) for folder in FOLDERS for suffix in ("", ".gz"))
    return next((file for file in candidates if file.is_file()), None)


def _read(root: Path, name: str) -> np.ndarray:
    """Read an IDX file of unsigned bytes: two zero bytes, a type code, the rank, big-endian sizes, then the data."""
    file = _find(root, name)
    if file is None:
        raise UserError(
            f"fashion-mnist is not in {root}: no {name} (or .gz) there or in {root}/FashionMNIST/raw. "
            f"Set data.root to the folder that holds it (after `apt-get install dataset-fashion-mnist`: "
            f"/usr/share/datasets/fashion-mnist), or let torchvision fetch it with --set data.download=true"
        )
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file} is damaged: {error}. Fetch it again.") from error
    rank = content[3] if len(content) > 4 else 0
    sizes = np.frombuffer(content, ">u4", count=rank, offset=4) if len(content) >= 4 + 4 * rank else np.empty(0)
    data = content[4 + 4 * rank :]
    if content[:2] != b"\0\0" or rank == 0 or content[2] != UINT8 or len(data) != int(np.prod(sizes)):
        raise UserError(f"{file} is not an IDX file of bytes, or is cut short. Fetch it again.")
    return np.frombuffer(data, np.uint8).reshape(sizes.astype(int))
