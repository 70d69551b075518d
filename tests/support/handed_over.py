"""Files of weights as they are handed over, written without any training."""

from pathlib import Path
from typing import Any

import torch

from kcd_pipeline.config import StudentConfig
from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.models import build_model, save_weights
from kcd_pipeline.training.facts import weights_facts


def small_set(channels: int = 3, size: int = 8, **facts: Any) -> Dataset:
    """Return a data set of 6 random images of three classes."""
    pixels = torch.randint(0, 256, (6, channels, size, size), generator=torch.Generator().manual_seed(0))
    split = InMemorySplit(images=pixels.to(torch.uint8), labels=torch.arange(6) % 3)
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.25, 0.3)[:channels]
    return Dataset(name="six", classes=("a", "b", "c"), train=split, test=split, mean=mean, std=std, **facts)


def handed_over(folder: Path, dataset: Dataset, *, seed: int = 7, **changes: Any) -> Path:
    """Write the weights of an untrained resnet8, with the header that a run writes and `changes` to it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model("resnet8", channels=dataset.channels, classes=len(dataset.classes))
    facts = weights_facts(
        StudentConfig(model="resnet8"), dataset, method="kd", epochs=2, seed=7, store="s1", teacher="resnet20"
    )
    told = {key: value for key, value in (facts | changes).items() if value != "left out"}
    file = folder / "weights.safetensors"
    save_weights(file, model, told)
    return file
