"""Indexes of tar shards: where in its shard the image of each sample lies, and its label.

An index is made by reading every head of the archive once, and kept in the user's cache until the shard's size or a
time of change differs.
"""

import hashlib
import io
import json
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcd_pipeline.data.pictures.picture import ENDINGS
from kcd_pipeline.data.pictures.stamps import stamp_of
from kcd_pipeline.data.pictures.unreadable import cannot_be_read, printable
from kcd_pipeline.errors import UserError
from kcd_pipeline.files import cache_folder, write_whole

VERSION = 1  # of the files of indexes
LONGEST_TEXT = 1024  # bytes of a name or a label
LARGEST_LABEL = 2**24  # bytes of a file that holds a label, which may hold other facts too
CLASS, JSON, FIELD = "cls", "json", "label"  # where labels are, unless the recipe says: x.cls, or "label" of x.json
COMPRESSED = {b"\x1f\x8b": "gzip", b"(\xb5/\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """`data.image_column` and `data.label_column`: an ending of images, and a field of JSON files."""

    image: str | None
    label: str | None


@dataclass(frozen=True, kw_only=True)
class Place:
    """A file in a shard: its name, its first byte, and how many bytes it has."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardIndex:
    """Samples of one shard, in its order.

    Attributes
    ----------
    names, labels
        `[N]` bytes: of the file of each image, and of its label as it is written.
    offsets, sizes
        `[N]` int64: first byte of each image in the shard, and number of bytes.
    """

    names: NDArray[np.bytes_]
    labels: NDArray[np.bytes_]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


def index_shard(shard: Path, columns: Columns) -> ShardIndex:
    """Return the index of `shard`, from the cache if it has one.

    Raises
    ------
    UserError
        If the shard is no whole tar archive, or a sample lacks an image or a label, or has several.
    """
    folder = cache_folder()
    facts = repr((VERSION, asdict(columns))).encode() + stamp_of(shard.parent.resolve(), [shard])
    file = folder and folder / f"shard-{hashlib.sha256(facts).hexdigest()}.npz"
    found = _kept(file) if file else None
    if found is None:
        found = _read_shard(shard, columns)
        if file:
            _keep(file, found)
    return found


def _kept(file: Path) -> ShardIndex | None:
    """Return the index in `file`, or None if there is none, or it is damaged."""
    names = [field.name for field in fields(ShardIndex)]
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return ShardIndex(**{name: arrays[name] for name in names})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None  # it is made anew


def _keep(file: Path, index: ShardIndex) -> None:
    content = io.BytesIO()
    np.savez(content, **vars(index))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getvalue())
    except OSError:
        return  # without a cache that can be written, every start takes longer, and that is all


def _read_shard(shard: Path, columns: Columns) -> ShardIndex:
    rows = []
    with shard.open("rb") as file:
        for key, sample in _samples(shard, file):
            image = _image(shard, key, sample, columns)
            label = _label(shard, file, key, sample, columns)
            row = (os.fsencode(image.name), label.encode(), image.offset, image.size)
            if max(map(len, row[:2])) > LONGEST_TEXT or any(b"\0" in text for text in row[:2]):
                raise UserError(
                    f"{printable(shard)}, sample {key[:80]!r}: expected a name and a label of at most "
                    f"{LONGEST_TEXT:,} bytes each, without NUL, found {len(row[0]):,} and {len(row[1]):,}. Make the "
                    f"shard anew."
                )
            rows.append(row)
    names, labels, offsets, sizes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return ShardIndex(
        names=np.array(names, np.bytes_),
        labels=np.array(labels, np.bytes_),
        offsets=np.array(offsets, np.int64),
        sizes=np.array(sizes, np.int64),
    )


def _samples(shard: Path, file: io.BufferedReader) -> Iterator[tuple[str, dict[str, Place]]]:
    """Yield the key of each sample and its files by their ending, as WebDataset groups them.

    Files that follow one another and whose paths are equal up to the first dot of the name are one sample.
    """
    current: str | None = None
    sample: dict[str, Place] = {}
    for place in _members(shard, file):
        folder, name = os.path.split(place.name)
        stem, dot, ending = name.partition(".")
        if not stem or not dot or place.name.startswith("__"):  # hidden, without an ending, or WebDataset's own notes
            continue
        key = os.path.join(folder, stem)  # noqa: PTH118  # a name in an archive is no path
        if key != current:
            if current is not None:
                yield current, sample
            current, sample = key, {}
        if ending.lower() in sample:
            raise UserError(
                f"{printable(shard)}: sample {key!r} has two files {ending.lower()!r}. Make the shard anew."
            )
        sample[ending.lower()] = place
    if current is not None:
        yield current, sample


