"""Peak memory of streaming one epoch of a store that does not fit its budget, as one line of JSON.

    python tests/benchmarks/streaming_memory.py [--rows 500000] [--classes 1000] [--memory 256MB] [--partners 0.05] \
        [--encoding int8]

Makes a store of random logits in a temporary folder (1 GB for the defaults), streams one epoch of it in a child
process, and compares the child's high-water mark (VmHWM) with what it was before the first row was read. Exits with an
error unless the difference stays within the budget plus `CONSTANT`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from kcd_stores import (
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Reading,
    choose_layout,
    make_encoding,
    open_stream,
    parse_bytes,
    plan_streaming,
    row_bytes,
)
from kcd_stores.streaming.order import cut_batches

# beside the rows that are held: a piece of 4 MiB on its way (compressed, decoded, checked, gathered), zarr's threads
# and what malloc keeps for each of them, and a few numbers a sample
CONSTANT = 100 * 1000**2
BATCH = 64
SETTINGS = {"int8": {"low": -128.0, "high": 127.0}}  # steps of 1


def high_water() -> int:
    """Return the most bytes that this process has had in memory so far."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def make_store(path: Path, rows: int, classes: int, name: str = "float16") -> Layout:
    """Make a store of one view of noise, whose first logit tells samples apart."""
    encoding = make_encoding(name, **SETTINGS.get(name, {}))
    layout = choose_layout(views=1, samples=rows, classes=classes, row_bytes=row_bytes(encoding, classes))
    writer = KnowledgeWriter.create(path, layout=layout, encoding=encoding, made_from={})
    noise = np.random.default_rng(0).standard_normal((layout.block_rows, classes), dtype=np.float32)
    for view, block in layout.all_blocks():
        samples = layout.rows(block)
        noise[: len(samples), 0] = mark(np.arange(samples.start, samples.stop))
        writer.write_block(view, block, noise[: len(samples)], seconds=0)
    return layout


def mark(index: np.ndarray) -> np.ndarray:
    """Return a number for each sample that every dense encoding holds exactly."""
    return (index % 128).astype(np.float32)


def stream(path: Path, memory: int, partners: float) -> dict[str, object]:
    """Stream one epoch and look up every row once; return what it took."""
    store = KnowledgeStore.open(path)
    samples = store.layout.samples
    lowest, kept = int(partners * samples), np.arange(samples)
    partner = None
    if lowest:  # the last `lowest` samples are dropped, and blended into the first ones
        kept = np.arange(samples - lowest)
        partner = np.full(len(kept), -1)
        partner[:lowest] = np.random.default_rng(1).permutation(np.arange(samples - lowest, samples))
    streaming = plan_streaming(store, memory=memory, batch_size=BATCH, partners=partner is not None)
    store.read_rows(0, 0, 1)  # zarr's own machinery is no part of what is measured
    before, started, seen = high_water(), time.perf_counter(), np.zeros(samples, dtype=np.uint8)
    opened = open_stream(store, [0], streaming, batch_size=BATCH, scratch=path.parent)
    for portion in opened.read(Reading(seed=0, epoch=0, view=0, kept=kept, partner=partner)):
        for index in cut_batches(portion.order, BATCH):
            seen[index] += 1
            assert (portion.rows[index][:, 0] == mark(index)).all()
            if partner is not None and (blended := partner[index][partner[index] >= 0]).size:
                assert (portion.rows[blended][:, 0] == mark(blended)).all()
    seconds = time.perf_counter() - started
    opened.close()
    assert (seen[kept] == 1).all(), "each sample exactly once"
    assert seen.sum() == len(kept), "and no other"
    peak = high_water() - before
    return {
        "rows": samples,
        "classes": store.layout.classes,
        "mode": streaming.describe(),
        "encoding": store.encoding.name,
        "view_bytes": samples * store.packing.row_bytes,
        "budget": memory,
        "planned": streaming.held_bytes,
        "partners": lowest,
        "peak": peak,
        "constant": CONSTANT,
        "rows_per_second": round(len(kept) / seconds),
        "within": peak <= memory + CONSTANT,
    }


def measure(folder: Path, memory: str, partners: float) -> dict[str, Any]:
    """Stream the store in `folder` in a child process."""
    command = [sys.executable, __file__, "--child", str(folder), "--memory", memory, "--partners", str(partners)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("--partners", type=float, default=0.0, help="fraction of samples that are partners of others")
    parser.add_argument("--encoding", choices=("float16", "float32", "bitround", "int8"), default="float16")
    parser.add_argument("--child", type=Path, help="stream the store in this folder, made by a parent")
    given = parser.parse_args()
    if given.child is not None:
        print(json.dumps(stream(given.child / "store.zarr", parse_bytes(given.memory), given.partners)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        make_store(Path(scratch) / "store.zarr", given.rows, given.classes, given.encoding)
        found = measure(Path(scratch), given.memory, given.partners)
    print(json.dumps(found))
    if not found["within"]:
        sys.exit(f"peak {found['peak']} is more than budget {found['budget']} + {CONSTANT}")


if __name__ == "__main__":
    main()
