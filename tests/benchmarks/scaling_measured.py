"""Real stores compared with the formulas of scaling.py; one line of JSON each.

    python -m tests.benchmarks.scaling_measured check [FOLDER]      # a thousandth of each data set (4 minutes)
    python -m tests.benchmarks.scaling_measured imagenet [FOLDER]   # one view of ImageNet's size, 2.6 GB (5 minutes)

Rows are as peaked as a teacher's on its training set: one class 8 to 22 above noise of deviation 2. `check` makes
1,281 x 1,000 in every encoding, 100,000 x 20,000 in the sparse ones and 10,000 x 20,000 in the dense ones, whose
thousandth would be 4 to 8 GB each. `imagenet` writes 1,281,167 x 1,000 float16, drops it from the page cache, and
streams an epoch of it in a process of its own, whose peak memory is compared with the budget.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tests.benchmarks.scaling import ENCODINGS, IMAGENET, MEMORY, SIZES, Size
from tests.benchmarks.streaming_memory import make_store, measure

from kcd_stores import KnowledgeStore, KnowledgeWriter, choose_layout, make_encoding, row_bytes

HEADERS = 0.02  # of a store's bytes: chunk headers, shard indices, metadata; and 100 kB
DENSE_LARGE = 10_000


def peaked(spans: Iterator[range], classes: int) -> Iterator[np.ndarray]:
    """Yield the logits of each span of samples: the same noise, its rows and classes rolled, with other peaks."""
    random, noise = np.random.default_rng(0), np.empty((0, classes), np.float32)
    for span in spans:
        if len(noise) < len(span):
            noise = 2 * random.standard_normal((len(span), classes), dtype=np.float32)
        logits = np.roll(noise[: len(span)], int(random.integers(classes)), axis=1)
        logits[np.arange(len(span)), random.integers(0, classes, len(span))] += random.uniform(8, 22, len(span))
        yield logits


def measured_store(folder: Path, size: Size, samples: int, name: str) -> dict[str, Any]:
    """Write one view of `samples` rows; return what it took, and what the formulas give."""
    encoding = make_encoding(name, **ENCODINGS[name])
    raw = row_bytes(encoding, size.classes)
    layout = choose_layout(views=1, samples=samples, classes=size.classes, row_bytes=raw)
    writer = KnowledgeWriter.create(folder / f"{size.name}-{name}", layout=layout, encoding=encoding, made_from={})
    seconds = 0.0
    spans = (layout.rows(block) for block in range(layout.blocks))
    for block, logits in enumerate(peaked(spans, size.classes)):
        started = time.perf_counter()
        writer.write_block(0, block, logits, seconds=0)
        seconds += time.perf_counter() - started
    store = writer.store
    bound, found = raw * samples, store.inventory.bytes_on_disk()
    objects = layout.objects(len(encoding.arrays(size.classes)))
    return {
        "size": size.name,
        "encoding": name,
        "rows": samples,
        "objects": store.inventory.files(),
        "objects_by_formula": objects,
        "bytes": found,
        "bytes_before_compressor": bound,
        "packed": round(store.inventory.knowledge_bytes() / bound, 3),
        "rows_per_second_written": round(samples / seconds),
        "holds": store.inventory.files() == objects and found <= bound * (1 + HEADERS) + 100_000,
    }


def check(folder: Path) -> None:
    """Write and measure small stores of both data sets in every encoding."""
    lines = []
    for size in SIZES:
        for name in ENCODINGS:
            sparse = name in ("topk", "sample")
            samples = size.samples // 1000 if size is IMAGENET or sparse else DENSE_LARGE
            lines.append(measured_store(folder, size, samples, name))
            print(json.dumps({"benchmark": "scaling", **lines[-1]}), flush=True)
    for size in SIZES:
        print(size.name, {line["encoding"]: line["packed"] for line in lines if line["size"] == size.name})
    if not all(line["holds"] for line in lines):
        sys.exit("a formula does not hold")


def imagenet(folder: Path) -> None:
    """Write and stream one view of ImageNet's size."""
    started = time.perf_counter()
    layout = make_store(folder / "store.zarr", IMAGENET.samples, IMAGENET.classes)
    written = time.perf_counter() - started
    store = KnowledgeStore.open(folder / "store.zarr")
    size = store.inventory.knowledge_bytes()
    forget(folder)
    found = measure(folder, MEMORY, 0.0)
    forget(folder)
    started = time.perf_counter()
    rows = store.read_view(0)
    read = time.perf_counter() - started
    line = {
        "benchmark": "one view of ImageNet's size",
        "rows": IMAGENET.samples,
        "objects": store.inventory.files(),
        "objects_by_formula": layout.objects(1),
        "bytes": size,
        "bytes_before_compressor": rows.nbytes,
        "written_rows_per_second": round(IMAGENET.samples / written),
        "written_bytes_per_second": round(size / written),
        "read_whole_bytes_per_second": round(rows.nbytes / read),
        "mode": found["mode"],
        "streamed_rows_per_second": found["rows_per_second"],
        "streamed_bytes_per_second": round(float(str(found["rows_per_second"])) * size / IMAGENET.samples),
        "peak": found["peak"],
        "planned": found["planned"],
        "within": found["within"],
    }
    print(json.dumps(line))


def forget(folder: Path) -> None:
    """Drop the store's files from the page cache, so that they are read from the disk."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def main() -> None:
    what = {"check": check, "imagenet": imagenet}[sys.argv[1]]
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        what(Path(folder))


if __name__ == "__main__":
    main()
