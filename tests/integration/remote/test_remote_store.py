"""Stores in S3, by its real protocol: their objects, their requests, and two writers at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from tests.support.files import file_contents, knowledge_contents, knowledge_files
from tests.support.s3 import BUCKET, FACTS, LAYOUT, RECORD, Gateway, bucket, filled, logits_of, objects
from tests.support.storage_conformance import WritingConformance

from kcd_stores import (
    IncompleteStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Storage,
    StoreError,
    StoreReplacedError,
    StoreUsageError,
    ViewStream,
    make_encoding,
    open_storage,
)

for needed in ("boto3", "moto", "obstore"):
    pytest.importorskip(needed)


# --- the place ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("gateway")
class TestS3(WritingConformance):
    @pytest.fixture
    def empty(self) -> Storage:
        return open_storage(f"s3://{BUCKET}/conformance of storages/{uuid4().hex}")

    def put(self, storage: Storage, name: str, data: bytes) -> None:
        bucket().put_object(Bucket=BUCKET, Key=f"{storage}/{name}".removeprefix(f"s3://{BUCKET}/"), Body=data)


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
        assert [view[np.arange(140)].shape for view in stream] == [(140, 10)] * 3
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


def test_a_neighbour_is_not_part_of_a_store(gateway: Gateway, url: str) -> None:
    bucket().put_object(Bucket=BUCKET, Key=url.removeprefix(f"s3://{BUCKET}/") + "-2/x", Body=b"1")
    filled(url)
    KnowledgeWriter.create(url, encoding=make_encoding("float16"), overwrite=True, **FACTS)
    assert len(objects(url.removeprefix(f"s3://{BUCKET}/") + "-2")) == 1
