"""Data sets in the tar shards of WebDataset, whose samples are read one by one wherever they lie."""

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.pictures import PictureSplits, load_pictures
from kcd_pipeline.data.pictures.stamps import stamp_of
from kcd_pipeline.data.pictures.unreadable import cannot_be_read, printable
from kcd_pipeline.data.sources.labels import settle_labels
from kcd_pipeline.data.sources.patterns import files_of
from kcd_pipeline.data.sources.shard_index import Columns, ShardIndex, index_shard
from kcd_pipeline.data.sources.split_names import require_apart, split_names
from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import progress_bar

TRAIN, TEST = "train*.tar", "test*.tar"  # below data.root, where the recipe does not say


@dataclass(frozen=True, kw_only=True, eq=False)
class Shards:
    """Pictures in tar archives, in the order of the shards and of the samples within each.

    Attributes
    ----------
    shards
        The archives.
    states
        Size in bytes and time of change, in ns, of each of them when it was indexed.
    shard_of
        `[N]` int32 places in `shards`.
    names
        `[N]` bytes: names of the images in their shards.
    offsets, sizes
        `[N]` int64: first byte of each image in its shard, and number of bytes.
    labels
        `[N]` int64 places in the classes of the data set.
    """

    root: Path
    shards: tuple[Path, ...]
    states: tuple[tuple[int, int], ...]
    shard_of: NDArray[np.int32]
    names: NDArray[np.bytes_]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def place(self) -> str:
        """The first shard and the number of the others, for messages."""
        more = f" and {len(self.shards) - 1:,} more" if len(self.shards) > 1 else ""
        return f"{printable(self.shards[0])}{more}"

    def open(self, sample: int) -> io.BytesIO:
        """Return the bytes of an image.

        Raises
        ------
        UserError
            If its shard cannot be read, or is another than was indexed.
        """
        which = self.shard_of[sample]
        shard, size = self.shards[which], int(self.sizes[sample])
        try:
            with shard.open("rb", buffering=0) as file:
                unchanged = _state(os.fstat(file.fileno())) == self.states[which]
                content = os.pread(file.fileno(), size, int(self.offsets[sample])) if unchanged else b""
        except OSError as error:
            raise cannot_be_read(shard, error) from error
        if len(content) != size or not unchanged:
            raise UserError(
                f"{printable(shard)} has changed since its index was read, at the start of this command. Leave shards "
                f"as they are while it runs, and start it again."
            )
        return io.BytesIO(content)

    def name(self, sample: int) -> str:
        """Return the shard and the name of an image in it, for messages."""
        return f"{printable(self.shards[self.shard_of[sample]])}: {printable(os.fsdecode(self.names[sample]))}"

    def subset(self, samples: NDArray[np.int64]) -> "Shards":
        """Return the images of `samples[K]`, in that order."""
        of_samples = ("shard_of", "names", "offsets", "sizes", "labels")
        return replace(self, **{name: getattr(self, name)[samples] for name in of_samples})

    def stamp(self) -> bytes:
        """Return a SHA-256 over path, size and times of change of each shard, and where the images lie in them.

        Raises
        ------
        UserError
            If a shard is gone, or in a folder that may not be read.
        """
        digest = hashlib.sha256(stamp_of(self.root.resolve(), self.shards))
        for places in (self.shard_of, self.offsets, self.sizes):
            digest.update(places.astype("<i8").tobytes())
        return digest.digest()


def load_shards(config: DataConfig) -> Dataset:
    """Return the data set whose training and test set are some tar shards each.

    Raises
    ------
    UserError
        If a shard is missing or damaged, a sample lacks an image or a label, an image cannot be read, or a label of the
        test set is unknown.
    """
    columns = Columns(image=config.image_column, label=config.label_column)
    names = split_names(config, TRAIN, TEST)
    files = {key: files_of(config.root, name, key) for key, name in names.items()}
    require_apart(files)
    indexed = _indexed([shard for of_split in files.values() for shard in of_split], columns)
    parts = [_part(config.root, shards, indexed) for shards in files.values()]
    labels, classes = settle_labels(
        [[label.decode() for shard in part.shards for label in indexed[shard].index.labels.tolist()] for part in parts],
        [part.name for part in parts],
        stated=None,
        given=config.classes,
        place=printable(config.root / names["data.train"]),
    )
    splits = [replace(part, labels=of) for part, of in zip(parts, labels, strict=True)]
    return load_pictures(config, PictureSplits.of(splits, classes))


@dataclass(frozen=True, kw_only=True)
class _Indexed:
    """The index of a shard, and the shard's state before it was read."""

    state: tuple[int, int]
    index: ShardIndex


def _indexed(shards: Sequence[Path], columns: Columns) -> dict[Path, _Indexed]:
    indexed = {}
    with progress_bar() as bar:
        task = bar.add_task("indexing shards", total=len(shards), unit="shards", note="")
        for shard in shards:
            try:
                state = _state(shard.stat())
            except OSError as error:
                raise cannot_be_read(shard, error) from error
            indexed[shard] = _Indexed(state=state, index=index_shard(shard, columns))
            bar.advance(task)
    return indexed


def _part(root: Path, shards: Sequence[Path], indexed: Mapping[Path, _Indexed]) -> Shards:
    """Return the samples of `shards`, one after another, all with the label 0.

    Raises
    ------
    UserError
        If there is none.
    """
    indexes = [indexed[shard].index for shard in shards]
    names = np.concatenate([index.names for index in indexes])
    if not len(names):
        raise UserError(f"{printable(shards[0])} holds no sample, nor do the shards beside it. Make them anew.")
    return Shards(
        root=root,
        shards=tuple(shards),
        states=tuple(indexed[shard].state for shard in shards),
        shard_of=np.repeat(np.arange(len(shards), dtype=np.int32), [len(index.names) for index in indexes]),
        names=names,
        offsets=np.concatenate([index.offsets for index in indexes]),
        sizes=np.concatenate([index.sizes for index in indexes]),
        labels=np.zeros(len(names), np.int64),
    )


def _state(status: os.stat_result) -> tuple[int, int]:
    """Return the size of a file in bytes, and its time of change in ns."""
    return status.st_size, status.st_mtime_ns
