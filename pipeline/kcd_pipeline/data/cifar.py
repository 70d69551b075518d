"""CIFAR-10 and CIFAR-100, read by torchvision."""

from http.client import HTTPException
from pathlib import Path

import torch
from torchvision import datasets

from kcd_pipeline.data.split import InMemorySplit
from kcd_pipeline.errors import FailedError, UserError

READERS = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}


def load(name: str, root: Path, *, download: bool) -> tuple[InMemorySplit, InMemorySplit, tuple[str, ...]]:
    """Return training split (50,000), test split (10,000) and class names; images are uint8 [N, 3, 32, 32].

    Raises
    ------
    UserError
        If torchvision does not find the whole data set in `root`.
    FailedError
        If it cannot be fetched.
    """
    try:
        train, test = (READERS[name](str(root), train=part, download=download) for part in (True, False))
    except RuntimeError as error:
        raise UserError(
            f"{name} is not (whole) in {root}: torchvision says '{error}'. Set data.root to the folder that holds "
            f"its extracted archive, or fetch it with --set data.download=true"
        ) from error
    except (HTTPException, OSError) as error:  # URLError is an OSError
        if not download or isinstance(error, PermissionError):
            raise  # the command line says what is denied, or which file fails
        raise FailedError(
            f"{name} could not be fetched into {root}: {error}. Try again, or set data.root to the folder that holds "
            f"its extracted archive, without data.download."
        ) from error
    return _split(train), _split(test), tuple(train.classes)


def _split(source: datasets.CIFAR10) -> InMemorySplit:
    images = torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous()
    return InMemorySplit(images=images, labels=torch.tensor(source.targets, dtype=torch.int64))
