"""Logits of a teacher of 1,000 classes for the benchmark of encodings (tests/benchmarks/frontier.py).

    python tests/benchmarks/frontier_logits.py FOLDER --pictures PICTURES --weights lite0.pth

The teacher is EfficientNet-Lite0 (timm's `tf_efficientnet_lite0`, weights as timm names them), the pictures those of a
folder of classes (`train/<class>/*.png`, `test/<class>/*.png`) scaled to 224 pixels, the views resized crops (half of
the picture at least) and flips. FOLDER receives, 1,024 rows a file:

    trial-<first>.npy  [pictures, 1, 1000]   float32, one view of many pictures: what encodings are fitted to
    views-<first>.npy  [pictures, 16, 1000]  float32, all views of other pictures: what they are measured on

Files that are there are not made again, so the command may be stopped and started.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor

from kcd_pipeline.augmentation import ViewSource, build_augmentation
from kcd_pipeline.config import AugmentationConfig, parse_config
from kcd_pipeline.data import load_dataset

ROWS, BATCH = 1024, 64


def views_of(pictures: Path) -> ViewSource:
    """Return views of the training pictures below `pictures`, 224 pixels, as the teacher was trained on them."""
    half = [0.5] * 3
    data = {"name": "imagefolder", "root": str(pictures), "image_size": 224, "mean": half, "std": half}
    tree = {
        "data": {**data, "on_the_fly": True},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr"},
        "student": {"model": "resnet8"},
    }
    dataset = load_dataset(parse_config(tree, source="the benchmark").data)
    augmentation = build_augmentation(AugmentationConfig(name="resized-crop-flip"))
    return dataset.train_views(augmentation, torch.device("cpu"))


def teacher_of(weights: Path) -> Callable[[Tensor], Tensor]:
    """Return the teacher, frozen: it takes half the time so, and what replaces TorchScript needs a compiler."""
    model = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    model.load_state_dict(torch.load(weights, weights_only=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        frozen: Any = torch.jit.freeze(torch.jit.script(model.eval().to(memory_format=torch.channels_last)))
    return frozen


def write(file: Path, views: ViewSource, model: Callable[[Tensor], Tensor], samples: np.ndarray, count: int) -> None:
    """Write the logits of views `0 .. count-1` of `samples` to `file`, whole or not at all, unless it is there."""
    if file.exists():
        return
    batches = [samples[start : start + BATCH] for start in range(0, len(samples), BATCH)]
    with torch.inference_mode():
        rows = [torch.cat([model(images) for _, images in views.batches(batches, view)]) for view in range(count)]
    part = file.with_suffix(".part.npy")
    np.save(part, torch.stack(rows, dim=1).numpy())
    part.rename(file)
    print(file, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--trial", type=int, default=8192)
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--views", type=int, default=16)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    views, model = views_of(given.pictures), teacher_of(given.weights)
    order = np.random.default_rng(0).permutation(len(views))  # of all classes, in a fixed order
    for first in range(0, given.trial, ROWS):
        write(given.folder / f"trial-{first:05}.npy", views, model, order[::-1][first : first + ROWS], 1)
    for first in range(0, given.count, step := ROWS // given.views):
        write(given.folder / f"views-{first:05}.npy", views, model, order[first : first + step], given.views)


if __name__ == "__main__":
    main()
