"""Ways to keep a teacher's rows: those of this package, and those that `peers.py` compares them with.

Each writes logits `[N, C]` into a folder, and reads an epoch of them in the order that it is given, or in a random one
of its own. Peers are used by their own libraries. Two are formats of research code that is no library; these are
written here after that code, and read as it reads them:

- TinyViT's records: Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers", ECCV 2022
  (github.com/microsoft/Cream, TinyViT/data/augmentation): a file of keys, and one of records of equal length.
- ml-dr's files: Faghri et al., "Reinforce Data, Multiply Impact", ICCV 2023 (github.com/apple/ml-dr): a file of each
  sample by torch.save.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores import (
    KnowledgeStore,
    KnowledgeWriter,
    batches,
    choose_layout,
    cut_batches,
    make_encoding,
    row_bytes,
    widened_range,
)

BATCH, K = 256, 8

Floats = NDArray[np.float32]
Epoch = Iterator[tuple[NDArray[np.int64], Floats]]  # samples [B] and their rows [B, C]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A way to keep rows.

    Attributes
    ----------
    package
        The package whose version is shown.
    keeps
        What is kept of a row.
    sparse
        True if most classes of a row share what is left of its probability.
    fewer
        So many times fewer rows are written where writing takes long; the time of a row does not depend on it.
    """

    name: str
    package: str
    keeps: str
    write: Callable[[Path, Floats], None]
    epoch: Callable[[Path, NDArray[np.int64]], Epoch]
    sparse: bool = False
    fewer: int = 1


# --- stores of this package ------------------------------------------------------------------------------


def write_store(name: str, folder: Path, logits: Floats) -> None:
    low, high = widened_range(logits[:8192])
    settings: dict[str, dict[str, Any]] = {"float16": {}, "int8": {"low": low, "high": high}, "topk": {"k": K}}
    encoding = make_encoding(name, **settings[name])
    samples, classes = logits.shape
    layout = choose_layout(views=1, samples=samples, classes=classes, row_bytes=row_bytes(encoding, classes))
    writer = KnowledgeWriter.create(folder / "store.zarr", layout=layout, encoding=encoding, made_from={})
    for block in range(layout.blocks):
        span = layout.rows(block)
        writer.write_block(0, block, logits[span.start : span.stop], seconds=0)


def epoch_of_store(folder: Path, order: NDArray[np.int64]) -> Epoch:
    """Give an epoch in the store's own random order."""
    store = KnowledgeStore.open(folder / "store.zarr")
    for index, rows in batches(store, view=0, batch_size=BATCH, seed=0, epoch=0):
        yield index, np.asarray(rows, np.float32)


# --- arrays and tables -----------------------------------------------------------------------------------


def write_memmap(folder: Path, logits: Floats) -> None:
    np.save(folder / "logits.npy", logits.astype(np.float16))


def epoch_of_memmap(folder: Path, order: NDArray[np.int64]) -> Epoch:
    logits = np.load(folder / "logits.npy", mmap_mode="r")
    for index in cut_batches(order, BATCH):
        yield index, logits[index].astype(np.float32)


def write_zarr(folder: Path, logits: Floats) -> None:
    import zarr

    zarr.create_array(folder / "logits.zarr", data=logits.astype(np.float16))  # chunks and compressor as it chooses


def epoch_of_zarr(folder: Path, order: NDArray[np.int64]) -> Epoch:
    import zarr

    logits: Any = zarr.open_array(folder / "logits.zarr", mode="r")
    for index in cut_batches(order, BATCH):
        yield index, logits.oindex[index].astype(np.float32)


def write_lmdb(folder: Path, logits: Floats) -> None:
    import lmdb

    size = 4 * logits.nbytes + 2**24
    with lmdb.open(str(folder), map_size=size) as environment, environment.begin(write=True) as transaction:
        for sample, row in enumerate(logits.astype(np.float16)):
            transaction.put(sample.to_bytes(8, "big"), row.tobytes(), append=True)


def epoch_of_lmdb(folder: Path, order: NDArray[np.int64]) -> Epoch:
    import lmdb

    with (
        lmdb.open(str(folder), readonly=True, lock=False, readahead=False) as environment,
        environment.begin(buffers=True) as transaction,
    ):
        row_of: Callable[[bytes], Any] = transaction.get
        for index in cut_batches(order, BATCH):
            rows = b"".join(row_of(sample.to_bytes(8, "big")) for sample in index.tolist())
            yield index, np.frombuffer(rows, np.float16).reshape(len(index), -1).astype(np.float32)


def write_datasets(folder: Path, logits: Floats) -> None:
    import datasets
    import pyarrow

    flat = pyarrow.array(logits.astype(np.float16).ravel())
    rows = pyarrow.FixedSizeListArray.from_arrays(flat, logits.shape[1])
    datasets.disable_progress_bars()
    datasets.Dataset(pyarrow.table({"logits": rows})).save_to_disk(folder / "rows")


def epoch_of_datasets(folder: Path, order: NDArray[np.int64]) -> Epoch:
    import datasets

    table = datasets.load_from_disk(folder / "rows").with_format("numpy")
    for index in cut_batches(order, BATCH):
        yield index, np.asarray(table[index]["logits"], np.float32)


def write_webdataset(folder: Path, logits: Floats) -> None:
    import webdataset

    with webdataset.ShardWriter(str(folder / "%05d.tar"), maxcount=10_000, verbose=0) as shards:
        for sample, row in enumerate(logits.astype(np.float16)):
            shards.write({"__key__": f"{sample:09}", "npy": row})


