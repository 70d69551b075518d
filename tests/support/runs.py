"""Runs of students: their results, and the ways in which their files are damaged."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kcd_pipeline.runs import RunFolder, open_plans, open_values

TIMINGS = {
    "seconds",
    "rows_per_second",
    "teacher_seconds",
    "bytes_read",
}  # a resumed run reads again what had been read ahead


def run_facts(folder: Path) -> dict[str, Any]:
    """Return the results of a finished run: weights, values, plans, and metrics without their timings."""
    run = RunFolder(folder)
    values = open_values(run)
    return {
        "weights": run.weights.read_bytes(),
        "best": run.best_weights.read_bytes(),
        "values": [
            [array.tobytes() for array in (*values.read(epoch), values.read_latest(epoch))]
            for epoch in range(values.epochs)
        ],
        "plans": [
            (plan.kept.tolist(), plan.partner.tolist(), plan.epsilon.tolist(), plan.weight.tolist(), plan.facts)
            for plan in open_plans(run).read_all()
        ],
        "metrics": [{k: v for k, v in line.items() if k not in TIMINGS} for line in run.read_metrics()],
        "kept": run.read_summary()["kept_fraction"],
    }


def forget_record(run: Path) -> None:
    """Make a finished run one of the first format, whose files are not compared with anything."""
    summary = json.loads((run / "summary.json").read_text())
    kept = {key: value for key, value in summary.items() if key not in ("record", "checksum")}
    (run / "summary.json").write_text(json.dumps(kept))


def flipped(content: bytes, at: int, bit: int) -> bytes:
    """Return `content` with one bit turned over."""
    return bytes([*content[:at], content[at] ^ 1 << bit, *content[at + 1 :]])


def damages(content: bytes, *, flips: int, seed: int = 0) -> Iterator[tuple[str, bytes | None]]:
    """Yield names of damages and what is left of a file: bits turned over at random, cut short, empty, None: gone."""
    chooser = random.Random(seed)
    for _ in range(flips if content else 0):
        at, bit = chooser.randrange(len(content)), chooser.randrange(8)
        yield f"bit {bit} of byte {at}", flipped(content, at, bit)
    if content:
        yield "half of it", content[: len(content) // 2]
        yield "emptied", b""
    yield "deleted", None


def put(file: Path, content: bytes | None) -> None:
    """Give a file another content, or delete it."""
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
