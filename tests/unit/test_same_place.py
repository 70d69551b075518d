"""Names of places: which of them are one and the same, and what of a URL is never shown."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcd_stores import StoreUsageError, masked, open_storage, same_place
from kcd_stores.storage.remote_errors import explained, without_secrets


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a store, a link to it and a link to their folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.zarr").mkdir()
    (tmp_path / "link.zarr").symlink_to("store.zarr")
    (tmp_path / "there").symlink_to(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "written",
    [
        "store.zarr",
        "./store.zarr/",
        "x/../store.zarr",
        "{here}/store.zarr",
        "file://{here}/store.zarr",
        "file://localhost{here}/x/../store%2Ezarr",
        "link.zarr",
        "there/there/link.zarr",
    ],
)
def test_a_folder_is_one_place_however_it_is_written(here: Path, written: str) -> None:
    assert same_place("store.zarr", written.format(here=here))
    assert not same_place("other.zarr", written.format(here=here))


def test_a_place_that_is_not_there_yet_is_one_place_too(here: Path) -> None:
    assert same_place("new.zarr", f"file://{here}/there/new.zarr")
    assert not same_place("new.zarr", "memory://new.zarr")


def test_two_names_of_one_folder_that_are_no_links(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that ignores letter case, or one that is mounted twice, has two names for one folder."""
    same = Path("store.zarr").stat()
    monkeypatch.setattr(Path, "stat", lambda self, **_: same)
    assert same_place("store.zarr", "STORE.ZARR")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s3://bucket/a/store", "s3a://bucket/x/../a//store/"),
        ("az://box/store", "azure://box/store"),
        ("abfs://box@account/store", "abfss://box@account/store"),
        ("https://host/store", "HTTPS://HOST:443/./store/"),
        ("memory://trial", "memory://trial/"),
    ],
)
def test_a_remote_place_is_one_place_however_it_is_written(one: str, other: str) -> None:
    assert same_place(one, other)
    assert same_place(open_storage(one), other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s3://bucket/store", "gs://bucket/store"),
        ("s3://bucket/store", "s3://bucket/Store"),
        ("abfs://box@account/store", "abfs://case@account/store"),
        ("https://host/store", "https://host:8443/store"),
    ],
)
def test_what_looks_alike_is_not_one_place(one: str, other: str) -> None:
    assert not same_place(one, other)


def test_characters_of_a_file_name_are_kept_in_a_file_url() -> None:
    assert open_storage("file:///data/a#b?c.zarr").path == Path("/data/a#b?c.zarr")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ada:secret@host/store.zarr", "https://***@host/store.zarr"),
        ("https://secret@host/store.zarr", "https://***@host/store.zarr"),
        ("https://ada:sec/ret@host/store.zarr", "https://***@host/store.zarr"),
        ("https://ada:sec@ret@host/a@b", "https://***@host/a@b"),
        ("https://host/store.zarr?X-Amz-Signature=secret&b=secret", "https://host/store.zarr?***"),
        ("https://host/store.zarr#token=secret", "https://host/store.zarr#***"),
        ("s3://key:secret@bucket/store", "s3://***@bucket/store"),
        ("abfs://box@account/store", "abfs://box@account/store"),
        ("abfs://box:secret@account/store", "abfs://***@account/store"),
        ("http://host:8080/a@b/store", "http://host:8080/a@b/store"),
        ("http://[::1]:8080/a@b", "http://[::1]:8080/a@b"),
        ("GET (https://ada:secret@host/a) failed", "GET (https://***@host/a) failed"),
        ("a@b?c=d/store.zarr", "a@b?c=d/store.zarr"),
    ],
)
def test_secrets_of_a_url_are_masked(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize("text", ["a://" * 20_000, "a://b:" * 20_000, "?" * 50_000 + "://", "https://" + "x:" * 50_000])
def test_a_long_text_of_a_stranger_is_searched_in_bounded_time(text: str) -> None:
    began = time.process_time()
    masked(text)
    assert time.process_time() - began < 5


@settings(max_examples=40)
@given(
    user=st.text("ab1.-_~%", max_size=4),
    password=st.text("xyz!$&'()*+,;=:@/?#[]%", min_size=1, max_size=12).map(lambda tail: f"SECRET{tail}"),
)
def test_no_password_shows_through(user: str, password: str) -> None:
    """A password that is written as it is, though a URL would have it encoded, is masked whole."""
    url = f"https://{user}:{password}@host/store.zarr"
    assert "SECRET" not in masked(url)
    with pytest.raises(StoreUsageError) as caught:
        open_storage(url)
    assert "SECRET" not in str(caught.value)


def test_a_client_error_that_names_a_secret_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://ada:secret@127.0.0.1:1")
    error = Exception("error at http://ada:secret@127.0.0.1:1/bucket?sig=secret: no idea")
    told = explained("s3://bucket/key", error)
    assert "secret" not in str(told)
    assert without_secrets(error) is None
    assert without_secrets(plain := Exception("no idea")) is plain


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://key:secret@bucket/store", "credentials from"),
        ("s3://key:secret@bucket", "names no place"),
        ("https://ada:secret@host/store.zarr", "read without any"),
        ("ftp://ada:secret@host/store", "a kind that cannot hold a store"),
        ("https://host/store.zarr?X-Amz-Signature=secret", "A signature opens one object"),
        ("file://ada:secret@host/store", "another machine"),
    ],
)
def test_secrets_that_no_client_would_use_are_refused_unshown(url: str, says: str) -> None:
    with pytest.raises(StoreUsageError) as caught:
        open_storage(url)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)
