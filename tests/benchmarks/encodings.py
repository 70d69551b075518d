"""The table of docs/concepts/encodings.md: every encoding of the same logits, against float32.

    python tests/benchmarks/encodings.py STORE.zarr     # a float32 store of a real teacher
    python tests/benchmarks/encodings.py                # 100 classes, realistically peaked, made on the spot

Prints Markdown, then one line of JSON. Read speed is a ratio: decoded bytes a second over a copy in memory of the same
number of bytes.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from kcd_stores import (
    KnowledgeStore,
    KnowledgeWriter,
    choose_layout,
    make_encoding,
    measure_fidelity,
    row_bytes,
    widened_range,
)

ROWS, CLASSES = 50_000, 100  # CIFAR-100


def peaked() -> np.ndarray:
    """Logits as a teacher has them on its training set: one class 8 to 22 above noise of deviation 2."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (ROWS, CLASSES))
    logits[np.arange(ROWS), random.integers(0, CLASSES, ROWS)] += random.uniform(8, 22, ROWS)
    return logits.astype(np.float32)


def measure(logits: np.ndarray, folder: Path, name: str, **settings: Any) -> dict[str, Any]:
    encoding = make_encoding(name, **settings)
    rows, classes = logits.shape
    layout = choose_layout(views=1, samples=rows, classes=classes, row_bytes=row_bytes(encoding, classes))
    writer = KnowledgeWriter.create(folder / name, layout=layout, encoding=encoding, made_from={}, overwrite=True)
    for block in range(layout.blocks):
        span = layout.rows(block)
        writer.write_block(0, block, logits[span.start : span.stop], seconds=0)
    store = writer.store
    decoded = store.read_view(0)
    times = [timed(lambda: store.read_view(0)) for _ in range(5)]
    copies = [timed(decoded.copy) for _ in range(5)]
    return {
        "encoding": store.encoding_label,
        **vars(measure_fidelity(logits, encoding)),
        "read_over_copy": min(copies) / min(times),
        "rows_per_second": rows / min(times),
    }


def timed(action: Any) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main() -> None:
    if len(sys.argv) > 1:
        store = KnowledgeStore.open(Path(sys.argv[1]))
        logits = store.read_view(0).astype(np.float32)
    else:
        logits = peaked()
    low, high = widened_range(logits[:8192])
    k = min(8, logits.shape[1] - 1)
    chosen: list[tuple[str, dict[str, Any]]] = [
        ("float32", {}),
        ("float16", {}),
        ("bitround", {"keep_bits": 7}),
        ("int8", {"low": low, "high": high}),
        ("topk", {"k": k}),
        ("sample", {"draws": 50}),
    ]
    with tempfile.TemporaryDirectory() as folder:
        results = [measure(logits, Path(folder), name, **settings) for name, settings in chosen]
    print("| encoding | bytes a row | mean KL at T = 4 (nats) | top-1 agreement | rows/s | read / copy |")
    print("| --- | --- | --- | --- | --- | --- |")
    for line in results:
        divergence = "unbounded" if line["mean_kl"] is None else f"{line['mean_kl']:.1e}"
        print(
            f"| `{line['encoding']}` | {line['bytes_per_row']:.1f} | {divergence} | {line['top1']:.2%} "
            f"| {line['rows_per_second']:,.0f} | {line['read_over_copy']:.3f} |"
        )
    print(json.dumps({"benchmark": "encodings", "rows": len(logits), "classes": logits.shape[1], "results": results}))


if __name__ == "__main__":
    main()
