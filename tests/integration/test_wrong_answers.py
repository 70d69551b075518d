"""Servers that answer wrongly: what is read is right, or one paragraph names the object."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.support.small_server import Answer, SmallServer, small_server

from kcd_pipeline.cli.boundary import explain
from kcd_stores import KnowledgeStore, KnowledgeWriter, Layout, StoreError, StoreUsageError, make_encoding, open_storage

pytest.importorskip("obstore")

LAYOUT = Layout(views=1, samples=140, classes=10, block_rows=64, chunk_rows=16)
ROWS = np.random.default_rng(0).normal(size=(140, 10)).astype(np.float32)
PAGE = b"\n <!DOCTYPE html><html><body>Please log in</body></html>"
OK = (200, 206)

Meddle = Callable[[Answer], Answer]

# how an answer that would have been right is changed
FAULTS: dict[str, Meddle] = {
    "page": lambda right: Answer(200, PAGE, {"Content-Type": "text/html", "ETag": "x", **_dated(right)}),
    "empty": lambda right: replace(right, body=b""),
    "half": lambda right: replace(right, body=right.body[: len(right.body) // 2]),
    "cut off": lambda right: replace(
        right,
        body=right.body[: len(right.body) // 2],
        headers={**right.headers, "Content-Length": str(len(right.body)), "Connection": "close"},
    ),
    "other bytes": lambda right: replace(right, body=bytes(len(right.body))),
    "other range": lambda right: replace(right, body=right.body[::-1]),
    "no range": lambda right: Answer(200, right.body, _dated(right)),
    "missing": lambda right: Answer(404, b"<Error><Code>NoSuchKey</Code></Error>"),
    "nothing": lambda right: Answer(204),
    "not modified": lambda right: Answer(304),
    "forbidden": lambda right: Answer(403, b"<Error><Code>AccessDenied</Code></Error>"),
    "failing": lambda right: Answer(503),
    "nonsense": lambda right: replace(right, headers={**right.headers, "Last-Modified": "yesterday", "ETag": "\xff"}),
    "json": lambda right: Answer(200, b'{"a": 1}', {"ETag": "x", **_dated(right)}),
}


def _dated(right: Answer) -> dict[str, str]:
    return {name: value for name, value in right.headers.items() if name == "Last-Modified"}


@pytest.fixture(scope="module")
def running() -> Iterator[SmallServer]:
    """A server with a whole store."""
    with small_server() as server:
        writer = KnowledgeWriter.create(
            "s3://bucket/store.zarr", layout=LAYOUT, encoding=make_encoding("float32"), made_from={"dataset": "digits"}
        )
        for view, block in LAYOUT.all_blocks():
            rows = LAYOUT.rows(block)
            writer.write_block(view, block, ROWS[rows.start : rows.stop], seconds=0.5)
        yield server


@pytest.fixture
def server(running: SmallServer) -> Iterator[SmallServer]:
    running.requests.clear()
    yield running
    running.meddle = lambda method, path, answer: answer


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon, for tests in which it does not matter whether a right answer comes in time."""
    monkeypatch.setenv("KCD_STORE_PATIENCE", "0.1")


def address(server: SmallServer, kind: str) -> str:
    return "s3://bucket/store.zarr" if kind == "s3" else f"{server.url}/bucket/store.zarr"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["s3", "web"])
@pytest.mark.parametrize("spoiled", ["zarr.json", "logits/zarr.json", "complete/c/", "checksums/c/", "logits/c/0/1"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_answer_is_named_or_harmless(server: SmallServer, kind: str, spoiled: str, fault: str) -> None:
    url = address(server, kind)

    def meddle(_: str, path: str, right: Answer) -> Answer:
        return FAULTS[fault](right) if f"store.zarr/{spoiled}" in path and right.status in OK else right

    server.meddle = meddle
    for start, stop in ((0, 140), (70, 74)):  # a whole shard by one request, and ranges of one
        try:
            rows = KnowledgeStore.open(url).read_rows(0, start, stop)
        except StoreError as error:
            said, code = explain(error)
            assert code in (1, 2)
            assert url in said
            assert "not foreseen" not in said
            assert "\n" not in said
            assert len(said) < 800
        else:
            np.testing.assert_array_equal(rows, ROWS[start:stop])


@pytest.mark.parametrize("kind", ["s3", "web"])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("page", "in place of logits/c/0/0/0 came a web page"),
        ("failing", "503"),
        ("forbidden", "for logits/c/0/0/0 (403 Forbidden"),
        ("cut off", "could not be reached"),
    ],
)
def test_what_is_wrong_is_said(
    server: SmallServer, monkeypatch: pytest.MonkeyPatch, kind: str, fault: str, says: str
) -> None:
    monkeypatch.setenv("KCD_STORE_PATIENCE", "1" if fault in ("failing", "cut off") else "10")
    server.meddle = lambda _, path, right: FAULTS[fault](right) if "logits/c/0/0" in path else right
    with pytest.raises(StoreError) as caught:
        KnowledgeStore.open(address(server, kind)).read_view(0)
    assert says in str(caught.value)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("kind", ["s3", "web"])
