"""Fashion-MNIST from its four IDX files, plain or gzipped, in torchvision's folder, Debian's, or any other."""

import gzip
import math
import struct
import zlib
from http.client import HTTPException
from io import BufferedReader
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import FashionMNIST

from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.errors import FailedError, UserError

CLASSES = tuple(FashionMNIST.classes)
FOLDERS = (".", "FashionMNIST/raw")  # below root, in Debian's layout and in torchvision's
UINT8 = 8  # IDX's type code of unsigned bytes
LARGEST = 2**30  # bytes; the training images are 47 million


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
    except PermissionError:
        raise  # the command line says what is denied
    except (RuntimeError, HTTPException, OSError) as error:  # URLError is an OSError
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
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as content:
            return _read_idx(content)
    except PermissionError:
        raise  # not damage: the command line says what is denied
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{file} is damaged: {error}. Fetch it again.") from error


def _read_idx(content: gzip.GzipFile | BufferedReader) -> np.ndarray:
    """Read no more bytes than the sizes in front say.

    Raises
    ------
    ValueError
        If it is no IDX file of bytes, or holds more or fewer of them.
    """
    head = content.read(4)
    rank = head[3] if len(head) == 4 else 0
    dimensions = content.read(4 * rank)
    if head[:3] != bytes([0, 0, UINT8]) or rank not in (1, 3) or len(dimensions) != 4 * rank:
        raise ValueError("it is not an IDX file of bytes")
    sizes = struct.unpack(f">{rank}I", dimensions)
    expected = math.prod(sizes)
    if expected > LARGEST:
        raise ValueError(f"it claims to hold {expected:,} bytes, and a file of this set holds at most {LARGEST:,}")
    data = content.read(expected + 1)
    if len(data) != expected:
        raise ValueError(
            f"its sizes say {expected:,} bytes, and it holds {'fewer' if len(data) < expected else 'more'}"
        )
    return np.frombuffer(data, np.uint8).reshape(sizes)
