"""Data sets whose pictures are listed, with their labels, in CSV files."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.folders.listing import Listing
from kcd_pipeline.data.pictures import PictureSplits, load_pictures
from kcd_pipeline.data.pictures.text import read_text
from kcd_pipeline.data.pictures.unreadable import printable
from kcd_pipeline.data.sources.labels import settle_labels
from kcd_pipeline.data.sources.split_names import SPLIT_KEYS, require_apart, split_names
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
    """Return the data set whose training and test set are a CSV file each.

    Raises
    ------
    UserError
        If a file is missing or no such table, a picture that it names is missing or cannot be read, or a label of the
        test set is unknown.
    """
    tables = [read_table(config, name, key) for key, name in split_names(config, TRAIN, TEST).items()]
    require_apart({key: [table.file] for key, table in zip(SPLIT_KEYS, tables, strict=False)})
    labels, classes = settle_labels(
        [table.labels for table in tables],
        [table.where for table in tables],
        stated=None,
        given=config.classes,
        place=printable(tables[0].file),
    )
    listed = [_listed(config, table, of, classes) for table, of in zip(tables, labels, strict=True)]
    return load_pictures(config, PictureSplits.of(listed, classes))


def read_table(config: DataConfig, name: str, key: str) -> Table:
    """Read the columns of paths and labels of the file `name` below `data.root`, which the recipe names by `key`.

    Raises
    ------
    UserError
        If the file is missing, not UTF-8 or no CSV, has no such column, no row, or a row without a path or a label.
    """
    file = config.root / name
    if not file.is_file():
        raise UserError(
            f"there is no {printable(file)}, which should list images and their labels. Set data.root to the folder "
            f"that holds it, and {key} to its name."
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


def _listed(config: DataConfig, table: Table, labels: NDArray[np.int64], classes: tuple[str, ...]) -> Listing:
    """Return the pictures that `table` names, in its order.

    Raises
    ------
    UserError
        If one is missing.
    """
    there = (os.path.isfile(config.root / path) for path in table.paths)  # noqa: PTH113  # no error for a text that no file can be called
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
        classes=classes,
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
