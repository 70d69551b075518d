"""Data sets whose pictures are listed, with their labels, in CSV files."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.folders.listing import Listing
from kcd_pipeline.data.pictures import PictureSplits, load_pictures
from kcd_pipeline.data.pictures.text import read_text
from kcd_pipeline.data.pictures.unreadable import printable
from kcd_pipeline.data.sources.labels import class_names, label_places, say_if_a_class_is_empty
from kcd_pipeline.data.sources.patterns import named_splits
from kcd_pipeline.errors import UserError

TRAIN, TEST = "train.csv", "test.csv"  # below data.root, where the recipe does not say
PATHS, LABELS = "path", "label"  # columns


@dataclass(frozen=True, kw_only=True)
class Table:
    """Two columns of a CSV file.

    Attributes
    ----------
    paths, labels
        `[N]` texts.
    lines
        `[N]` numbers of the lines in which the rows end.
    """

    file: Path
    paths: Sequence[str]
    labels: Sequence[str]
    lines: Sequence[int]

    def where(self, row: int) -> str:
        """Return how messages call a row."""
        return f"{printable(self.file)}, line {self.lines[row]}"


def load_csv(config: DataConfig) -> Dataset:
    """Return the data set whose training set, test set and perhaps validation set are a CSV file each.

    Raises
    ------
    UserError
        If a file is missing or no such table, a picture that it names is missing or cannot be read, or a label of the
        test set is unknown.
    """
    names = named_splits(config, TRAIN, TEST)
    tables = {key: read_table(config, name) for key, name in names.items()}
    for one, other in combinations(names, 2):
        if tables[one].file.samefile(tables[other].file):
            raise UserError(
                f"{printable(tables[other].file)} is both data.{one} and data.{other}. Name a table of other images as "
                f"data.{other}: of those that a student was trained on or chosen by, its accuracy says little."
            )
    train = tables["train"]
    classes = class_names(set(train.labels), config.classes, printable(train.file))
    listed = [list_table(config, table, classes) for table in tables.values()]
    say_if_a_class_is_empty(listed[0].labels, classes, printable(train.file))
    return load_pictures(config, PictureSplits.of(listed, classes))


def read_table(config: DataConfig, name: str) -> Table:
    """Read the columns of paths and labels of the file `name` below `data.root`.

    Raises
    ------
    UserError
        If the file is missing, not UTF-8 or no CSV, has no such column, no row, or a row without a path or a label.
    """
    file = config.root / name
    if not file.is_file():
        raise UserError(
            f"there is no {printable(file)}, which should list images and their labels. Set data.root to the folder "
            f"that holds it, and data.train and data.test to the names of both tables."
        )
    columns = (config.image_column or PATHS, config.label_column or LABELS)
    rows = _rows(file)
    try:
        _, header = next(rows, (0, []))
        at = [_column(file, header, *named) for named in zip(columns, ("image_column", "label_column"), strict=True)]
        found = [
            (line, *_cells(file, line, row, header, at)) for line, row in rows if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise UserError(f"{printable(file)} is no table in CSV: {error}. Save it anew.") from error
    if not found:
        raise UserError(f"{printable(file)} has no row below its header. Add the images.")
    lines, paths, labels = zip(*found, strict=True)
    return Table(file=file, paths=paths, labels=labels, lines=lines)


def list_table(config: DataConfig, table: Table, classes: Sequence[str]) -> Listing:
    """Return the pictures that `table` names, in its order, with their places in `classes`.

    Raises
    ------
    UserError
        If a picture is missing, or a label is unknown.
    """
    labels = label_places(table.labels, classes, numbered=config.classes is not None, where=table.where)
    # os.path's is False, and no error, for a text that no file can be called by
    there = (os.path.isfile(config.root / path) for path in table.paths)  # noqa: PTH113
    missing = [row for row, found in enumerate(there) if not found]
    if missing:
        raise UserError(
            f"{table.where(missing[0])}: there is no file {printable(config.root / table.paths[missing[0]])} "
            f"({len(missing):,} of {len(table.paths):,} are missing). Paths count from data.root: set it to the folder "
            f"that they count from, or correct them."
        )
    return Listing(
        root=config.root,
        paths=np.array([os.fsencode(path) for path in table.paths]),
        labels=labels,
        classes=tuple(classes),
    )


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line in which each row ends, and its cells."""
    reader = csv.reader(
        io.StringIO(read_text(file), newline=""),
        delimiter="\t" if file.suffix.lower() == ".tsv" else ",",
        skipinitialspace=True,
        strict=True,
    )
    for row in reader:
        yield reader.line_num, row


def _column(file: Path, header: Sequence[str], name: str, key: str) -> int:
    names = [cell.strip() for cell in header]
    if names.count(name) != 1:
        found = f"{names.count(name) or 'no'} columns called {name!r} among {len(names)} ({', '.join(names)[:200]})"
        raise UserError(
            f"{printable(file)}: found {found}, expected one. Its first line must hold the names of the columns, with "
            f"commas between them (tabs in a .tsv). Set data.{key} to the name of the column."
        )
    return names.index(name)


def _cells(file: Path, line: int, row: Sequence[str], header: Sequence[str], at: Sequence[int]) -> tuple[str, ...]:
    cells = tuple(row[k].strip() for k in at) if len(row) == len(header) else ()
    if not cells or not all(cells) or "\0" in cells[0]:
        wrong = f"{len(row)} cells where the header has {len(header)}" if not cells else "no path or no label"
        raise UserError(f"{printable(file)}, line {line}: found {wrong}. Complete or remove the line.")
    return cells
