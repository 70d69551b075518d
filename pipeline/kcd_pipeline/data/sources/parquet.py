"""Data sets in parquet files: encoded pictures in a column, as Hugging Face writes them or as plain bytes.

A row is addressed by its row group, which is read as a whole.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import combinations
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.pictures import load_pictures
from kcd_pipeline.data.pictures.unreadable import cannot_be_read, printable
from kcd_pipeline.data.sources.patterns import files_of
from kcd_pipeline.data.sources.tables import (
    IMAGE_NAMES,
    LABEL_NAMES,
    Columns,
    asked_splits,
    choose_column,
    require_library,
    table_splits,
)
from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import say
from kcd_stores.sizes import human_bytes

GROUPS_HELD = 4  # row groups that a process keeps: threads that decode neighbours share one
LARGE_GROUP = 64 * 2**20  # bytes: to read so much for a picture takes longer than to decode it


def load_parquet(config: DataConfig) -> Dataset:
    """Return the data set of the parquet files below `data.root`.

    Raises
    ------
    UserError
        If pyarrow is missing, no file is there, one is damaged, or a column is missing or ambiguous.
    """
    require_library("pyarrow", "parquet")
    found = {key: _find(config.root, asked, usual, key) for key, (asked, usual) in asked_splits(config).items()}
    _require_apart(found)
    columns = _columns(config, found["train"][0])
    tables = [ParquetRows(files, columns.image) for files in found.values()]
    labels = [rows.column(columns.label) for rows in tables]
    if config.on_the_fly:
        _say_if_large(tables[0])
    return load_pictures(config, table_splits(config, tables, labels, columns.class_names))


def _require_apart(found: Mapping[str, Sequence[Path]]) -> None:
    """Raise UserError if two splits have a file in common."""
    for one, other in combinations(found, 2):
        common = sorted(set(found[one]) & set(found[other]))
        if common:
            raise UserError(
                f"{printable(common[0])} is in both data.{one} and data.{other}: set each to a pattern of its own."
            )


class ParquetRows:
    """The pictures in a column of parquet files.

    Parameters
    ----------
    files
        In the order of their rows.
    image
        The column.

    Raises
    ------
    UserError
        If a file is damaged or has not the column.
    """

    def __init__(self, files: Sequence[Path], image: str) -> None:
        self.paths, self.image = tuple(files), image
        self._metadata = [_opened(path).metadata for path in files]
        self._groups = [
            (number, group)
            for number, metadata in enumerate(self._metadata)
            for group in range(metadata.num_row_groups)
        ]
        sizes = [self._metadata[number].row_group(group).num_rows for number, group in self._groups]
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._held: dict[int, Any] = {}
        self._lock: Any = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_held": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = Lock()

    @property
    def place(self) -> str:
        """The first file, and how many more there are."""
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{printable(self.paths[0])}{more}"

    @property
    def folder(self) -> Path:
        """The folder of the first file."""
        return self.paths[0].parent

    @cached_property
    def files(self) -> Sequence[Path] | None:
        """All files, if they say that no picture is named by its path alone."""
        return self.paths if all(map(_holds_bytes, self._metadata, [self.image] * len(self.paths))) else None

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, of all rows."""
        values: list[Any] = []
        for path in self.paths:
            file = _opened(path)
            with _damage_named(path):
                values += file.read(columns=[name], use_threads=False).column(name).to_pylist()
        return values

    def cell(self, row: int) -> Any:
        """Return the picture of a row: bytes, or a mapping with `bytes` and `path`."""
        group = int(np.searchsorted(self._ends, row, side="right"))
        start = int(self._ends[group - 1]) if group else 0
        with _damage_named(self.paths[self._groups[group][0]]):
            return self._read(group)[row - start].as_py()

    def largest_group(self) -> int:
        """Return the uncompressed bytes of the largest row group."""
        return max(self._metadata[number].row_group(group).total_byte_size for number, group in self._groups)

    def _read(self, group: int) -> Any:
        """Return the pictures of a row group; the last few are kept."""
        with self._lock:
            if group not in self._held:
                number, within = self._groups[group]
                # without pyarrow's threads, which a forked process has not
                table = _opened(self.paths[number]).read_row_group(within, columns=[self.image], use_threads=False)
                while len(self._held) >= GROUPS_HELD:
                    del self._held[next(iter(self._held))]
                self._held[group] = table.column(0)
            return self._held[group]


