"""The needs of two large data sets, from formulas: the tables of docs/results/scaling.md.

    python tests/benchmarks/scaling.py          # prints them

Sizes come from the functions that cut, encode and stream real stores, so documentation and code cannot drift apart.
What is no formula is a parameter, and named: how well an encoding packs, images a second. `scaling_measured.py` holds
the formulas against real stores. Letters: N samples, C classes, V views, K kept, L perturbed.
"""

import tempfile
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kcd_pipeline.condensation.ranking.budget import plan_ranking
from kcd_stores import (
    Encoding,
    KnowledgeWriter,
    Layout,
    StoreUsageError,
    choose_layout,
    human_bytes,
    make_encoding,
    parse_bytes,
    plan_streaming,
    row_bytes,
)
from kcd_stores.scratch import Scratch

VIEWS = (1, 16)
MEMORY = "2GB"  # store.memory
BATCH = 256
STUDENT = 1000  # images a second of one student: a parameter, everything is proportional to it
ENCODINGS: dict[str, dict[str, Any]] = {
    "float32": {},
    "float16": {},
    "bitround": {"keep_bits": 7},
    "int8": {"low": -30.0, "high": 50.0},
    "topk": {"k": 8},
    "sample": {"draws": 50},
}
RATES = {  # images a second of one teacher
    "one CPU core": 16.0,  # measured: ResNet-50 at 224 pixels, float32, AMD EPYC
    "one GPU": 1000.0,  # assumed: no GPU was at hand; `extract-teacher --dry-run` measures yours
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """A data set, and how small each encoding packs (bytes on disk over bytes before the compressor), as measured."""

    name: str
    samples: int
    classes: int
    packed: dict[str, float]

    def layout(self, encoding: Encoding, views: int, samples: int | None = None) -> Layout:
        """Return the layout of its store."""
        return choose_layout(
            views=views,
            samples=samples or self.samples,
            classes=self.classes,
            row_bytes=row_bytes(encoding, self.classes),
        )


IMAGENET = Size(
    name="ImageNet-1k",
    samples=1_281_167,
    classes=1000,
    packed={"float32": 0.853, "float16": 0.851, "bitround": 0.353, "int8": 0.6, "topk": 0.701, "sample": 0.109},
)
LARGE = Size(
    name="100M images",
    samples=100_000_000,
    classes=20_000,
    packed={"float32": 0.86, "float16": 0.861, "bitround": 0.361, "int8": 0.595, "topk": 0.775, "sample": 0.31},
)
SIZES = (IMAGENET, LARGE)


def raw_bytes(size: Size, encoding: Encoding, views: int) -> int:
    """Return V · N · bytes of a row before the compressor, which only headers can exceed."""
    return views * size.samples * row_bytes(encoding, size.classes)


def objects(size: Size, encoding: Encoding, views: int) -> int:
    """Return the number of objects: V · (blocks · arrays + 2) + 3 + arrays."""
    return size.layout(encoding, views).objects(len(encoding.arrays(size.classes)))


def teacher_hours(size: Size, views: int, rate: float) -> float:
    """Return V · N / rate, in hours."""
    return views * size.samples / rate / 3600


def streaming(size: Size, encoding: Encoding, folder: Path) -> tuple[str, int]:
    """Return the mode in which a student streams such a store within MEMORY, and the bytes of rows that it holds."""
    writer = KnowledgeWriter.create(
        folder / f"{size.name}-{encoding.name}", layout=size.layout(encoding, 1), encoding=encoding, made_from={}
    )
    plan = plan_streaming(writer.store, memory=parse_bytes(MEMORY), batch_size=BATCH, partners=True)
    return ("block shuffle" if plan.window_sizes else "whole views"), plan.held_bytes


def ranking_bytes(samples: int, *, kept: float, blended: float, chunk: int = 1 << 20) -> int:
    """Return the least memory in which a condensation ranks K = kept · N samples and blends L = blended · N of them."""
    keep, lowest, enough = round(kept * samples), round(blended * samples), 1

    def fits(memory: int) -> bool:
        try:
            plan_ranking(
                samples=samples,
                chunk=min(chunk, samples),
                ordered=2 * lowest,
                plain=keep,
                memory=memory,
                scratch=Scratch(),  # as a run has it: marks and indices of large sets are in files
            )
        except StoreUsageError:
            return False
        return True

    while not fits(enough):
        enough *= 2
    return bisect_left(range(enough), True, key=fits)


def value_bytes(samples: int) -> int:
    """Return 16 N: value float64, frequency int32, entropy float32, of one epoch in `values.zarr`."""
    return 16 * samples


def table(*rows: tuple[str, ...]) -> str:
    """Return a table in Markdown; the first row is the head."""
    head, *rest = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rest))


