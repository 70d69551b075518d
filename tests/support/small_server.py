"""A server of objects in memory, by as much of S3's protocol as a store needs, which can be told to misbehave."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest


@dataclass
class Answer:
    """An answer: its status, its body, and headers beside the usual ones."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class SmallServer(ThreadingHTTPServer):
    """Objects by their path; `meddle(method, path, answer)` returns the answer that is sent in place of the right one.

    `requests` are the method, the path and the headers of each request, `conditions` tells whether writes may have any.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.meddle: Callable[[str, str, Answer], Answer] = lambda method, path, answer: answer
        self.conditions = True
        self._writing = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, method: str) -> int:
        return sum(1 for made, _, _ in self.requests if made == method)

    def handle_error(self, *_: Any) -> None:
        """Ignore clients that gave up."""

    # --- the right answers --------------------------------------------------------------------------------

    def put(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        conditions = {name: headers[name] for name in ("If-None-Match", "If-Match") if name in headers}
        if conditions and not self.conditions:
            return Answer(501, b"<Error><Code>NotImplemented</Code></Error>")
        with self._writing:
            there = _etag(self.objects[path]) if path in self.objects else None
            if ("If-None-Match" in conditions and there is not None) or conditions.get("If-Match", there) != there:
                return Answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            self.objects[path] = body
        return Answer(200, headers={"ETag": _etag(body)})

    def get(self, path: str, wanted: str | None) -> Answer:
        if path not in self.objects:
            return Answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        body = self.objects[path]
        headers = {"ETag": _etag(body), "Last-Modified": "Thu, 26 Nov 2026 12:00:00 GMT"}
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
        if found is None:
            return Answer(200, body, headers)
        first = int(found[1]) if found[1] else max(len(body) - int(found[2]), 0)
        last = min(int(found[2]), len(body) - 1) if found[1] and found[2] else len(body) - 1
        return Answer(206, body[first : last + 1], headers | {"Content-Range": f"bytes {first}-{last}/{len(body)}"})

    def listing(self, bucket: str, prefix: str) -> Answer:
        names = [path.removeprefix(f"/{bucket}/") for path in sorted(self.objects)]
        items = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(self.objects[f'/{bucket}/{name}'])}</Size>"
            f"<LastModified>2026-11-26T12:00:00.000Z</LastModified><ETag>x</ETag></Contents>"
            for name in names
            if name.startswith(prefix)
        )
        return Answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode())

    def delete_many(self, bucket: str, body: bytes) -> Answer:
        keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
        for key in keys:
            self.objects.pop(f"/{bucket}/{key}", None)
        said = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        return Answer(200, f"<DeleteResult>{said}</DeleteResult>".encode())


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, or each answer waits for an acknowledgement
    disable_nagle_algorithm = True
    server: SmallServer

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.title(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, path, headers))
        if self.command == "PUT":
            answer = self.server.put(path, body, headers)
        elif self.command == "POST":
            answer = self.server.delete_many(path.strip("/"), body)
        elif "list-type" in query:
            answer = self.server.listing(path.strip("/"), query.get("prefix", [""])[0])
        elif self.command == "DELETE":
            self.server.objects.pop(path, None)
            answer = Answer(204)
        else:
            answer = self.server.get(path, self.headers.get("Range"))
        answer = self.server.meddle(self.command, path, answer)
        self.send_response_only(answer.status)
        for name, value in ({"Content-Length": str(len(answer.body))} | dict(answer.headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer  # noqa: N815  # http.server's names

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@contextmanager
def small_server() -> Iterator[SmallServer]:
    """Run a server, and let clients of S3 find it by their environment variables."""
    server = SmallServer()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("KCD_STORE_PATIENCE", "20")
        yield server
    server.shutdown()
    server.server_close()
