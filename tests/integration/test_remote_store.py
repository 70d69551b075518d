"""Stores in S3, by its real protocol: moto's server on loopback, behind a gateway that counts, fails and drops."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.files import file_contents, knowledge_contents, knowledge_files
from tests.support.storage_conformance import WritingConformance

from kcd_pipeline.cli import main
from kcd_stores import (
    IncompleteStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Storage,
    StoreError,
    StoreReplacedError,
    StoreUsageError,
    ViewStream,
    make_encoding,
    open_storage,
)

boto3 = pytest.importorskip("boto3")
pytest.importorskip("obstore")
pytest.importorskip("moto")

BUCKET = "knowledge"
PATIENCE = 0.6  # seconds; for tests in which it must run out
LAYOUT = Layout(views=2, samples=140, classes=10, block_rows=64, chunk_rows=16)
FACTS: dict[str, Any] = {"layout": LAYOUT, "made_from": {"dataset": "digits"}}


# --- the server and the way to it -----------------------------------------------------------------------------


class Gateway(ThreadingHTTPServer):
    """Notes requests and passes them on to moto; `meddle(method, path)` may return a status, "drop" or "cut"."""

    daemon_threads = True

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.upstream = upstream
        self.requests: list[tuple[str, str]] = []
        self.meddle: Callable[[str, str], int | str | None] = lambda method, path: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def clear(self) -> None:
        self.requests.clear()
        self.meddle = lambda method, path: None

    def count(self, method: str, *, within: str = "") -> int:
        return sum(1 for verb, path in self.requests if verb == method and within in path)

    def handle_error(self, *_: Any) -> None:
        """Ignore clients that gave up."""


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, or each answer waits for an acknowledgement
    disable_nagle_algorithm = True
    server: Gateway

    def _pass_on(self) -> None:
        self.server.requests.append((self.command, self.path))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wanted = self.server.meddle(self.command, self.path)
        if wanted == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if isinstance(wanted, int):
            status, headers, answer = wanted, {}, b"<Error><Code>Meddled</Code></Error>"
        else:
            upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
            upstream.request(self.command, self.path, body, dict(self.headers))
            response = upstream.getresponse()
            status, answer = response.status, response.read()
            headers = {name: value for name, value in response.getheaders() if name.lower() not in _OURS}
            length = response.getheader("Content-Length") if self.command == "HEAD" else None
            headers["Content-Length"] = length or str(len(answer))
            upstream.close()
        self.send_response_only(status)
        for name, value in ({"Content-Length": str(len(answer))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer[: len(answer) // 2] if wanted == "cut" else answer)
        if wanted == "cut":
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass_on  # noqa: N815  # http.server's names

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


_OURS = {"content-length", "transfer-encoding", "connection"}


@pytest.fixture(scope="module")
def moto_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
    )
    try:
        for _ in range(600):
            assert server.poll() is None, Path(log.name).read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        server.kill()
        server.wait()
        log.close()


@pytest.fixture(scope="module")
def opened(moto_port: int) -> Iterator[Gateway]:
    """The gateway, an empty bucket behind it, and the variables by which clients find it."""
    gateway = Gateway(moto_port)
    threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", gateway.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv(
            "AWS_METADATA_ENDPOINT", gateway.url
        )  # otherwise tests ask a cloud's metadata server for credentials
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("KCD_STORE_PATIENCE", "30")  # a slow machine is not a lost server
        bucket().create_bucket(Bucket=BUCKET)
        yield gateway
    gateway.shutdown()
    gateway.server_close()


@pytest.fixture
def gateway(opened: Gateway) -> Iterator[Gateway]:
    opened.clear()
    yield opened
    opened.clear()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KCD_STORE_PATIENCE", str(PATIENCE))


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """Return a URL of this test alone, whose key has characters that mean something in a URL."""
    return f"s3://{BUCKET}/some stores/{request.node.name}#1%20?/s.zarr"


RECORD = ["checksums/c/0/0/0", "seconds/c/0/0", "complete/c/0/0"]  # of view 0, as it is written


@cache
def bucket() -> Any:
    """Return boto3's client, kept because making one takes half a second."""
    return boto3.client("s3")


def objects(prefix: str) -> dict[str, bytes]:
    """Return the objects of the bucket below `prefix`, by key."""
    client = bucket()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


