"""A store published on a web server: commands that read accept it, and commands that write refuse it."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from tests.support.storage_conformance import FILES, ReadingConformance

from kcd_pipeline.cli import main
from kcd_stores import (
    CorruptStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Storage,
    StoreUsageError,
    batches,
    make_encoding,
    open_storage,
)

pytest.importorskip("obstore")

LAYOUT = Layout(views=2, samples=140, classes=10, block_rows=64, chunk_rows=16)


class Ranged(SimpleHTTPRequestHandler):
    """The standard library's server of files, with the ranges that every real web server knows."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        file = Path(self.translate_path(self.path))
        if wanted is None or not file.is_file():
            super().do_GET()
            return
        data = file.read_bytes()
        first = int(wanted[1]) if wanted[1] else max(len(data) - int(wanted[2]), 0)
        last = min(int(wanted[2]), len(data) - 1) if wanted[1] and wanted[2] else len(data) - 1
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("Last-Modified", self.date_time_string(file.stat().st_mtime))
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files below `folder`, and yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Ranged(*args, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class TestWeb(ReadingConformance):
    @pytest.fixture
    def filled(self, tmp_path: Path) -> Iterator[Storage]:
        for name, data in FILES.items():
            file = tmp_path / "my store.zarr" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        with served(tmp_path) as address:
            yield open_storage(f"{address}/my store.zarr")

    def test_nothing_is_written_to_it(self, filled: Storage) -> None:
        with pytest.raises(StoreUsageError, match="can be read but not written"):
            filled.require_writable()
        with pytest.raises(StoreUsageError, match="can be read but not written"):
            filled.zarr_store()

    @pytest.mark.parametrize(
        "write",
        [
            lambda storage: storage.put("zarr.json", b"{}"),
            lambda storage: storage.update("zarr.json", lambda found: found),
            lambda storage: storage.remove("zarr.json"),
            lambda storage: storage.lock(),
        ],
        ids=["put", "update", "remove", "lock"],
    )
    def test_every_way_to_write_is_refused(self, filled: Storage, write: Callable[[Storage], object]) -> None:
        with pytest.raises(StoreUsageError, match="can be read but not written"):
            write(filled)

    def test_zarr_reads_arrays_there(self, tmp_path: Path) -> None:
        values = np.arange(12.0).reshape(3, 4)
        zarr.create_group(tmp_path / "plain.zarr").create_array("a", data=values, chunks=(1, 2), shards=(2, 4))
        with served(tmp_path) as address:
            store = open_storage(f"{address}/plain.zarr").zarr_store(read_only=True)
            array = zarr.open_group(store, mode="r")["a"]
            assert isinstance(array, zarr.Array)
            np.testing.assert_array_equal(np.asarray(array[...]), values)
            np.testing.assert_array_equal(np.asarray(array[1, 1:3]), values[1, 1:3])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, KnowledgeStore]]:
    """The address of a store, and the store in its folder."""
    folder = tmp_path_factory.mktemp("web")
    writer = KnowledgeWriter.create(
        folder / "teachers" / "my store.zarr", layout=LAYOUT, encoding=make_encoding("topk", k=3), made_from={"a": 1}
    )
    for view, block in LAYOUT.all_blocks():
        shape = (len(LAYOUT.rows(block)), LAYOUT.classes)
        logits = np.random.default_rng((view, block)).normal(size=shape).astype(np.float32)
        writer.write_block(view, block, logits, seconds=0.5)
    with served(folder) as address:
        yield f"{address}/teachers/my store.zarr", writer.store


def test_it_is_read_whole_and_in_part(published: tuple[str, KnowledgeStore]) -> None:
    url, local = published
    store = KnowledgeStore.open(url)
    store.require_views(2)
    assert store.identity == local.identity
    np.testing.assert_array_equal(store.read_view(1), local.read_view(1))
    fresh = KnowledgeStore.open(url)
    np.testing.assert_array_equal(fresh.read_rows(0, 70, 74), local.read_rows(0, 70, 74))
    assert fresh.bytes_read < local.inventory.knowledge_bytes() / 8
    index = np.concatenate([batch for batch, _ in batches(fresh, view=1, batch_size=16)])
    assert sorted(index.tolist()) == list(range(140))


def test_inspect_and_verify_say_of_it_what_they_say_of_the_folder(published: tuple[str, KnowledgeStore]) -> None:
    url, local = published
    store = KnowledgeStore.open(url)
    assert store.inventory.files() == local.inventory.files()
    assert store.inventory.bytes_on_disk() == local.inventory.bytes_on_disk()
    assert store.inventory.knowledge_bytes() == local.inventory.knowledge_bytes()
    inspected = CliRunner().invoke(main, ["inspect", url])
    assert inspected.exit_code == 0, inspected.output
    assert "280 of 280" in inspected.output
    assert CliRunner().invoke(main, ["verify", url]).exit_code == 0


def test_nothing_is_written_there(published: tuple[str, KnowledgeStore]) -> None:
    url, _ = published
    with pytest.raises(StoreUsageError, match="read but not written"):
        KnowledgeWriter.create(f"{url}.new", layout=LAYOUT, encoding=make_encoding("float16"), made_from={})
    refused = CliRunner().invoke(main, ["extract-teacher", "digits", "--set", f"store.path={url}"])
    assert refused.exit_code == 2
    assert "on a web server" in refused.output


def test_what_is_not_there_or_damaged_is_named(published: tuple[str, KnowledgeStore]) -> None:
    url, local = published
    with pytest.raises(StoreUsageError, match=r"there is no knowledge store at http://"):
        KnowledgeStore.open(url.replace("my store", "another"))
    shard = local.path / "rest" / "c" / "1" / "2"
    data = shard.read_bytes()
    shard.unlink()
    with pytest.raises(CorruptStoreError, match=r"rest/c/1/2: the row of sample 128 is missing"):
        KnowledgeStore.open(url).read_view(1)
    shard.write_bytes(data)
