"""moto's server on loopback, and the gateway by which it is found."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.s3 import BUCKET, PATIENCE, Gateway, bucket


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
