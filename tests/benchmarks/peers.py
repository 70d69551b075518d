"""Rows a second of an epoch in random order, from a store and from what people keep a teacher's rows in instead.

    pip install -e ".[peers]"
    python -m tests.benchmarks.peers [--rows 100000] [--classes 100] [--turns 3] [--seconds 4] [--only NAME ...]

All keep the same rows, which are peaked as a teacher's are. An epoch begins by opening what is on the disk (it is in
the page cache) and drawing its order; it gives each row once as float32 `[B, C]` in batches of 256, in one process.
They take turns; a turn ends with its epoch or after so many seconds, and the fastest turn counts. What each gave is
compared with what was written, before it is timed. A peer whose package is not installed is left out, and said to be.

Prints Markdown, then one line of JSON.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from tests.benchmarks.peer_storages import BATCH, PEERS, Floats, Peer


def peaked(rows: int, classes: int) -> Floats:
    """Return logits `[rows, classes]` as a teacher has them: one class 8 to 22 above noise of deviation 2."""
    random = np.random.default_rng(0)
    logits = random.standard_normal((rows, classes), np.float32) * 2
    logits[np.arange(rows), random.integers(0, classes, rows)] += random.uniform(8, 22, rows).astype(np.float32)
    return logits


def measure(peer: Peer, folder: Path, count: int, seconds: float) -> tuple[float, float]:
    """Return rows a second, and rows a second of computing, of an epoch of `count` rows or of so many seconds of it."""
    seen, started, computing = 0, time.perf_counter(), time.process_time()
    order = np.random.default_rng(1).permutation(count)
    for _, rows in peer.epoch(folder, order):
        seen += len(rows)
        if time.perf_counter() - started > seconds:
            break
    return seen / (time.perf_counter() - started), seen / (time.process_time() - computing)


def require_what_was_written(peer: Peer, folder: Path, order: np.ndarray, logits: Floats) -> None:
    """Raise AssertionError unless the first batches of an epoch are rows of `logits`, as exact as the peer keeps them.

    Logits may differ by a number a row, which no softmax sees.
    """
    seen: list[int] = []
    for number, (index, rows) in enumerate(peer.epoch(folder, order)):
        assert rows.dtype == np.float32, f"{peer.name} gives {rows.dtype}"
        assert rows.shape == (len(index), logits.shape[1]), f"{peer.name} gives {rows.shape}"
        wanted = logits[index]
        likeliest = np.mean(rows.argmax(axis=1) == wanted.argmax(axis=1))
        assert likeliest > 0.99, f"{peer.name}: the likeliest class is that of its row in {likeliest:.1%}"
        if not peer.sparse:
            np.testing.assert_allclose(rows, wanted, atol=0.2, err_msg=peer.name)
        seen += index.tolist()
        if number == 3:
            break
    assert len(set(seen)) == len(seen), f"{peer.name} gave a row twice"


def bytes_below(folder: Path) -> int:
    """Return the sizes of all files in `folder`, without what the file system adds to each."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def compare(peers: Sequence[Peer], logits: Floats, folder: Path, *, turns: int, seconds: float) -> list[dict[str, Any]]:
    """Write all rows by each peer, then time epochs of all of them in turns; return a line for each, fastest first."""
    lines: dict[str, dict[str, Any]] = {}
    for peer in peers:
        place, part = folder / peer.name, logits[: max(BATCH, len(logits) // peer.fewer)]
        place.mkdir()
        started = time.perf_counter()
        peer.write(place, part)
        lines[peer.name] = {
            "name": peer.name,
            "keeps": peer.keeps,
            "by": f"{peer.package} {installed(peer.package)}",
            "rows": len(part),
            "write_seconds": round(time.perf_counter() - started, 2),
            "bytes_per_row": round(bytes_below(place) / len(part), 1),
        }
        require_what_was_written(peer, place, np.random.default_rng(1).permutation(len(part)), part)
    rates: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in peers}
    for _ in range(turns):
        for peer in peers:
            rates[peer.name].append(measure(peer, folder / peer.name, lines[peer.name]["rows"], seconds))
    for name, line in lines.items():
        line["rows_per_second"] = round(max(rate for rate, _ in rates[name]))
        line["rows_per_cpu_second"] = round(max(rate for _, rate in rates[name]))
    return sorted(lines.values(), key=lambda line: -line["rows_per_second"])


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Return Markdown, with each rate also as a part of the memory map's."""
    map_ = next((line["rows_per_second"] for line in lines if line["name"] == "numpy memmap"), None)
    text = [
        "| kept in | what is kept of a row | rows/s | / memmap | bytes a row | by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for line in lines:
        beside = "–" if map_ is None else f"{line['rows_per_second'] / map_:.3g}"
        text.append(
            f"| {line['name']} | {line['keeps']} | {line['rows_per_second']:,} | {beside} | {line['bytes_per_row']:,} "
            f"| {line['by']} |"
        )
    return "\n".join(text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="after which a turn ends")
    parser.add_argument("--only", nargs="+", choices=[peer.name for peer in PEERS], help="names of peers")
    given = parser.parse_args(arguments)
    if given.rows < 4 * BATCH:
        parser.error(f"--rows must be at least {4 * BATCH}")
    chosen = [peer for peer in PEERS if given.only is None or peer.name in given.only]
    missing = [peer for peer in chosen if installed(peer.package) is None]
    for peer in missing:
        print(f"{peer.name} is left out: {peer.package} is not installed", file=sys.stderr)
    chosen = [peer for peer in chosen if peer not in missing]
    logits = peaked(given.rows, given.classes)
    with tempfile.TemporaryDirectory() as name:
        lines = compare(chosen, logits, Path(name), turns=given.turns, seconds=given.seconds)
    print(table(lines))
    machine = {"python": platform.python_version(), "machine": platform.machine(), "batch": BATCH}
    facts = {"benchmark": "peers", "rows": given.rows, "classes": given.classes, "turns": given.turns, **machine}
    print(json.dumps(facts | {"results": lines}))


if __name__ == "__main__":
    main()