# --- the place ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("gateway")
class TestS3(WritingConformance):
    @pytest.fixture
    def empty(self) -> Storage:
        return open_storage(f"s3://{BUCKET}/conformance of storages/{uuid4().hex}")

    def put(self, storage: Storage, name: str, data: bytes) -> None:
        bucket().put_object(Bucket=BUCKET, Key=f"{storage}/{name}".removeprefix(f"s3://{BUCKET}/"), Body=data)


# --- the store itself -----------------------------------------------------------------------------------------


def logits_of(view: int, block: int) -> np.ndarray:
    rows = LAYOUT.rows(block)
    return np.random.default_rng((view, block)).normal(size=(len(rows), 10)).astype(np.float32)


def filled(where: Any, encoding: str = "float16") -> KnowledgeStore:
    writer = KnowledgeWriter.create(where, encoding=make_encoding(encoding), **FACTS)
    for view, block in LAYOUT.all_blocks():
        writer.write_block(view, block, logits_of(view, block), seconds=0.5)
    return writer.store


@pytest.mark.parametrize("encoding", ["float16", "int8", "topk"])
def test_its_objects_are_the_files_of_a_local_store(gateway: Gateway, url: str, tmp_path: Path, encoding: str) -> None:
    made = make_encoding("int8", low=-8.0, high=8.0) if encoding == "int8" else make_encoding(encoding)
    for where in (url, tmp_path / "s.zarr"):
        writer = KnowledgeWriter.create(where, encoding=made, **FACTS)
        for view, block in LAYOUT.all_blocks():
            writer.write_block(view, block, logits_of(view, block), seconds=0.5)
    local = tmp_path / "s.zarr"
    prefix = url.removeprefix(f"s3://{BUCKET}/") + "/"
    there = {key.removeprefix(prefix): data for key, data in objects(prefix).items()}
    assert there.keys() == file_contents(local).keys()
    assert knowledge_files(there) == knowledge_contents(local)
    remote = KnowledgeStore.open(url)
    here = KnowledgeStore.open(local)
    assert remote.identity == here.identity
    assert remote.inventory.files() == here.inventory.files()
    assert remote.inventory.bytes_on_disk() == here.inventory.bytes_on_disk()
    assert remote.inventory.knowledge_bytes() == here.inventory.knowledge_bytes()
    assert remote.seconds() == here.seconds() == 3.0
    np.testing.assert_array_equal(remote.read_rows(1, 60, 131), here.read_rows(1, 60, 131))


@pytest.mark.parametrize(("encoding", "arrays"), [("float16", 1), ("topk", 3)])
def test_a_view_is_one_request_a_shard(gateway: Gateway, url: str, encoding: str, arrays: int) -> None:
    filled(url, encoding)
    store = KnowledgeStore.open(url)
    store.require_views(2)
    gateway.clear()
    with ViewStream(store, [0, 1, 0]) as stream:
        assert [view.shape for view in stream] == [(140, 10)] * 3
    assert gateway.count("GET") == len(gateway.requests) == 3 * LAYOUT.blocks * arrays


def test_a_part_of_a_shard_is_its_index_once_and_a_range_for_each_stretch(gateway: Gateway, url: str) -> None:
    """One chunk of a shard's 4 is wanted, then another; the whole shard is read only when most are wanted."""
    filled(url, "float32")
    store = KnowledgeStore.open(url)
    store.require_views(1)
    size = store.inventory.knowledge_bytes()
    gateway.clear()
    whole = np.concatenate([logits_of(1, block) for block in range(LAYOUT.blocks)])
    np.testing.assert_array_equal(store.read_rows(1, 70, 78), whole[70:78])
    assert gateway.count("GET") == len(gateway.requests) == 2
    np.testing.assert_array_equal(store.read_rows(1, 114, 120), whole[114:120])
    assert gateway.count("GET") == 3
    assert store.bytes_read < size / 4
    np.testing.assert_array_equal(store.read_rows(1, 64, 110), whole[64:110])  # most of it: one request, all of it
    assert gateway.count("GET") == 4


def test_a_block_is_one_put_an_array_and_its_record(gateway: Gateway, url: str) -> None:
    writer = KnowledgeWriter.create(url, encoding=make_encoding("topk"), **FACTS)
    gateway.clear()
    writer.write_block(0, 0, logits_of(0, 0), seconds=1.0)
    puts = [path.rsplit("s.zarr/")[1] for method, path in gateway.requests if method == "PUT"]
    assert puts == ["values/c/0/0/0", "classes/c/0/0/0", "rest/c/0/0", *RECORD]
    assert len(gateway.requests) - len(puts) <= 6  # two requests for the store's generation, and four for its record


