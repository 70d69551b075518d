"""Data sets of the library `datasets`, in a folder that its `save_to_disk` wrote; the Hugging Face hub fills one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.pictures import load_pictures
from kcd_pipeline.data.pictures.unreadable import printable
from kcd_pipeline.data.sources.hub import fetch_into_root, require_fetched_from
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

INFO, SPLITS = "dataset_info.json", "dataset_dict.json"  # in the folder of a split, and of several


def load_hugging_face(config: DataConfig) -> Dataset:
    """Return the data set that lies in the folder `data.root`, fetched from the hub if `data.download` says so.

    Raises
    ------
    UserError
        If the library is missing, the data set is not there or damaged, or a split or column is missing or ambiguous.
    FailedError
        If it cannot be fetched.
    """
    require_library("datasets", "huggingface")
    if config.hub is not None:
        fetch_into_root(config, config.hub)
        require_fetched_from(config, config.hub)
    root = config.root
    there = _splits(root)
    names = [_split(there, asked, usual, key, root) for key, (asked, usual) in asked_splits(config).items()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(
            f"the split {twice} of {printable(root)} would be two of data.train, data.test and data.validation: name "
            f"another split for one of them."
        )
    splits = [_opened(there[name]) for name in names]
    columns = _columns(splits[0].features, config, names[0], root)
    read = [_read_columns(split, columns, name, root) for split, name in zip(splits, names, strict=True)]
    rows, labels = [rows for rows, _ in read], [of for _, of in read]
    return load_pictures(config, table_splits(config, rows, labels, columns.class_names))


class HuggingFaceRows:
    """The pictures in the only column of a `datasets.Dataset`, which is mapped into memory and does not decode them."""

    def __init__(self, table: Any, image: str, *, folder: Path, place: str) -> None:
        self.table, self.image, self.folder, self.place = table, image, folder, place

    @property
    def files(self) -> Sequence[Path] | None:
        """The Arrow files, if they hold the bytes of every picture."""
        import pyarrow as pa  # it is an extra

        files = [Path(file["filename"]) for file in self.table.cache_files]
        parts = self.table.data.column(self.image).chunks
        contents = [part.field("bytes") if pa.types.is_struct(part.type) else part for part in parts]
        return files if files and not any(part.null_count for part in contents) else None

    def cell(self, row: int) -> Any:
        """Return the picture of a row: bytes, or a mapping with `bytes` and `path`."""
        return self.table[row][self.image]


def _splits(root: Path) -> dict[str, Path]:
    """Return the folder of each split below `root`, by its name."""
    if (root / INFO).is_file() and not (root / SPLITS).is_file():
        raise UserError(
            f"{printable(root.resolve())} is one split that datasets has saved. Expected the folder of a DatasetDict, "
            f"with a folder for each split: save the training and the test set below one folder, as train and test."
        )
    found = sorted(root.glob(f"*/{INFO}"))
    if not found:
        raise UserError(
            f"{printable(root.resolve())} holds no data set of Hugging Face's library. Set data.root to a folder that "
            f"DatasetDict.save_to_disk wrote, or data.hub to a name on the hub with --set data.download=true."
        )
    return {file.parent.name: file.parent for file in found}


def _split(there: Mapping[str, Path], asked: str | None, usual: Sequence[str], key: str, root: Path) -> str:
    for name in usual if asked is None else (asked,):
        if name in there:
            return name
    raise UserError(
        f"{printable(root.resolve())} has no split {asked or ' or '.join(usual)}. Set data.{key} to one that is there: "
        f"{', '.join(there)}."
    )


def _opened(folder: Path) -> Any:
    """Return a split, mapped into memory, as plain values of Python."""
    import datasets

    with _damage_named(folder):
        return datasets.load_from_disk(str(folder)).with_format(None)


def _read_columns(split: Any, columns: Columns, name: str, root: Path) -> tuple["HuggingFaceRows", list[Any]]:
    """Return the pictures of a split, and its labels."""
    import datasets

    _require_columns(split.features, columns, name, root)
    with _damage_named(root / name):
        # Arrow trusts the places that a file gives for the bytes of each row, and would read outside of it
        split.data.table.select([columns.image, columns.label]).validate(full=True)
        pictures = split.select_columns([columns.image])
        if isinstance(split.features[columns.image], datasets.Image):
            pictures = pictures.cast_column(columns.image, datasets.Image(decode=False))
        labels = list(split[columns.label])
    place = f"the split {name} of {printable(root)}"
    return HuggingFaceRows(pictures, columns.image, folder=root, place=place), labels


@contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    """Name the folder in the error if what is done with it fails."""
    try:
        yield
    except (UserError, MemoryError):  # memory is the machine's, not the file's
        raise
    except Exception as error:  # the library raises almost anything of files that are damaged
        raise UserError(
            f"{printable(folder)} cannot be read by datasets: {type(error).__name__}: {error}. Save or fetch it again."
        ) from error


def _columns(features: Mapping[str, Any], config: DataConfig, name: str, root: Path) -> Columns:
    """Return the columns to read, from the types of a split's columns."""
    import datasets

    place = f"the split {name} of {printable(root)}"
    pictures = [key for key, of in features.items() if _holds_pictures(of)]
    named = [key for key, of in features.items() if isinstance(of, datasets.ClassLabel)]
    labels = [key for key, of in features.items() if key in named or _holds_labels(of)]
    asked = config.label_column or (named[0] if len(named) == 1 else None)
    label = choose_column(asked, "label_column", labels, LABEL_NAMES, place)
    return Columns(
        image=choose_column(config.image_column, "image_column", pictures, IMAGE_NAMES, place),
        label=label,
        class_names=tuple(features[label].names) if label in named else None,
    )


def _require_columns(features: Mapping[str, Any], columns: Columns, name: str, root: Path) -> None:
    """Raise UserError if a split lacks a column that the training set has, or has its classes in another order."""
    missing = [key for key in (columns.image, columns.label) if key not in features]
    if missing:
        raise UserError(
            f"the split {name} of {printable(root)} has no column {missing[0]}, which the training set has."
        )
    names = getattr(features[columns.label], "names", None)
    if tuple(names or ()) != (columns.class_names or ()):
        raise UserError(
            f"the split {name} of {printable(root)} has other classes in its column {columns.label} than the training "
            f"set, or has them in another order. Cast both to the same ClassLabel."
        )


def _holds_pictures(feature: Any) -> bool:
    import datasets

    return isinstance(feature, datasets.Image) or getattr(feature, "dtype", None) in ("binary", "large_binary")


def _holds_labels(feature: Any) -> bool:
    kind = str(getattr(feature, "dtype", ""))
    return kind.startswith(("int", "uint")) or kind in ("string", "large_string")
