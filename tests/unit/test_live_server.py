"""The server of a live page: what it answers to, and what it refuses."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from kcd_pipeline.errors import UserError
from kcd_pipeline.reports.live import serve
from kcd_pipeline.reports.live.page import LivePage, Rendered
from kcd_pipeline.reports.live.server import LiveServer

PAGE = Rendered(digest="abc", html="<p>±</p>".encode(), problem=None)


class ReadyPage:
    """A page that needs no rendering."""

    def current(self) -> Rendered:
        return PAGE


@contextmanager
def running() -> Iterator[LiveServer]:
    with LiveServer(cast(LivePage, ReadyPage()), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(
    server: LiveServer, path: str = "/", *, method: str = "GET", host: str | None = "localhost"
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a request whose Host header is `host`; None sends none."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_the_page_and_its_state_are_read_and_nothing_else() -> None:
    with running() as server:
        status, headers, body = ask(server)
        assert (status, body) == (200, PAGE.html)
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        status, headers, body = ask(server, method="HEAD")
        assert (status, headers["Content-Length"], body) == (200, str(len(PAGE.html)), b"")
        status, _, body = ask(server, "/state?t=1")
        assert (status, json.loads(body)) == (200, {"digest": "abc", "problem": None})
        for path in ("/../pyproject.toml", "/state/", "/index.html", "/favicon.ico"):
            assert ask(server, path)[0] == 404
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            status, headers, _ = ask(server, method=method)
            assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:9000", 200),  # a tunnel has another port at its end
        ("LOCALHOST", 200),
        ("[::1]:8765", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8765", 421),
        ("localhost@evil.example", 421),
        ("[", 421),
        ("", 421),
        (None, 421),
    ],
)
def test_only_names_of_this_machine_are_answered(host: str | None, status: int) -> None:
    with running() as server:
        for path in ("/", "/state"):
            assert ask(server, path, host=host)[0] == status


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with running() as server, pytest.raises(UserError, match=rf"port {server.server_port} of 127.0.0.1.*--port"):
        LiveServer(cast(LivePage, ReadyPage()), server.server_port)


def test_a_client_that_goes_away_is_no_event(capsys: pytest.CaptureFixture[str]) -> None:
    with running() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        connection.connect()
        connection.close()
        try:
            raise BrokenPipeError
        except BrokenPipeError:
            server.handle_error((b"", socket.socket()), ("127.0.0.1", 1))
        assert ask(server)[0] == 200
    assert capsys.readouterr().err == ""


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "runs"
    with pytest.raises(UserError, match=f"there is nothing at {missing}"):
        serve(lambda: ([missing], None), command="", port=0)