def test_a_reader_cannot_write(gateway: Gateway, url: str) -> None:
    filled(url)
    gateway.clear()
    KnowledgeStore.open(url).read_view(0)
    assert {method for method, _ in gateway.requests} == {"GET"}


def test_an_opening_is_few_requests(gateway: Gateway, url: str) -> None:
    filled(url)
    gateway.clear()
    KnowledgeStore.open(url).require_views(2)
    assert len(gateway.requests) == 1 + 4 + len(RECORD) * LAYOUT.views  # the group, its arrays, the record of each view


def test_requests_that_fail_are_tried_again(gateway: Gateway, url: str) -> None:
    calls = iter(range(10_000))
    fates: dict[int, int | str] = {1: 503, 5: "drop", 10: 500, 14: "cut"}
    gateway.meddle = lambda method, path: fates.get(next(calls) % 19)
    filled(url)
    store = KnowledgeStore.open(url)
    expected = np.concatenate([logits_of(1, block) for block in range(LAYOUT.blocks)]).astype(np.float16)
    np.testing.assert_array_equal(store.read_view(1), expected)
    assert store.complete().all()


@pytest.mark.usefixtures("impatient")
def test_a_read_ahead_that_loses_its_server_says_so(gateway: Gateway, url: str) -> None:
    filled(url)
    with ViewStream(KnowledgeStore.open(url), [0, 1]) as stream:
        next(stream)
        gateway.meddle = lambda method, path: "drop"
        with pytest.raises(StoreError, match="could not be reached"):
            [*stream, *ViewStream(KnowledgeStore.open(url), [0])]


# --- two writers ----------------------------------------------------------------------------------------------


def test_records_that_another_writer_lost_are_put_back(gateway: Gateway, url: str) -> None:
    one = KnowledgeWriter.create(url, encoding=make_encoding("float16"), **FACTS)
    two = KnowledgeWriter.open(url)
    one.write_block(0, 0, logits_of(0, 0), seconds=1.0)
    client, key = bucket(), url.removeprefix(f"s3://{BUCKET}/") + "/complete/c/0/0"
    before = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    two.write_block(0, 1, logits_of(0, 1), seconds=1.0)
    assert KnowledgeStore.open(url).complete()[0].tolist() == [True, True, False]
    client.put_object(
        Bucket=BUCKET, Key=key, Body=before
    )  # as a third writer would that had read the record before the other two wrote
    with pytest.raises(IncompleteStoreError):
        KnowledgeStore.open(url).read_rows(0, 64, 128)
    two.settle()
    assert KnowledgeStore.open(url).complete()[0].tolist() == [True, True, False]


def test_two_that_write_everything_at_once_lose_nothing(gateway: Gateway, url: str) -> None:
    KnowledgeWriter.create(url, encoding=make_encoding("float16"), **FACTS)

    def write_all(_: int) -> None:
        writer = KnowledgeWriter.open(url)
        for view, block in LAYOUT.all_blocks():
            writer.write_block(view, block, logits_of(view, block), seconds=1.0)
        writer.settle()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_all, range(2)))
    store = KnowledgeStore.open(url)
    assert store.complete().all()
    expected = np.concatenate([logits_of(1, block) for block in range(LAYOUT.blocks)]).astype(np.float16)
    np.testing.assert_array_equal(store.read_view(1), expected)


def test_a_record_is_not_put_back_without_its_data(gateway: Gateway, url: str) -> None:
    one = KnowledgeWriter.create(url, encoding=make_encoding("float16"), **FACTS)
    one.write_block(0, 0, logits_of(0, 0), seconds=1.0)
    KnowledgeWriter.create(url, encoding=make_encoding("float16"), overwrite=True, **FACTS)
    with pytest.raises(StoreReplacedError, match="was replaced by another store while this process was writing to it"):
        one.settle()
    with pytest.raises(StoreReplacedError):
        one.write_block(0, 1, logits_of(0, 1), seconds=1.0)
    assert not KnowledgeStore.open(url).complete().any()


