"""Images and augmentations on which waits for a device are looked for, and the mode in which torch refuses them."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kcd_pipeline.augmentation import Augmentation, build_augmentation
from kcd_pipeline.augmentation.operations import OPERATIONS
from kcd_pipeline.config import AugmentationConfig
from kcd_pipeline.data import Dataset, InMemorySplit

N, CLASSES = 48, 5
WAITING = (
    torch.ops.aten._local_scalar_dense,  # .item(), float(), bool(), .tolist()
    torch.ops.aten.nonzero,  # and with it where(mask), x[mask]
    torch.ops.aten.masked_select,
    torch.ops.aten._unique2,
    torch.ops.aten.equal,
)


class RefuseToWait(TorchDispatchMode):
    """Fails on every operation whose result the host must wait for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket not in WAITING, f"{func} waits for the device"
        if func.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_):
            assert not any(i is not None and i.dtype == torch.bool for i in args[1]), "a mask's count must be known"
        return func(*args, **(kwargs or {}))


EACH: list[dict[str, Any]] = [  # operations of a pipeline
    *({"name": name} for name in OPERATIONS),
    {"name": "erasing", "value": "noise"},
    {"name": "randaugment", "number": 4, "increasing": True, "interpolation": "bilinear"},
    {"name": "color-jitter", "hue": 0.5},
]


def named_augmentation(name: str) -> Augmentation:
    """Return an augmentation with its defaults, of a pipeline with every operation."""
    operations = EACH if name == "pipeline" else []
    return build_augmentation(AugmentationConfig.model_validate({"name": name, "operations": operations}))


def dataset() -> Dataset:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (N, 3, 16, 16), generator=random, dtype=torch.uint8)
    split = InMemorySplit(images=images, labels=torch.arange(N) % CLASSES)
    names = tuple("abcde")
    return Dataset(name="made-up", classes=names, train=split, test=split, mean=(0.5,) * 3, std=(0.2,) * 3)
