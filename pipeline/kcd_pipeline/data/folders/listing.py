"""Which picture files a split has, in which order, and what they are of; nothing is opened."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torchvision.datasets import ImageFolder

from kcd_pipeline.data.dataset import first_of_each
from kcd_pipeline.errors import UserError

ANNOTATIONS = "val_annotations.txt"  # Tiny-ImageNet: file name, tab, class, tab, box


@dataclass(frozen=True, kw_only=True, eq=False)
class Listing:
    """The files of one split below `root`, class by class and by name: `paths[N]` bytes, `labels[N]` int64."""

    root: Path
    paths: NDArray[np.bytes_]  # one block of memory, which processes that are forked off share
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, sample: int) -> Path:
        """Where the picture of `sample` lies."""
        return self.root / self.paths[sample].decode()

    def limited(self, per_class: int) -> "Listing":
        """The first `per_class` of each class."""
        return self.chosen(first_of_each(self.labels, per_class))

    def chosen(self, samples: NDArray[np.int64]) -> "Listing":
        """The files of `samples[K]` alone, in that order."""
        return Listing(root=self.root, paths=self.paths[samples], labels=self.labels[samples], classes=self.classes)


def list_folder(root: Path) -> Listing:
    """`root/<class>/.../*.png` (or jpg, ...), as torchvision's ImageFolder lists them.

    Raises
    ------
    UserError
        If there is no class, or one without pictures.
    """
    try:
        folder = ImageFolder(str(root))
    except FileNotFoundError as error:
        raise UserError(f"{root}: {error}") from error
    return _listing(
        root, [str(Path(path).relative_to(root)) for path, _ in folder.samples], folder.targets, folder.classes
    )


def list_annotated(root: Path, classes: tuple[str, ...]) -> Listing:
    """`root/images/*` with the class of each in `root/val_annotations.txt`, as Tiny-ImageNet has its `val`.

    Raises
    ------
    UserError
        If a file that is annotated is not there, or a class is not one of `classes`.
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


def _listing(root: Path, paths: list[str], labels: list[int], classes: list[str] | tuple[str, ...]) -> Listing:
    return Listing(
        root=root,
        paths=np.array([path.encode() for path in paths]),
        labels=np.array(labels, np.int64),
        classes=tuple(classes),
    )