def test_a_writer_stops_when_its_store_was_replaced(gateway: Gateway, url: str) -> None:
    one = KnowledgeWriter.create(url, encoding=make_encoding("float16"), **FACTS)
    other = FACTS | {"made_from": {"dataset": "cifar10"}}
    KnowledgeWriter.create(url, encoding=make_encoding("float16"), overwrite=True, **other)
    with pytest.raises(StoreError, match="was replaced by another store"):
        one.write_block(0, 0, logits_of(0, 0), seconds=1.0)
    assert not any("/logits/c/" in key for key in objects(url.removeprefix(f"s3://{BUCKET}/")))


# --- whole commands -------------------------------------------------------------------------------------------


class Commands:
    """The commands, on a small recipe on real digits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, command: str, *options: str, store: str | Path, run: str = "run", **more: Any
    ) -> tuple[int, str]:
        settings = {
            "data.limit_per_class": 20,
            "teacher.model": "resnet8",
            "teacher.weights": self.folder / "teacher.safetensors",
            "teacher.epochs": 1,
            "teacher.batch_size": 256,
            "store.path": store,
            "store.views": 2,
            "store.batch_size": 64,
            "store.block_rows": 64,
            "distill.epochs": 2,
            "condense.interval": 1,
            "run.dir": self.folder / run,
            "run.device": "cpu",
            "run.threads": 1,
        } | {key.replace("__", "."): value for key, value in more.items()}
        given = [f"--set={key}={value}" for key, value in settings.items()]
        return self.plain(command, "digits", *given, *options)

    def plain(self, *arguments: str) -> tuple[int, str]:
        ended = CliRunner().invoke(main, list(arguments))
        assert "Traceback" not in ended.output
        assert "not foreseen" not in ended.output, ended.output
        return ended.exit_code, " ".join(ended.output.split()) if "--json" not in arguments else ended.output


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The commands in a folder with a trained teacher and a whole local store."""
    made = Commands(tmp_path_factory.mktemp("remote"))
    assert made("train-teacher", store="unused")[0] == 0
    assert made("extract-teacher", store=made.folder / "local.zarr")[0] == 0
    return made


def same_logits(commands: Commands, url: str, views: int = 2) -> bool:
    local, remote = KnowledgeStore.open(commands.folder / "local.zarr"), KnowledgeStore.open(url)
    return all(np.array_equal(local.read_view(view), remote.read_view(view)) for view in range(views))


def test_every_command_takes_a_url(gateway: Gateway, commands: Commands) -> None:
    url = f"s3://{BUCKET}/whole/store.zarr"
    code, said = commands("extract-teacher", "--dry-run", store=url)
    assert (code, f"Nothing was written to {url}" in said) == (0, True), said
    assert objects("whole/") == {}
    code, said = commands("extract-teacher", store=url)
    assert (code, f"Store {url}: 400 rows" in said) == (0, True), said
    assert same_logits(commands, url)
    assert "nothing to do" in commands("extract-teacher", store=url)[1]

    code, said = commands.plain("inspect", url, "--json")
    facts = json.loads(said)
    assert (code, facts["path"], facts["complete"], facts["rows_complete"]) == (0, url, True, 400)
    assert commands.plain("inspect", url)[0] == 0

    for method in ("kd", "kcd"):
        assert commands("distill", "--method", method, store=url, run=f"there-{method}")[0] == 0
    assert commands("distill", "--method", "kcd", store=commands.folder / "local.zarr", run="here-kcd")[0] == 0
    weights = [(commands.folder / run / "weights.safetensors").read_bytes() for run in ("there-kcd", "here-kcd")]
    assert weights[0] == weights[1]
    code, said = commands.plain("report", *(str(commands.folder / run) for run in ("there-kd", "there-kcd")), "--json")
    assert (code, {run["store"] for run in json.loads(said)["runs"]}) == (0, {url}), said


def test_a_store_grows_there(gateway: Gateway, commands: Commands, url: str) -> None:
    assert commands("extract-teacher", store=url, store__views=1)[0] == 0
    first = objects(url.removeprefix(f"s3://{BUCKET}/") + "/logits/c/0")
    code, said = commands("extract-teacher", store=url)
    assert (code, "4 blocks made and 4 found" in said) == (0, True), said
    assert objects(url.removeprefix(f"s3://{BUCKET}/") + "/logits/c/0") == first
    assert same_logits(commands, url)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fate", ["drop", 503])
