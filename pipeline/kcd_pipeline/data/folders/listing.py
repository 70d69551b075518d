"""Lists of the picture files of a split, in order and with their labels; no picture is opened."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.data.folders.annotations import ANNOTATIONS, read_annotations
from kcd_pipeline.data.folders.walk import UNNAMED, Skipped, class_folders, pictures_below
from kcd_pipeline.data.pictures.stamps import stamp_of
from kcd_pipeline.data.pictures.unreadable import cannot_be_read, printable
from kcd_pipeline.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class Listing:
    """The files of one split below `root`, class by class and by name within a class.

    Attributes
    ----------
    paths
        `[N]` bytes as the file system has them, relative to `root`. One block of memory, which forked processes share.
    labels
        `[N]` int64, places in `classes`.
    skipped
        What was passed over, in words; empty if nothing was.
    """

    root: Path
    paths: NDArray[np.bytes_]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    skipped: str = ""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def place(self) -> str:
        """The folder, for messages."""
        return printable(self.root)

    def open(self, sample: int) -> Path:
        """Return the file of `sample`."""
        return self.root / os.fsdecode(self.paths[sample])

    def name(self, sample: int) -> str:
        """Return the path of the file of `sample`, for messages."""
        return printable(self.open(sample))

    def subset(self, samples: NDArray[np.int64]) -> "Listing":
        """Return the files of `samples[K]`, in that order."""
        return replace(self, paths=self.paths[samples], labels=self.labels[samples])

    def stamp(self) -> bytes:
        """Return a SHA-256 over path, size and times of change of each file.

        Raises
        ------
        UserError
            If a file is gone, or in a folder that may not be read.
        """
        # as text: a Path for each of a million files takes longer than to look at them
        below = os.path.join(self.root, "")  # noqa: PTH118  # a Path has no separator at its end
        return stamp_of(self.root.resolve(), (below + os.fsdecode(path) for path in self.paths.tolist()))


def list_splits(root: Path, test_folders: Sequence[str]) -> tuple[Listing, Listing]:
    """List `root/train` and the first of `test_folders` below `root` that holds anything.

    Raises
    ------
    UserError
        If a folder is missing or cannot be read, the test images are not sorted into folders of classes, or the two
        splits have different classes.
    """
    _holds_anything(root)  # if it may not be read, it is the one to name
    test_root = next((root / name for name in test_folders if _holds_anything(root / name)), None)
    if not _holds_anything(root / "train") or test_root is None:
        raise UserError(
            f"{printable(root.resolve())} is not an image folder: expected train/<class>/*.png (or jpg, ...) and the "
            f"same below {'/ or '.join(test_folders)}/. Set data.root to the folder that holds both."
        )
    if test_root.samefile(root / "train"):
        raise UserError(
            f"{printable(test_root)} holds the training images. Set data.test_folder to a folder of other images: of "
            f"those that a student was trained on, its accuracy says little."
        )
    train = list_folder(root / "train")
    return train, _list_other(test_root, train, key="data.test_folder", split="test")


def list_validation(folder: Path, train: Listing, test: Listing) -> Listing:
    """List the validation images in `folder`, laid out as the test images may be.

    Raises
    ------
    UserError
        If the folder is missing or cannot be read, holds the images of another split, or has other classes.
    """
    if not _holds_anything(folder):
        raise UserError(
            f"data.validation: there is nothing in {printable(folder.resolve())}. Name the folder below data.root that "
            f"holds validation images, or set it to the fraction of the training images to be held out, such as 0.1."
        )
    for split, listing in (("training", train), ("test", test)):
        if folder.samefile(listing.root):
            raise UserError(
                f"{printable(folder)} holds the {split} images, so data.validation cannot be this folder: the best "
                f"epoch is to be chosen by images that nothing else uses. Name another folder, or set data.test_folder "
                f"if this one is not the test set."
            )
    return _list_other(folder, train, key="data.validation", split="validation")


def _list_other(root: Path, train: Listing, *, key: str, split: str) -> Listing:
    """List the images of a split beside the training set, which the recipe names by `key`.

    Raises
    ------
    UserError
        If they are not sorted into folders of classes, or into others than those of `train`.
    """
    if (root / ANNOTATIONS).is_file():
        return list_annotated(root, train.classes)
    if not class_folders(root, Skipped()):
        raise UserError(
            f"{printable(root)} holds files and no folders of classes: sort its images into {root.name}/<class>/, as "
            f"train/ has them, or set {key} to the folder that holds the labelled {split} images."
        )
    listing = list_folder(root)
    if train.classes != listing.classes:
        only = sorted(set(train.classes) ^ set(listing.classes))
        raise UserError(
            f"{printable(root.parent)}: train and {root.name} must hold the same classes; only in one: "
            f"{', '.join(only)}"
        )
    return listing


def _holds_anything(folder: Path) -> bool:
    """Return whether `folder` is there and holds anything that is not hidden."""
    try:
        return any(not entry.name.startswith(".") for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise cannot_be_read(folder, error) from error


def list_folder(root: Path) -> Listing:
    """List `root/<class>/.../*.png` (or jpg, ...) in the order of torchvision's ImageFolder.

    Raises
    ------
    UserError
        If a folder cannot be read, there is no class, a class has no pictures, or its name is not UTF-8.
    """
    skipped = Skipped()
    classes = class_folders(root, skipped)
    if not classes:
        raise UserError(f"{printable(root)} holds no folders of classes: sort its images into {root.name}/<class>/.")
    paths, labels = [], []
    for label, name in enumerate(classes):
        _require_utf8(root / name)
        pictures = pictures_below(root / name, skipped)
        if not pictures:
            raise UserError(
                f"{root / name} holds no picture, but its folder makes it a class. Add its pictures or remove the "
                f"folder." + (f" Not taken as pictures below {root}: {skipped}." if str(skipped) else "")
            )
        paths += [f"{name}/{picture}" for picture in pictures]
        labels += [label] * len(pictures)
    return _listing(root, paths, labels, classes, skipped)


def list_annotated(root: Path, classes: Sequence[str]) -> Listing:
    """List `root/images/*` by the classes that `root/val_annotations.txt` gives them, as in Tiny-ImageNet's `val`.

    Raises
    ------
    UserError
        If a folder cannot be read, or the annotations are damaged or name a file that is missing.
    """
    rows = read_annotations(root, classes)
    skipped = Skipped()
    there = set(pictures_below(root / "images", skipped))
    missing = next((name for name, _ in rows if name not in there), None)
    if missing is not None:
        raise UserError(
            f"{printable(root / ANNOTATIONS)} names images/{missing}, which is not in {printable(root)}. Extract the "
            f"archive again."
        )
    for name in sorted(there - {name for name, _ in rows}):
        skipped.add(UNNAMED, name)
    return _listing(root, [f"images/{name}" for name, _ in rows], [label for _, label in rows], classes, skipped)


def _require_utf8(folder: Path) -> None:
    """Raise UserError if the name of a class is one that neither a store nor a page can hold."""
    try:
        folder.name.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"the name of the folder {printable(folder)} is not UTF-8, but it names a class. Rename the folder."
        ) from error


def _listing(root: Path, paths: list[str], labels: list[int], classes: Sequence[str], skipped: Skipped) -> Listing:
    return Listing(
        root=root,
        paths=np.array([os.fsencode(path) for path in paths]),
        labels=np.array(labels, np.int64),
        classes=tuple(classes),
        skipped=str(skipped),
    )
