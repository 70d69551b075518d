"""CIFAR-10 and CIFAR-100 by torchvision."""

from pathlib import Path
from urllib.error import URLError

import torch
from torchvision import datasets

from kcd_pipeline.data.dataset import Split
from kcd_pipeline.errors import FailedError, UserError

SETS = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}

# what the field normalises with (RepDistiller for CIFAR-100), so that published teachers see what they know
NORMALISATION = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}


def load(name: str, root: Path, *, download: bool) -> tuple[Split, Split, tuple[str, ...]]:
    """Training (50,000) and test (10,000) split, images uint8 [N, 3, 32, 32].

    Raises
    ------
    UserError
        If torchvision does not find the data set whole in `root`.
    FailedError
        If it cannot be fetched.
    """
    try:
        train, test = (SETS[name](str(root), train=part, download=download) for part in (True, False))
    except RuntimeError as error:
        raise UserError(
            f"{name} is not (whole) in {root}: torchvision says '{error}'. Set data.root to the folder that holds "
            f"its extracted archive, or fetch it with --set data.download=true"
        ) from error
    except URLError as error:
        raise FailedError(
            f"{name} could not be fetched into {root}: {error}. Try again, or set data.root to the folder that holds "
            f"its extracted archive, without data.download."
        ) from error
    return _split(train), _split(test), tuple(train.classes)


def _split(source: datasets.CIFAR10) -> Split:
    images = torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous()
    return Split(images=images, labels=torch.tensor(source.targets, dtype=torch.int64))