def test_a_server_lost_while_extracting(
    gateway: Gateway, commands: Commands, url: str, fate: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def after_some_blocks(method: str, path: str) -> str | int | None:
        return fate if gateway.count("PUT", within="/logits/c/") > 4 else None

    gateway.meddle = after_some_blocks
    began = time.monotonic()
    code, said = commands("extract-teacher", store=url)
    assert code == 1, said
    assert time.monotonic() - began < 30
    assert all(part in said for part in [url, gateway.url, "run the same command again"]), said

    gateway.clear()
    monkeypatch.setenv("KCD_STORE_PATIENCE", "30")
    code, said = commands("extract-teacher", store=url)
    assert code == 0, said
    assert "4 blocks made and 4 found" in said
    assert same_logits(commands, url)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_answers_is_not_waited_for_endlessly(
    gateway: Gateway, commands: Commands, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        code, said = commands("extract-teacher", store=url)
    assert (code, "no answer in time" in said) == (1, True), said
    assert time.monotonic() - began < 30


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", ["extract-teacher", "distill"])
def test_a_server_that_is_not_there(
    gateway: Gateway, commands: Commands, url: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, said = commands(command, store=url, run=f"never-{command}")
    assert code == 1, said
    assert all(part in said for part in [url, "http://127.0.0.1:9", "no connection", "Check the network"]), said
    assert not (commands.folder / f"never-{command}").exists()


@pytest.mark.parametrize("command", ["extract-teacher", "distill"])
def test_a_bucket_that_is_not_there(gateway: Gateway, commands: Commands, command: str) -> None:
    code, said = commands(command, store="s3://nowhere/s.zarr", run=f"never-{command}")
    assert (code, "there is no bucket 'nowhere'" in said, gateway.url in said) == (2, True, True), said
    assert commands.plain("inspect", "s3://nowhere/s.zarr")[0] == 2


def test_credentials_that_are_refused(gateway: Gateway, commands: Commands, url: str) -> None:
    gateway.meddle = lambda method, path: 403
    code, said = commands("extract-teacher", store=url)
    assert (code, "refused the request (403 Forbidden" in said, "AWS_ACCESS_KEY_ID" in said) == (2, True, True)


def test_credentials_that_are_missing(
    gateway: Gateway, commands: Commands, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    gateway.meddle = lambda method, path: 404  # no credentials in the machine's metadata
    code, said = commands("extract-teacher", store=url)
    assert (code, "no credentials were found" in said) == (2, True), said


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("key", ["s.zarr", "s.zarr/thesis.tex", "s.zarr/zarr.json"])
def test_a_key_that_holds_something_else_is_left_alone(gateway: Gateway, key: str, overwrite: bool) -> None:
    prefix = f"other-{overwrite}-{key.replace('/', '-')}"
    bucket().put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=b"years of work")
    with pytest.raises(StoreUsageError, match="not a knowledge store"):
        KnowledgeWriter.create(
            f"s3://{BUCKET}/{prefix}/s.zarr", encoding=make_encoding("float16"), overwrite=overwrite, **FACTS
        )
    with pytest.raises(StoreUsageError, match="not a knowledge store"):
        KnowledgeWriter.open(f"s3://{BUCKET}/{prefix}/s.zarr")
    assert objects(prefix) == {f"{prefix}/{key}": b"years of work"}


def test_extraction_leaves_something_else_alone(gateway: Gateway, commands: Commands) -> None:
    bucket().put_object(Bucket=BUCKET, Key="phd/thesis.tex", Body=b"years of work")
    code, said = commands("extract-teacher", "--overwrite", store=f"s3://{BUCKET}/phd")
    assert (code, "not a knowledge store, so it is left alone" in said) == (2, True), said
    assert objects("phd") == {"phd/thesis.tex": b"years of work"}


def test_a_neighbour_is_not_part_of_a_store(gateway: Gateway, url: str) -> None:
    bucket().put_object(Bucket=BUCKET, Key=url.removeprefix(f"s3://{BUCKET}/") + "-2/x", Body=b"1")
    filled(url)
    KnowledgeWriter.create(url, encoding=make_encoding("float16"), overwrite=True, **FACTS)
    assert len(objects(url.removeprefix(f"s3://{BUCKET}/") + "-2")) == 1


def test_nothing_there_says_how_to_make_it(gateway: Gateway, commands: Commands, url: str) -> None:
    code, said = commands.plain("inspect", url)
    assert (code, f"there is no knowledge store at {url}" in said) == (2, True), said