def sizes_table(size: Size) -> str:
    """Return the table of bytes and objects."""
    rows = []
    for name, settings in ENCODINGS.items():
        encoding = make_encoding(name, **settings)
        row = row_bytes(encoding, size.classes)
        disk = [human_bytes(raw_bytes(size, encoding, views) * size.packed[name]) for views in VIEWS]
        count = [f"{objects(size, encoding, views):,}" for views in VIEWS]
        layout = size.layout(encoding, 1)
        cut = f"{layout.block_rows:,} / {layout.chunk_rows:,}"
        rows.append((f"`{name}`", f"{row:,}", f"{size.packed[name]:.2f}", cut, *disk, *count))
    head = ("encoding", "bytes a row", "packed to", "rows a block / chunk")
    return table(
        (*head, *(f"{what}, {views} view{'s' * (views > 1)}" for what in ("bytes", "objects") for views in VIEWS)),
        *rows,
    )


def extraction_table() -> str:
    """Return the table of hours that the teacher runs."""
    rows = [
        (size.name, str(views), *(f"{teacher_hours(size, views, rate):,.1f}" for rate in RATES.values()))
        for size in SIZES
        for views in VIEWS
    ]
    return table(("data", "views", *(f"hours of {name} at {rate:,g} images/s" for name, rate in RATES.items())), *rows)


def training_table(size: Size) -> str:
    """Return the table of what a student reads and holds in memory."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in ENCODINGS.items():
            encoding = make_encoding(name, **settings)
            mode, held = streaming(size, encoding, Path(folder))
            stored = row_bytes(encoding, size.classes) * size.packed[name]
            rows.append(
                (
                    f"`{name}`",
                    human_bytes(stored * size.samples),
                    f"{human_bytes(stored * STUDENT)}/s",
                    mode,
                    human_bytes(held),
                )
            )
    return table(("encoding", "read an epoch", f"at {STUDENT:,} images/s", f"mode within {MEMORY}", "rows held"), *rows)


def ranking_table() -> str:
    """Return the table of the memory that a condensation takes."""
    rows = [
        (
            size.name,
            human_bytes(value_bytes(size.samples)),
            human_bytes(ranking_bytes(size.samples, kept=0.7, blended=0.05)),
            human_bytes(ranking_bytes(size.samples, kept=0.7, blended=0.3)),
        )
        for size in SIZES
    ]
    head = ("data", "values an epoch", "ranking, 5% blended (`dropped: new`)", "ranking, 30% blended (`dropped: all`)")
    return table(head, *rows)


def tables() -> dict[str, str]:
    """Return every table of docs/results/scaling.md, by its heading there."""
    found = {f"Bytes and objects: {size.name}": sizes_table(size) for size in SIZES}
    found["Extraction"] = extraction_table()
    found |= {f"Training: {size.name}": training_table(size) for size in SIZES}
    found["Condensation"] = ranking_table()
    return found


if __name__ == "__main__":
    for heading, lines in tables().items():
        print(f"### {heading}\n\n{lines}\n")
