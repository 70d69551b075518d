"""Places of stores as people write them: how they are understood, and how mistakes are refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from kcd_pipeline.cli.boundary import explain
from kcd_stores import FolderStorage, StoreError, StoreUsageError, is_vacant, open_storage
from kcd_stores.storage import ObjectStorage, WebStorage
from kcd_stores.storage.location import parse_location
from kcd_stores.storage.remote_errors import explained
from kcd_stores.storage.settings import RETRY_SECONDS, retry_seconds


@pytest.mark.parametrize(
    ("written", "folder"),
    [
        ("runs/store.zarr", "runs/store.zarr"),
        ("/a b/store.zarr", "/a b/store.zarr"),
        ("./12:30/store.zarr", "12:30/store.zarr"),
        ("C:/store.zarr", "C:/store.zarr"),
        ("file:///a%20b/store.zarr", "/a b/store.zarr"),
        ("file://localhost/a/store.zarr", "/a/store.zarr"),
        (Path("runs/store.zarr"), "runs/store.zarr"),
    ],
)
def test_paths_are_folders(written: str | Path, folder: str) -> None:
    assert parse_location(written) == Path(folder)
    storage = open_storage(written)
    assert (type(storage), storage.path, str(storage)) == (FolderStorage, Path(folder), str(Path(folder)))
    assert open_storage(storage) is storage


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("s3://bucket/key", "s3://bucket/key"),
        ("S3://bucket/a/key.zarr/", "s3://bucket/a/key.zarr"),
        ("gs://bucket/a b#c?.zarr", "gs://bucket/a b#c?.zarr"),
        ("az://container/key", "az://container/key"),
        ("https://host:8080/a b/key", "https://host:8080/a b/key"),
        ("memory://trial", "memory://trial"),
    ],
)
def test_urls_are_remote(written: str, url: str) -> None:
    assert parse_location(written) == url
    storage = open_storage(written)
    assert isinstance(storage, WebStorage if url.startswith("http") else ObjectStorage)
    assert (storage.url, str(storage)) == (url, url)
    with pytest.raises(StoreUsageError, match="remote store, where a folder is needed"):
        _ = storage.path
    assert storage.free_space() is None


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("s3:/bucket/key", "'s3:/bucket/key' lacks a slash"),
        (
            Path("s3://bucket/key"),
            "lacks a slash",
        ),  # a Path mangles a URL; it is refused, not written to a folder called s3:
        ("s3://bucket", "names no place for a store: give a bucket and a key"),
        ("s3://bucket/", "s3://bucket/store.zarr"),
        ("s3:///key", "names no place"),
        ("ftp://host/key", "a kind that cannot hold a store; what can: a path, file://, s3://"),
        ("file://host/key", "another machine"),
    ],
)
def test_what_cannot_be_meant_is_refused(written: str | Path, says: str) -> None:
    with pytest.raises(StoreUsageError) as caught:
        open_storage(written)
    assert says in str(caught.value)


def test_without_obstore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("obstore", "obstore.store", "obstore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StoreUsageError) as caught:
        is_vacant("s3://bucket/key")
    assert "s3://bucket/key is a remote store" in str(caught.value)
    assert "pip install obstore" in str(caught.value)
    assert 'pip install -e ".[remote]"' in explain(caught.value)[0]


def test_local_stores_need_no_obstore() -> None:
    code = "import sys, kcd_stores; kcd_stores.is_vacant('nowhere'); sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("bad", ["soon", "0", "-1", "nan", "inf"])
def test_the_time_for_retries_is_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    monkeypatch.setenv("KCD_STORE_PATIENCE", bad)
    with pytest.raises(StoreUsageError, match=f"KCD_STORE_PATIENCE is '{bad}'"):
        retry_seconds()
    monkeypatch.setenv("KCD_STORE_PATIENCE", "2.5")
    assert retry_seconds() == 2.5
    monkeypatch.delenv("KCD_STORE_PATIENCE")
    assert retry_seconds() == RETRY_SECONDS


@pytest.mark.parametrize(
    ("found", "kind", "says"),
    [
        ("... 404 Not Found: <Error><Code>NoSuchBucket</Code>", StoreUsageError, "there is no bucket 'bucket' at"),
        ("Error performing PUT http://169.254.169.254/latest/api/token", StoreUsageError, "no credentials were found"),
        ("status code: 403 Forbidden: <Code>SignatureDoesNotMatch</Code>", StoreUsageError, "SignatureDoesNotMatch"),
        ("Received redirect without LOCATION", StoreUsageError, "AWS_REGION"),
        (
            "status code: 503 Service Unavailable: <Code>SlowDown</Code>",
            StoreError,
            "503 Service Unavailable, SlowDown",
        ),
        ("status code: 429 Too Many Requests", StoreError, "429 Too Many Requests"),
        ("HTTP error: error sending request\n\n kind: Timeout,", StoreError, "no answer in time"),
        ("HTTP error: error sending request\n\n kind: Connect,", StoreError, "no connection"),
    ],
)
def test_what_a_client_finds_is_told_in_one_paragraph(
    monkeypatch: pytest.MonkeyPatch, found: str, kind: type[StoreError], says: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    told = explained("s3://bucket/key", Exception(found))
    assert type(told) is kind
    assert says in str(told)
    assert str(told).startswith("s3://bucket/key cannot be used")
    assert "\n" not in str(told)
