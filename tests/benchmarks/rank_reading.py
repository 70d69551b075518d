"""Epochs read by several ranks, each reading everything or a part that it sends to others; one line of JSON each.

    python -m tests.benchmarks.rank_reading [--ranks 2] [--rows 200000] [--classes 1000] [--encodings float16 int8] \
        [--memory 300MB 2GB] [--turns 3] [--s3]

Makes a store of noise in a temporary folder, or with `--s3` in a bucket of moto's server, which is a process of its own
on this machine. The ranks are processes that exchange rows by gloo over loopback. Both ways take turns on the same
store, which lies in the page cache. The fastest of their turns counts. Seconds are those of the slowest rank, of
reading alone; bytes read are those of one rank, of the store's compressed bytes.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tests.benchmarks.streaming_memory import SETTINGS, high_water, mark

from kcd_stores import (
    KnowledgeStore,
    KnowledgeWriter,
    Reading,
    Share,
    choose_layout,
    human_bytes,
    make_encoding,
    open_stream,
    parse_bytes,
    plan_streaming,
    row_bytes,
)

BATCH = 512
WAYS = ("everything", "part")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


@contextmanager
def s3_server() -> Iterator[str]:
    """Start moto's server with a bucket; yield the address of a store in it."""
    boto3: Any = importlib.import_module("boto3")  # it has no types

    url = f"http://127.0.0.1:{free_port()}"
    os.environ.update(
        AWS_ENDPOINT_URL=url, AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1"
    )
    address = ["-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", *address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                boto3.client("s3").create_bucket(Bucket="knowledge")
                break
            except OSError:
                time.sleep(0.1)
            except Exception as error:
                if "Could not connect" not in str(error):
                    raise
                time.sleep(0.1)
        yield "s3://knowledge"
    finally:
        server.kill()
        server.wait()


def make_store(where: str, options: argparse.Namespace, name: str) -> None:
    encoding = make_encoding(name, **SETTINGS.get(name, {}))
    layout = choose_layout(
        views=1, samples=options.rows, classes=options.classes, row_bytes=row_bytes(encoding, options.classes)
    )
    writer = KnowledgeWriter.create(where, layout=layout, encoding=encoding, made_from={})
    noise = np.random.default_rng(0).standard_normal((layout.block_rows, options.classes), dtype=np.float32)
    for view, block in layout.all_blocks():
        samples = layout.rows(block)
        noise[: len(samples), 0] = mark(np.arange(samples.start, samples.stop))
        writer.write_block(view, block, noise[: len(samples)], seconds=0)


def one_rank(rank: int, ranks: int, port: int, where: str, memory: int, turns: int, said: Any) -> None:
    """Read an epoch in each way in turns; tell seconds and bytes of each, and the most memory that it took."""
    from torch import distributed

    from kcd_pipeline.training.row_exchange import RowExchange

    distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks, timeout=timedelta(seconds=300)
    )
    store, exchange, share = KnowledgeStore.open(where), RowExchange(), Share(rank=rank, ranks=ranks)
    streaming = plan_streaming(store, memory=memory, batch_size=BATCH, partners=False)
    store.read_rows(0, 0, 1)
    found: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
    peaks: dict[str, int] = {}
    for epoch in range(turns + 1):
        for way in WAYS:
            Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
            base = high_water()
            distributed.barrier()
            before, started = store.bytes_read, time.perf_counter()
            stream = open_stream(
                store, [0], streaming, batch_size=BATCH, share=share, exchange=exchange if way == "part" else None
            )
            for portion in stream.read(Reading(seed=0, epoch=epoch, view=0, kept=np.arange(store.layout.samples))):
                own = share.select(portion.order, BATCH)
                assert (portion.rows[own[:BATCH]][:, 0] == mark(own[:BATCH])).all()
                del portion
            stream.close()
            distributed.barrier()
            if epoch:
                found[way].append((time.perf_counter() - started, store.bytes_read - before))
                peaks[way] = max(peaks.get(way, 0), high_water() - base)
    distributed.destroy_process_group()
    said.put((rank, found, peaks, streaming.describe()))


def compare(where: str, options: argparse.Namespace, name: str, memory: str) -> None:
    context = multiprocessing.get_context("spawn")
    said, port = context.SimpleQueue(), free_port()
    processes = [
        context.Process(
            target=one_rank, args=(rank, options.ranks, port, where, parse_bytes(memory), options.turns, said)
        )
        for rank in range(options.ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    of_rank = sorted(said.get() for _ in processes)
    seconds = {way: min(turn for turn, _ in of_rank[0][1][way]) for way in WAYS}
    read = {way: max(turns[way][0][1] for _, turns, _, _ in of_rank) for way in WAYS}
    facts = {"encoding": name, "ranks": options.ranks, "rows": options.rows, "classes": options.classes}
    facts |= {"mode": of_rank[0][3].partition(" (")[0], "s3": options.s3}
    facts |= {f"{way}_seconds": round(value, 3) for way, value in seconds.items()}
    facts |= {f"{way}_read": human_bytes(value) for way, value in read.items()}
    facts |= {f"{way}_peak": human_bytes(max(peaks[way] for _, _, peaks, _ in of_rank)) for way in WAYS}
    print(json.dumps({**facts, "ratio": round(seconds["part"] / seconds["everything"], 3)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--encodings", nargs="+", default=["float16", "int8"])
    parser.add_argument("--memory", nargs="+", default=["300MB", "2GB"], help="budgets: of a block shuffle, of views")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--s3", action="store_true")
    options = parser.parse_args()
    with s3_server() if options.s3 else tempfile.TemporaryDirectory() as home:
        for name in options.encodings:
            make_store(f"{home}/{name}.zarr", options, name)
            for memory in options.memory:
                compare(f"{home}/{name}.zarr", options, name, memory)


if __name__ == "__main__":
    main()
