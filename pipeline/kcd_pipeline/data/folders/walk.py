"""Finding picture files below a folder: nothing is passed over without being counted, and no folder fails unnoticed."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from kcd_pipeline.data.pictures.picture import ENDINGS
from kcd_pipeline.data.pictures.unreadable import cannot_be_read, printable

# of unpacked archives (macOS), of disks (Linux), and thumbnails (Synology)
FOREIGN_FOLDERS = ("__MACOSX", "lost+found", "@eaDir")

HIDDEN = "hidden"
FOREIGN = "folders of the system"
NO_PICTURE = "with the ending of no picture"
OUTSIDE = "beside the folders of classes"
LOOP = "links to a folder that they lie in"
SPECIAL = "neither files nor folders"
UNNAMED = "that the annotations do not name"


class Skipped:
    """Counts of all that a listing passes over, by reason, with an example of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, reason: str, path: str | Path) -> None:
        """Count `path`."""
        self._counts[reason] += 1
        self._examples.setdefault(reason, printable(Path(path).name))

    def __str__(self) -> str:
        """Return the counts as words, empty if nothing was passed over."""
        return ", ".join(
            f"{count:,} {reason} ({self._examples[reason]}{', ...' if count > 1 else ''})"
            for reason, count in self._counts.items()
        )


def class_folders(root: Path, skipped: Skipped) -> list[str]:
    """Return the names of the folders in `root` that are classes, in order.

    Raises
    ------
    UserError
        If `root` cannot be read.
    """
    names = []
    for entry in _visible(root, skipped):
        if _is_folder(entry):
            names.append(entry.name)
        else:
            skipped.add(OUTSIDE, entry.path)
    return sorted(names)


def pictures_below(folder: Path, skipped: Skipped) -> list[str]:
    """Return the picture files in `folder` and all folders below it, relative to it.

    They are in the order of torchvision's ImageFolder: by folder, then by name. Links are followed.

    Raises
    ------
    UserError
        If a folder cannot be read, or a picture is a link to nothing.
    """
    found: dict[str, list[str]] = {}
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while pending:
        place, above = pending.pop()
        here = folder / place
        above |= {_identity(here)}
        for entry in _visible(here, skipped):
            if _is_folder(entry):
                if _identity(here / entry.name) in above:
                    skipped.add(LOOP, entry.path)
                else:
                    pending.append((f"{place}{entry.name}/", above))
            elif not entry.name.lower().endswith(ENDINGS):
                skipped.add(NO_PICTURE, entry.path)
            elif _is_file(entry):
                found.setdefault(place, []).append(entry.name)
            else:
                skipped.add(SPECIAL, entry.path)
    in_order = sorted(found, key=lambda place: place.removesuffix("/"))
    return [place + name for place in in_order for name in sorted(found[place])]


def _visible(folder: Path, skipped: Skipped) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of `folder` but for those that are nobody's pictures, which are counted."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise cannot_be_read(folder, error) from error
    for entry in entries:
        if entry.name.startswith("."):
            skipped.add(HIDDEN, entry.path)
        elif entry.name in FOREIGN_FOLDERS:
            skipped.add(FOREIGN, entry.path)
        else:
            yield entry


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise cannot_be_read(folder, error) from error
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # of a link into a folder that may not be read, or of a link to itself
        raise cannot_be_read(entry.path, error) from error


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether `entry` is a file.

    Raises
    ------
    UserError
        If it is a link to nothing.
    """
    try:
        if entry.is_symlink():
            entry.stat()  # fails for a link to nothing, of which is_file() only says that it is none
        return entry.is_file()
    except OSError as error:
        raise cannot_be_read(entry.path, error) from error
