"""A small data set of photographs in the forms that data comes in: folders, a Hugging Face folder, parquet."""

from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_sample_images

CLASSES = ("china", "flower")
EACH = 4  # pictures of each class and split


def cuttings(seed: int) -> Iterator[tuple[str, Image.Image]]:
    """Yield pieces of scikit-learn's two photographs, 40 to 70 pixels a side, with the names of their classes."""
    random = np.random.default_rng(seed)
    for name, pixels in zip(CLASSES, load_sample_images().images, strict=True):
        for _ in range(EACH):
            height, width = random.integers(40, 71, 2)
            top, left = random.integers(0, 427 - height), random.integers(0, 640 - width)
            yield name, Image.fromarray(pixels[top : top + height, left : left + width])


def save_folders(root: Path) -> Path:
    """Save them as `root/train/<class>/*.jpg` and `root/test/<class>/*.jpg`."""
    for split, seed in (("train", 0), ("test", 1)):
        for number, (name, picture) in enumerate(cuttings(seed)):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{number:02d}.jpg", quality=95)
    return root


def rows_of(folders: Path, split: str) -> list[tuple[bytes, int]]:
    """Return the bytes and the label of each file, in the order of `imagefolder`."""
    return [(file.read_bytes(), CLASSES.index(file.parent.name)) for file in sorted((folders / split).rglob("*.jpg"))]


def hugging_face(folders: Path) -> datasets.DatasetDict:
    """Return them as a DatasetDict with the columns `image` and `label`."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {
                    "image": [{"bytes": content, "path": None} for content, _ in rows_of(folders, split)],
                    "label": [label for _, label in rows_of(folders, split)],
                },
                features=features,
            )
            for split in ("train", "test")
        }
    )


def save_parquet(folders: Path, root: Path) -> Path:
    """Save them as plain bytes and names of classes, in two files for the training set and row groups of three."""
    root.mkdir()
    for split in ("train", "test"):
        rows = rows_of(folders, split)
        parts = {f"{split}-0": rows[:5], f"{split}-1": rows[5:]} if split == "train" else {split: rows}
        for name, part in parts.items():
            table = pa.table({"jpg": [content for content, _ in part], "class": [CLASSES[label] for _, label in part]})
            pq.write_table(table, root / f"{name}.parquet", row_group_size=3)
    return root
