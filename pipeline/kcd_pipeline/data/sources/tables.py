"""Tables with a column of encoded pictures and a column of labels: what Arrow's readers of both kinds share.

Letters: N samples, K chosen samples.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.pictures import PictureFile, PictureSplits
from kcd_pipeline.data.pictures.stamps import stamp_of
from kcd_pipeline.data.pictures.unreadable import printable
from kcd_pipeline.data.sources.labels import settle_labels
from kcd_pipeline.errors import UserError

IMAGE_NAMES = ("image", "img", "jpg", "png")  # columns that are taken where several hold pictures
LABEL_NAMES = ("label", "labels", "cls", "class")
TEST_NAMES = ("test", "validation", "valid", "val")  # splits, the first of which that is there is the test set


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table that are read, and the names of the classes if the table has them."""

    image: str
    label: str
    class_names: tuple[str, ...] | None = None


class Rows(Protocol):
    """The pictures of a table, by row; picklable, and safe to read after a fork."""

    @property
    def place(self) -> str:
        """How messages call the table."""
        ...

    @property
    def files(self) -> Sequence[Path] | None:
        """Files that hold all of the pictures; None if some lie elsewhere, or nobody knows where."""
        ...

    @property
    def folder(self) -> Path:
        """The folder that paths in the table are relative to."""
        ...

    def cell(self, row: int) -> Any:
        """Return the picture of a row as the table has it: bytes, or a mapping with `bytes` and `path`.

        Raises
        ------
        UserError
            If the table is damaged.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class TableSource:
    """A `PictureSource` of the rows `samples[N]` of a table, with `labels[N]`, both int64."""

    rows: Rows
    labels: NDArray[np.int64]
    samples: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def place(self) -> str:
        """How messages call the table."""
        return self.rows.place

    def open(self, sample: int) -> PictureFile:
        """Return the picture of `sample`: its bytes, or its path if the table has only that.

        Raises
        ------
        UserError
            If the table is damaged, or its row has no picture.
        """
        cell = self.rows.cell(int(self.samples[sample]))
        content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, Mapping) else (cell, None)
        if content is not None:
            return BytesIO(content)
        if not path:
            raise UserError(
                f"{self.name(sample)} has no picture: it holds neither bytes nor a path. Take the row out of the table."
            )
        return self.rows.folder / path

    def name(self, sample: int) -> str:
        """Return how messages call the picture: its row, counted from 0, and the table."""
        return row_name(self.rows, int(self.samples[sample]))

    def subset(self, samples: NDArray[np.int64]) -> "TableSource":
        """Return the pictures of `samples[K]`, in that order."""
        return replace(self, labels=self.labels[samples], samples=self.samples[samples])

    def stamp(self) -> bytes | None:
        """Return a stamp of the table's files and the chosen rows; None if pictures lie outside of them."""
        files = self.rows.files
        return None if files is None else stamp_of(self.rows.folder.resolve(), files) + self.samples.tobytes()


def asked_splits(config: DataConfig) -> dict[str, tuple[str | None, Sequence[str]]]:
    """Return, by the key that names it, the name that the recipe gives a split and those that are usual."""
    asked: dict[str, tuple[str | None, Sequence[str]]] = {
        "train": (config.train, ("train",)),
        "test": (config.test, TEST_NAMES),
    }
    return asked | ({"validation": (config.validation, ())} if isinstance(config.validation, str) else {})


def row_name(rows: Rows, row: int) -> str:
    """Return how messages call a row, counted from 0."""
    return f"row {row} of {rows.place}"


def choose_column(asked: str | None, key: str, fitting: Sequence[str], usual: Sequence[str], place: str) -> str:
    """Return the column to read.

    Parameters
    ----------
    asked
        The recipe's choice.
    key
        The key that makes it.
    fitting
        Columns of the right type.
    usual
        Names that decide where several fit.

    Raises
    ------
    UserError
        If the one that is asked for does not fit, or none or several do.
    """
    names = ", ".join(fitting) or "none"
    if asked is not None:
        if asked not in fitting:
            raise UserError(
                f"{place} has no column '{asked}' of the right type for data.{key}. Those that fit: {names}."
            )
        return asked
    if len(fitting) == 1:
        return fitting[0]
    known = [name for name in usual if name in fitting]
    if not known:
        raise UserError(f"{place}: set data.{key} to the column to read. Those that fit: {names}.")
    return known[0]


def table_splits(
    config: DataConfig,
    tables: Sequence[Rows],
    values: Sequence[Sequence[Any]],
    class_names: Sequence[str] | None,
) -> PictureSplits:
    """Return the sources of the training, the test and perhaps a validation table, whose labels are `values`.

    Raises
    ------
    UserError
        If a label is missing, or has no class.
    """
    for rows, of in zip(tables, values, strict=True):
        if not len(of):
            raise UserError(f"{rows.place} is empty. Expected at least one row.")
        missing = next((row for row, value in enumerate(of) if value is None), None)
        if missing is not None:
            raise UserError(f"{row_name(rows, missing)} has no label. Take it out of the table, or give it one.")
    labels, classes = settle_labels(
        [list(map(str, of)) for of in values],
        [partial(row_name, rows) for rows in tables],
        stated=class_names,
        given=config.classes,
        place=f"{config.name} in {printable(tables[0].folder)}",
    )
    sources = [
        TableSource(rows=rows, labels=of, samples=np.arange(len(of))) for rows, of in zip(tables, labels, strict=True)
    ]
    return PictureSplits.of(sources, classes)


def require_library(library: str, name: str) -> None:
    """Raise UserError if `library`, which the data set `name` needs, is not installed."""
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise UserError(
            f"data.name: {name} needs the library {library}, which an extra installs. In the checkout of kcd-pipeline: "
            f'pip install -e ".[data]"'
        ) from error
