"""Views a second of a pipeline, from JPEG files by W worker processes, beside torchvision's own transforms by as many.

    python tests/benchmarks/augmentation.py [--operations tinyvit] [--workers 2] [--pictures 512] [--turns 3]

Both read the same files of 500 x 375 pixels, cut out of scikit-learn's two photographs, and give normalised batches of
128 images of 224 x 224. torchvision has its v2 transforms of the same kind (RandomResizedCrop, RandomHorizontalFlip,
RandAugment, RandomErasing) on pictures of Pillow, by a DataLoader whose workers normalise. The workers of both are
started before they are timed; both take turns, and the fastest of their turns counts. `load` is what the machine was
doing, this benchmark included. One line of JSON.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.config import AugmentationConfig, parse_config
from kcd_pipeline.data import load_dataset

SIZE, BATCH = 224, 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Write `count` JPEG files as a data set of two classes; return those of the training set."""
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    random, written = np.random.default_rng(0), []
    for number in range(count):
        picture = photographs[number % 2]
        left, top = (int(random.integers(0, room + 1)) for room in (picture.width - 500, picture.height - 375))
        place = folder / "train" / "ab"[number % 2] / f"{number:05}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture.crop((left, top, left + 500, top + 375)).save(place, quality=90)
        written.append(place)
    for name in "ab":
        (folder / "val" / name).mkdir(parents=True)
        photographs[0].save(folder / "val" / name / "0.jpg")
    return sorted(written)


class Transformed(Dataset[Any]):
    """Files as torchvision's transforms give them."""

    def __init__(self, files: list[Path], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self._files, self._transform = files, transform

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> torch.Tensor:
        with Image.open(self._files[number]) as picture:
            return self._transform(picture.convert("RGB"))


def torchvisions(files: list[Path], workers: int) -> Callable[[int], None]:
    """Return a pass over all files by torchvision's transforms."""
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE),
            v2.RandomHorizontalFlip(),
            v2.RandAugment(num_ops=2, magnitude=9),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
            v2.RandomErasing(p=0.25, value="random"),
        ]
    )
    loader = DataLoader(
        Transformed(files, transform), batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0
    )

    def once(view: int) -> None:
        for batch in loader:
            assert batch.shape[1:] == (3, SIZE, SIZE)

    return once


def ours(folder: Path, operations: Any, workers: int) -> Callable[[int], None]:
    """Return a pass over all files by a pipeline of `operations`."""
    tree = {
        "data": {"name": "imagenet", "root": str(folder), "workers": workers},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr"},
        "student": {"model": "resnet8"},
    }
    dataset = load_dataset(parse_config(tree, source="the benchmark").data)
    config = AugmentationConfig.model_validate({"name": "pipeline", "operations": operations})
    views = dataset.train_views(build_augmentation(config), torch.device("cpu"))
    index = [np.arange(start, min(start + BATCH, len(views))) for start in range(0, len(views), BATCH)]

    def once(view: int) -> None:
        for _, batch in views.batches(index, view):
            assert batch.shape[1:] == (3, SIZE, SIZE)

    return once


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", default="tinyvit")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write_pictures(Path(folder), given.pictures)
        passes = {
            "ours": ours(Path(folder), given.operations, given.workers),
            "torchvision": torchvisions(files, given.workers),
        }
        fastest = dict.fromkeys(passes, float("inf"))
        for turn in range(given.turns + 1):
            for name, once in passes.items():
                started = time.perf_counter()
                once(turn)
                if turn:  # the first one starts the workers
                    fastest[name] = min(fastest[name], time.perf_counter() - started)
    rates = {f"{name}_rows_per_second": round(given.pictures / seconds, 1) for name, seconds in fastest.items()}
    facts = {"operations": given.operations, "workers": given.workers, "load": round(os.getloadavg()[0], 1)}
    ratio = round(fastest["torchvision"] / fastest["ours"], 3)
    print(json.dumps({"benchmark": "augmentation", "ratio": ratio, "wanted": ">= 0.9", **rates, **facts}))


if __name__ == "__main__":
    main()