def _find(root: Path, asked: str | None, names: Sequence[str], key: str) -> list[Path]:
    """Return the files of a split: those of the pattern that the recipe gives, or of the first name that has any."""
    if asked is not None:
        return files_of(root, asked, f"data.{key}")
    patterns = [pattern for name in names for pattern in (f"{name}*.parquet", f"data/{name}*.parquet")]
    for pattern in patterns:
        files = sorted(path for path in root.glob(pattern) if path.is_file())
        if files:
            return files
    raise UserError(
        f"{printable(root.resolve())} holds no parquet file {' or '.join(patterns)}. Set data.root to the folder that "
        f"holds them, and data.{key} to a pattern such as {names[0]}-*.parquet."
    )


def _columns(config: DataConfig, file: Path) -> Columns:
    """Return the columns to read, from the schema of the first training file."""
    import pyarrow as pa

    schema, place = _opened(file).schema_arrow, printable(file)
    features = _features(schema.metadata)
    pictures = [field.name for field in schema if _holds_pictures(field.type)]
    labels = [
        field.name
        for field in schema
        if pa.types.is_integer(field.type) or pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    named = [name for name, of in features.items() if of.get("_type") == "ClassLabel" and name in labels]
    label = config.label_column or (named[0] if len(named) == 1 else None)
    label = choose_column(label, "label_column", labels, LABEL_NAMES, place)
    return Columns(
        image=choose_column(config.image_column, "image_column", pictures, IMAGE_NAMES, place),
        label=label,
        class_names=features.get(label, {}).get("names"),
    )


def _features(metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    """Return what Hugging Face's library wrote about the columns; empty if another one wrote the file."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return {name: of for name, of in features.items() if isinstance(of, dict)} if isinstance(features, dict) else {}


def _holds_pictures(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(kind.field(k).name == "bytes" for k in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _holds_bytes(metadata: Any, image: str) -> bool:
    """Return True if the statistics of each row group say that no picture lacks its bytes."""
    for group in range(metadata.num_row_groups):
        chunks = (metadata.row_group(group).column(k) for k in range(metadata.num_columns))
        found = [chunk for chunk in chunks if chunk.path_in_schema in (image, f"{image}.bytes")]
        if not found or any(c.statistics is None or c.statistics.null_count != 0 for c in found):
            return False
    return True


def _opened(path: Path) -> Any:
    """Open a file; its pages are mapped into memory."""
    import pyarrow.parquet as pq

    with _damage_named(path):
        return pq.ParquetFile(path, memory_map=True)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Name the file in the error if what is done with it fails."""
    try:
        yield
    except (UserError, MemoryError):  # memory is the machine's, not the file's
        raise
    except Exception as error:  # pyarrow raises many kinds of error of bytes that are damaged
        if isinstance(error, OSError) and error.errno is not None:
            raise cannot_be_read(path, error) from error
        reason = str(error).rstrip(".")
        raise UserError(f"{printable(path)} cannot be read as parquet: {reason}. Fetch or write it again.") from error


def _say_if_large(rows: ParquetRows) -> None:
    size = rows.largest_group()
    if size > LARGE_GROUP:
        say(
            f"{rows.place}: a row group has up to {human_bytes(size)}, which is read for each picture that is decoded "
            f"on the fly. Written with smaller ones (row_group_size=100), it is read faster."
        )
