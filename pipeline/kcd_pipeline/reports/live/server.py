"""The server of a live page: for this machine alone, and for reading alone."""

import os
import socket
import sys
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from kcd_pipeline.errors import UserError
from kcd_pipeline.reports.live.page import LivePage

HOST = "127.0.0.1"
# Names by which a browser on this machine, or at the other end of a tunnel to it, asks. A stranger's page can point its
# own name at 127.0.0.1 and then read what the server answers to that name (DNS rebinding).
OWN_NAMES = {"127.0.0.1", "localhost", "::1"}
PATIENCE = 30  # seconds for a request
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page itself has the other rules
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class LiveServer(ThreadingHTTPServer):
    """A server on 127.0.0.1 that answers `/` with a page and `/state` with its digest.

    Raises
    ------
    UserError
        If the port cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # on Windows, it would allow a second server on the same port

    def __init__(self, page: LivePage, port: int) -> None:
        self.page = page
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UserError(
                f"port {port} of {HOST} cannot be had ({reason}); another report may be served there. Give --port "
                f"another number, or 0 for any that is free."
            ) from error

    @property
    def address(self) -> str:
        """The page's address for a browser on this machine."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Ignore clients that went away; show anything else."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            traceback.print_exc()


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    timeout = PATIENCE
    server_version, sys_version = "kcd-pipeline", ""

    def do_GET(self) -> None:  # http.server's names
        path = urlsplit(self.path).path
        if not self._asked_by_own_name():
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, b"This server answers to 127.0.0.1 and localhost.\n")
        elif path == "/":
            self._answer(HTTPStatus.OK, self.server.page.current().html, "text/html; charset=utf-8")
        elif path == "/state":
            self._answer(HTTPStatus.OK, self.server.page.current().state, "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"The report is at /.\n")

    do_HEAD = do_GET  # noqa: N815  # the name that http.server calls

    def do_POST(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"The report can only be read.\n", allow="GET, HEAD")

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST  # noqa: N815

    def _asked_by_own_name(self) -> bool:
        try:
            return urlsplit(f"//{self.headers.get('Host', '')}").hostname in OWN_NAMES
        except ValueError:
            return False

    def _answer(
        self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8", allow: str | None = None
    ) -> None:
        self.send_response(status)
        lines = HEADERS | {"Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in (lines if allow is None else lines | {"Allow": allow}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print no line for each request: a page asks every few seconds."""
