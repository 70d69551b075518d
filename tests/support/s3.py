"""S3 by its real protocol: a gateway to moto's server that counts, fails and drops, and small stores behind it."""

import http.client
import os
import socket
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from kcd_stores import (
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    make_encoding,
)

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

    def handle_expect_100(self) -> bool:
        """Say at once that a body may come: boto3 would wait a second for it."""
        answered = super().handle_expect_100()
        self.wfile.flush()
        return answered

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


_OURS = {"content-length", "transfer-encoding", "connection"}

RECORD = ["checksums/c/0/0/0", "seconds/c/0/0", "complete/c/0/0"]  # of view 0, as it is written


def bucket() -> Any:
    """Return boto3's client of the server that the environment names, kept because making one takes half a second."""
    return _client(os.environ["AWS_ENDPOINT_URL"])


@cache
def _client(endpoint: str) -> Any:
    return pytest.importorskip("boto3").client("s3", endpoint_url=endpoint)


def objects(prefix: str) -> dict[str, bytes]:
    """Return the objects of the bucket below `prefix`, by key."""
    client = bucket()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


# --- the store itself -----------------------------------------------------------------------------------------


def logits_of(view: int, block: int) -> np.ndarray:
    rows = LAYOUT.rows(block)
    return np.random.default_rng((view, block)).normal(size=(len(rows), 10)).astype(np.float32)


def filled(where: Any, encoding: str = "float16") -> KnowledgeStore:
    writer = KnowledgeWriter.create(where, encoding=make_encoding(encoding), **FACTS)
    for view, block in LAYOUT.all_blocks():
        writer.write_block(view, block, logits_of(view, block), seconds=0.5)
    return writer.store