def _members(shard: Path, file: io.BufferedReader) -> Iterator[Place]:
    """Yield the regular files of a tar archive.

    Raises
    ------
    UserError
        If it is no tar archive, or does not end as one: `tarfile` alone takes damage behind the first head for the end.
    """
    try:
        archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  # `file` is closed by the caller
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # they would hold every head of the shard
            if member.size < 0 or member.issparse():
                raise UserError(
                    f"{printable(shard)}: {member.name[:80]!r} is stored with holes, or its size is damaged. Make the "
                    f"shard anew."
                )
            if member.isreg():
                yield Place(name=member.name, offset=member.offset_data, size=member.size)
        file.seek(archive.offset)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise _no_archive(shard, str(error)) from error
    except OSError as error:
        raise cannot_be_read(shard, error) from error
    end = file.read(tarfile.BLOCKSIZE)
    if len(end) < tarfile.BLOCKSIZE or any(end):
        raise _no_archive(shard, f"byte {archive.offset:,} is neither the head of a file nor the end of the archive")
    while block := file.read(2**20):
        if any(block):
            raise _no_archive(shard, "other files follow behind its end, as if several archives had been joined")


def _no_archive(shard: Path, reason: str) -> UserError:
    with shard.open("rb") as file:
        head = file.read(8)
    kind = next((kind for magic, kind in COMPRESSED.items() if head.startswith(magic)), None)
    if kind is not None:
        return UserError(
            f"{printable(shard)} is compressed ({kind}), so its samples cannot be read one by one. Unpack it to a "
            f".tar: images are compressed themselves."
        )
    return UserError(
        f"{printable(shard)} is no whole tar archive: {reason}. It may have been cut off or is still being written. "
        f"Fetch or make it anew."
    )


def _image(shard: Path, key: str, sample: Mapping[str, Place], columns: Columns) -> Place:
    if columns.image is not None:
        endings = [ending for ending in sample if ending == columns.image.lower().lstrip(".")]
    else:
        endings = [ending for ending in sample if f".{ending}" in ENDINGS]
        endings = endings or [ending for ending in sample if ending.endswith(ENDINGS)]
    if len(endings) != 1:
        raise _sample_lacks(
            shard, key, sample, f"{len(endings) or 'no'} images", "one", "Set data.image_column to the ending of images"
        )
    return sample[endings[0]]


def _label(shard: Path, file: io.BufferedReader, key: str, sample: Mapping[str, Place], columns: Columns) -> str:
    """Return the label of a sample as text: the content of its .cls, or a field of its .json."""
    place = sample.get(CLASS if columns.label is None else JSON) or sample.get(JSON)
    field = columns.label or FIELD
    if place is None:
        expected = f"x.{CLASS}, or {field!r} in x.{JSON}" if columns.label is None else f"{field!r} in x.{JSON}"
        raise _sample_lacks(
            shard, key, sample, "no label", expected, "Set data.label_column to the field of the .json that holds it"
        )
    if place.size > LARGEST_LABEL:
        raise UserError(f"{printable(shard)}: {place.name} has {place.size:,} bytes, too many for a label.")
    content = os.pread(file.fileno(), place.size, place.offset)
    value: object
    try:
        value = content.decode().strip()
        if place is not sample.get(CLASS):
            facts = json.loads(content)
            value = facts.get(field) if isinstance(facts, dict) else None
        str(value).encode()  # JSON can hold half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise UserError(f"{printable(shard)}: {place.name} cannot be read: {error}. Make the shard anew.") from error
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise UserError(
            f"{printable(shard)}: the label in {place.name} is {str(value)[:80]!r}, expected a name or a whole number"
            f"{'' if place is sample.get(CLASS) else f' as its field {field!r}'}. Set data.label_column to the field "
            f"that holds it, or make the shard anew."
        )
    return str(value).strip()


def _sample_lacks(
    shard: Path, key: str, sample: Mapping[str, Place], found: str, expected: str, advice: str
) -> UserError:
    return UserError(
        f"{printable(shard)}: found {found} in sample {key[:80]!r}, which has {', '.join(sample)[:200]}, expected "
        f"{expected}. {advice}; files of a sample must follow one another, as `tar --sort=name` puts them."
    )