def test_what_is_larger_than_it_can_be_is_not_read(
    server: SmallServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcd_stores.storage.settings.LARGEST_METADATA", 100)
    with pytest.raises(StoreError, match=r"zarr.json.* than 100"):
        KnowledgeStore.open(address(server, kind))


@pytest.mark.parametrize("kind", ["s3", "web"])
def test_an_answer_that_is_no_range_is_not_taken_for_one(server: SmallServer, kind: str) -> None:
    server.meddle = lambda _, path, right: FAULTS["no range"](right) if "logits/c/0/1" in path else right
    with pytest.raises(StoreError, match="logits/c/0/1/0"):
        KnowledgeStore.open(address(server, kind)).read_rows(0, 70, 74)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("nonsense", "other range")])
def test_a_list_that_is_none_is_not_taken_for_an_empty_place(server: SmallServer, fault: str) -> None:
    """Or a store that is there is made anew."""
    server.meddle = lambda _, path, right: FAULTS[fault](right) if path == "/bucket" else right
    try:
        vacant = open_storage("s3://bucket/store.zarr").is_vacant()
    except StoreError as error:
        vacant, said = False, str(error)
        assert said.startswith("s3://bucket/store.zarr cannot be used")
    assert not vacant


def test_a_list_of_a_moment_ago_hides_no_store(server: SmallServer) -> None:
    server.meddle = lambda _, path, right: (
        Answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        if path == "/bucket"
        else right
    )
    assert not open_storage("s3://bucket/store.zarr").is_vacant()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", ["page", "empty", "missing", "nothing", "not modified", "forbidden", "failing"])
def test_a_write_that_was_not_confirmed_has_failed(server: SmallServer, fault: str) -> None:
    server.meddle = lambda method, _, right: FAULTS[fault](right) if method == "PUT" else right
    try:
        open_storage("s3://bucket/another.zarr").put("a", b"data")
    except StoreError as error:
        said, _ = explain(error)
        assert "s3://bucket/another.zarr cannot be used" in said
        assert "\n" not in said
    else:
        assert fault in ("empty", "page")  # which confirm it: a status and a version are all that counts


# --- redirections ---------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere() -> Iterator[SmallServer]:
    with small_server() as other:
        yield other


def test_no_web_server_leads_to_another_host(server: SmallServer, elsewhere: SmallServer) -> None:
    target = elsewhere.url.replace("127.0.0.1", "localhost")
    server.meddle = lambda _, path, right: Answer(302, headers={"Location": f"{target}{path}?token=secret"})
    with pytest.raises(StoreUsageError) as caught:
        KnowledgeStore.open(address(server, "web"))
    assert f"points to another host, {target}/bucket/store.zarr/zarr.json?***" in str(caught.value)
    server.meddle = lambda _, path, right: Answer(302, headers={"Location": f"{elsewhere.url}{path}"})
    with pytest.raises(StoreUsageError, match="another host"):  # another port may be another person's
        KnowledgeStore.open(address(server, "web"))
    server.meddle = lambda _, path, right: Answer(302, headers={"Location": "file:///etc/passwd"})
    with pytest.raises(StoreUsageError, match="another host"):
        KnowledgeStore.open(address(server, "web"))
    assert elsewhere.requests == []


def test_a_web_server_may_lead_to_another_place_of_its_own(server: SmallServer) -> None:
    def moved(_: str, path: str, right: Answer) -> Answer:
        target = path.replace("/old/", "/bucket/")
        return Answer(301, headers={"Location": target}) if path != target else right

    server.meddle = moved
    np.testing.assert_array_equal(KnowledgeStore.open(f"{server.url}/old/store.zarr").read_view(0), ROWS)
    server.meddle = lambda _, path, right: Answer(302, headers={"Location": path})
    with pytest.raises(StoreError, match="from place to place"):
        KnowledgeStore.open(f"{server.url}/old/store.zarr")
