"""A teacher and a student of your own, named `module:callable` in a recipe, from the weights to the comparison.

Command (all that it makes goes into FOLDER):

    python examples/own_models.py FOLDER

Output (numbers differ a little on other machines):

    the teacher: 98.6% of the test images
    the store: 4 views of 1437 images by own_models:teacher
    the student from labels alone: 94.2% of the test images
    the student from the store, condensed: 95.0% of the test images
"""

import argparse
from pathlib import Path

from torch import nn

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.distillation import distill
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.teacher import train_teacher


def teacher(channels: int, classes: int, width: int = 32) -> nn.Module:
    """Return a network of two convolutions: `images[B, channels, 8, 8]` to `logits[B, classes]`."""
    return nn.Sequential(
        *(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(8 * width, classes)),
    )


def student(channels: int, classes: int) -> nn.Module:
    """Return a network of one convolution: `images[B, channels, 8, 8]` to `logits[B, classes]`."""
    return nn.Sequential(
        *(nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64, classes)),
    )


def recipe(folder: Path, method: str) -> Config:
    """Return the shipped recipe `digits` with these models; `width` shows how a model gets arguments."""
    return load_config(
        "digits",
        [
            "teacher.model=own_models:teacher",
            "teacher.arguments={width: 24}",
            f"teacher.weights={folder / 'teacher.safetensors'}",
            "teacher.epochs=8",
            f"store.path={folder / 'store.zarr'}",
            "store.views=4",
            "student.model=own_models:student",
            f"distill.method={method}",
            "distill.epochs=8",
            "condense.interval=2",
            f"run.dir={folder / method}",
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Distil a student of your own from a teacher of your own.")
    parser.add_argument("folder", type=Path, help="where the weights, the store and the runs go")
    folder = parser.parse_args().folder

    trained = train_teacher(recipe(folder, "kcd"))
    print(f"the teacher: {trained.test_accuracy:.1%} of the test images")
    store = extract_teacher(recipe(folder, "kcd")).store
    layout, model = store.layout, store.made_from["teacher"]["model"]
    print(f"the store: {layout.views} views of {layout.samples} images by {model}")
    for method, source in (("none", "labels alone"), ("kcd", "the store, condensed")):
        accuracy = distill(recipe(folder, method)).summary["test_accuracy"]
        print(f"the student from {source}: {accuracy:.1%} of the test images")


if __name__ == "__main__":
    main()