def epoch_of_webdataset(folder: Path, order: NDArray[np.int64]) -> Epoch:
    """Give an epoch as random as shards allow: they are shuffled, and rows within a buffer of 5,000."""
    import webdataset

    shards = sorted(map(str, folder.glob("*.tar")))
    rows = webdataset.WebDataset(shards, shardshuffle=len(shards), seed=0).shuffle(5000).decode()
    for keys, logits in rows.to_tuple("__key__", "npy").batched(BATCH, collation_fn=_in_columns):
        yield np.array(keys, np.int64), np.stack(logits).astype(np.float32)


def _in_columns(samples: list[tuple[str, Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*samples, strict=True))


# --- formats of research code: the likeliest classes of a row --------------------------------------------


def likeliest(logits: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the K largest probabilities of each row, and their classes: `[N, K]` each."""
    classes = np.argpartition(logits, -K, axis=1)[:, -K:].astype(np.int64)
    top = np.take_along_axis(logits, classes, axis=1)
    highest = logits.max(axis=1, keepdims=True)
    return np.exp(top - highest) / np.exp(logits - highest).sum(axis=1, keepdims=True), classes


def write_tinyvit(folder: Path, logits: Floats) -> None:
    """Write records of a seed int32, K classes int16 and K probabilities float16."""
    probabilities, classes = likeliest(logits)
    record = np.dtype([("seed", "<i4"), ("classes", "<i2", K), ("probabilities", "<f2", K)])
    records = np.zeros(len(logits), record)
    records["classes"], records["probabilities"] = classes, probabilities
    records.tofile(folder / "rank0-values.bin")
    (folder / "rank0-keys.txt").write_text("".join(f"{sample}\n" for sample in range(len(logits))))
    (folder / "classes.txt").write_text(str(logits.shape[1]))  # theirs is in the model's config


def epoch_of_tinyvit(folder: Path, order: NDArray[np.int64]) -> Epoch:
    """Look each key up, seek, read a record and take it apart, sample by sample; fill in a batch as a whole."""
    count = int((folder / "classes.txt").read_text())
    with (folder / "rank0-keys.txt").open() as lines:
        keys = {line.strip(): place for place, line in enumerate(lines)}
    size = 4 + 4 * K
    with (folder / "rank0-values.bin").open("rb") as file:
        for index in cut_batches(order, BATCH):
            found = []
            for sample in index.tolist():
                file.seek(size * keys[str(sample)])
                record = file.read(size)
                classes = np.frombuffer(record[4 : 4 + 2 * K], np.int16).copy()
                found.append((classes, np.frombuffer(record[4 + 2 * K :], np.float16).copy()))
            classes, top = (np.stack(column) for column in zip(*found, strict=True))
            rest = (1 - top.sum(axis=1, dtype=np.float32, keepdims=True)) / (count - K)
            rows = np.repeat(rest, count, axis=1)
            np.put_along_axis(rows, classes.astype(np.int64), top.astype(np.float32), axis=1)
            yield index, rows


def write_ml_dr(folder: Path, logits: Floats) -> None:
    import torch

    for sample, (row, classes) in enumerate(zip(*likeliest(logits), strict=True)):
        reinforced = [{"params": {}, "prob": (row.tolist(), classes.tolist())}]
        torch.save((sample, reinforced), folder / f"{sample}.pth.tar", pickle_protocol=4)
    torch.save({"classes": logits.shape[1]}, folder / "config.pth.tar")


def epoch_of_ml_dr(folder: Path, order: NDArray[np.int64]) -> Epoch:
    """Load the file of each sample, and fill in its row."""
    import torch

    count = torch.load(folder / "config.pth.tar")["classes"]
    for index in cut_batches(order, BATCH):
        rows = []
        for sample in index.tolist():
            _, reinforced = torch.load(folder / f"{sample}.pth.tar", weights_only=False)  # the default then
            values, classes = reinforced[0]["prob"]
            top = torch.tensor(values)
            row = torch.ones(count) * (1 - top.sum()) / (count - len(values))
            row[classes] = top
            rows.append(row)
        yield index, torch.stack(rows).numpy()


def _store(label: str, name: str, keeps: str, *, sparse: bool = False) -> Peer:
    write = partial(write_store, name)
    return Peer(name=label, package="kcd-pipeline", keeps=keeps, write=write, epoch=epoch_of_store, sparse=sparse)


PEERS = (
    _store("float16 store", "float16", "logits, float16"),
    _store("int8 store", "int8", "logits, 8 bits"),
    _store("topk(8) store", "topk", f"{K} logits and the rest", sparse=True),
    Peer(name="numpy memmap", package="numpy", keeps="logits, float16", write=write_memmap, epoch=epoch_of_memmap),
    Peer(name="LMDB", package="lmdb", keeps="logits, float16", write=write_lmdb, epoch=epoch_of_lmdb),
    Peer(
        name="Hugging Face datasets",
        package="datasets",
        keeps="logits, float16",
        write=write_datasets,
        epoch=epoch_of_datasets,
    ),
    Peer(
        name="WebDataset",
        package="webdataset",
        keeps="logits, float16",
        write=write_webdataset,
        epoch=epoch_of_webdataset,
        fewer=5,
    ),
    Peer(name="plain zarr", package="zarr", keeps="logits, float16", write=write_zarr, epoch=epoch_of_zarr),
    Peer(
        name="TinyViT's records",
        package="numpy",
        keeps=f"{K} probabilities",
        write=write_tinyvit,
        epoch=epoch_of_tinyvit,
        sparse=True,
    ),
    Peer(
        name="ml-dr's files",
        package="torch",
        keeps=f"{K} probabilities",
        write=write_ml_dr,
        epoch=epoch_of_ml_dr,
        sparse=True,
        fewer=20,
    ),
)
