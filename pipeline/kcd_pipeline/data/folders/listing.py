"""Lists of the picture files of a split, in order and with their labels; no picture is opened."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torchvision.datasets import ImageFolder

from kcd_pipeline.data.split import first_of_each_label
from kcd_pipeline.errors import UserError

ANNOTATIONS = "val_annotations.txt"  # Tiny-ImageNet: file name, tab, class, tab, box


@dataclass(frozen=True, kw_only=True, eq=False)
class Listing:
    """The files of one split below `root`, class by class and by name within a class.

    Attributes
    ----------
    paths
        `[N]` bytes, relative to `root`. One block of memory, which forked processes share.
    labels
        `[N]` int64, places in `classes`.
    """

    root: Path
    paths: NDArray[np.bytes_]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, sample: int) -> Path:
        """Return the file of `sample`."""
        return self.root / self.paths[sample].decode()

    def first_per_class(self, count: int) -> "Listing":
        """Return the first `count` files of each class, in the same order."""
        return self.subset(first_of_each_label(self.labels, count))

    def subset(self, samples: NDArray[np.int64]) -> "Listing":
        """Return the files of `samples[K]`, in that order."""
        return Listing(root=self.root, paths=self.paths[samples], labels=self.labels[samples], classes=self.classes)


def list_splits(root: Path, test_folders: Sequence[str]) -> tuple[Listing, Listing]:
    """List `root/train` and the first of `test_folders` below `root` that holds anything.

    Raises
    ------
    UserError
        If a folder is missing, the test images are not sorted into folders of classes, or the two splits have
        different classes.
    """
    test_root = next((root / name for name in test_folders if _holds_anything(root / name)), None)
    if not (root / "train").is_dir() or test_root is None:
        raise UserError(
            f"{root.resolve()} is not an image folder: expected train/<class>/*.png (or jpg, ...) and the same below "
            f"{'/ or '.join(test_folders)}/. Set data.root to the folder that holds both."
        )
    train = list_folder(root / "train")
    if (test_root / ANNOTATIONS).is_file():
        return train, list_annotated(test_root, train.classes)
    if not any(entry.is_dir() for entry in test_root.iterdir()):
        raise UserError(
            f"{test_root} holds files and no folders of classes: sort its images into {test_root.name}/<class>/, as "
            f"train/ has them."
        )
    test = list_folder(test_root)
    if train.classes != test.classes:
        only = sorted(set(train.classes) ^ set(test.classes))
        raise UserError(
            f"{root}: train and {test_root.name} must hold the same classes; only in one: {', '.join(only)}"
        )
    return train, test


def _holds_anything(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def list_folder(root: Path) -> Listing:
    """List `root/<class>/.../*.png` (or jpg, ...) as torchvision's ImageFolder does.

    Raises
    ------
    UserError
        If there is no class, or a class has no pictures.
    """
    try:
        folder = ImageFolder(str(root))
    except FileNotFoundError as error:
        raise UserError(f"{root}: {error}") from error
    paths = [str(Path(path).relative_to(root)) for path, _ in folder.samples]
    return _listing(root, paths, folder.targets, folder.classes)


def list_annotated(root: Path, classes: Sequence[str]) -> Listing:
    """List `root/images/*` by the classes that `root/val_annotations.txt` gives them, as in Tiny-ImageNet's `val`.

    Raises
    ------
    UserError
        If the annotations are empty, name a file that is missing, or name a class that is not one of `classes`.
    """
    annotations = root / ANNOTATIONS
    with annotations.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if len(row) >= 2]
    unknown = sorted({row[1] for row in rows} - set(classes))
    if unknown or not rows:
        found = f"{len(unknown)} classes that train/ has not ({', '.join(unknown[:4])})" if unknown else "no line"
        raise UserError(f"{annotations}: found {found}, expected a file name, a tab and a class of train/ in each line")
    labels = [classes.index(row[1]) for row in rows]
    order = sorted(range(len(rows)), key=lambda row: (labels[row], rows[row][0]))
    paths = [f"images/{rows[row][0]}" for row in order]
    missing = next((path for path in paths if not (root / path).is_file()), None)
    if missing is not None:
        raise UserError(f"{annotations} names {missing}, which is not in {root}. Extract the archive again.")
    return _listing(root, paths, [labels[row] for row in order], classes)


def _listing(root: Path, paths: list[str], labels: list[int], classes: Sequence[str]) -> Listing:
    return Listing(
        root=root,
        paths=np.array([path.encode() for path in paths]),
        labels=np.array(labels, np.int64),
        classes=tuple(classes),
    )
