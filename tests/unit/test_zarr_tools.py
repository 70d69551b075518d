"""Knowledge stores in the hands of people who know zarr: what one may do to a zarr group is survived, or said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from zarr.storage import LocalStore

from kcd_pipeline.cli import main
from kcd_stores import CorruptStoreError, KnowledgeStore, KnowledgeWriter, Layout, make_encoding, verify_store

LAYOUT = Layout(views=2, samples=12, classes=4, block_rows=8, chunk_rows=4)
pytestmark = [
    # zarr says of consolidated metadata that other implementations may not have it
    pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning"),
    # and of a file of the user's own that it is no part of a zarr hierarchy
    pytest.mark.filterwarnings("ignore:Object at:UserWarning"),
]


def rows_of(view: int, block: int) -> np.ndarray:
    return np.random.default_rng((view, block)).normal(size=(len(LAYOUT.rows(block)), 4)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> KnowledgeStore:
    writer = KnowledgeWriter.create(
        tmp_path / "store.zarr",
        layout=Layout(**{**vars(LAYOUT), "views": 1}),
        encoding=make_encoding("float32"),
        made_from={"dataset": "digits"},
    )
    for block in range(LAYOUT.blocks):
        writer.write_block(0, block, rows_of(0, block), seconds=0.5)
    return writer.store


def consolidate(path: Path) -> None:
    zarr.consolidate_metadata(LocalStore(path))


def note_something(path: Path) -> None:
    zarr.open_group(path, mode="r+").attrs["note"] = {"by": "somebody", "of": [1, 2]}


def describe_an_array(path: Path) -> None:
    array = zarr.open_group(path, mode="r+")["logits"]
    assert isinstance(array, zarr.Array)
    array.attrs["units"] = "nats"


def add_arrays(path: Path) -> None:
    group = zarr.open_group(path, mode="r+")
    group.create_array("umap", data=np.zeros((12, 2)))
    group.create_group("mine").create_array("notes", data=np.arange(3))


def add_files(path: Path) -> None:
    (path / "README.md").write_text("what this is")
    (path / ".zmetadata").write_text("{}")
    (path / "logits" / ".DS_Store").write_bytes(b"\0")


def write_its_json_anew(path: Path) -> None:
    """Write metadata as another implementation of zarr would: other spaces, other order."""
    for file in path.rglob("zarr.json"):
        held = json.loads(file.read_text())
        file.write_text(json.dumps(dict(reversed(held.items())), separators=(",", ":"), sort_keys=False))


DEEDS: list[Callable[[Path], None]] = [
    consolidate,
    note_something,
    describe_an_array,
    add_arrays,
    add_files,
    write_its_json_anew,
]


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
def test_what_one_may_do_to_a_zarr_group_is_survived(store: KnowledgeStore, deed: Callable[[Path], None]) -> None:
    deed(store.path)
    again = KnowledgeStore.open(store.path)
    assert again.identity == store.identity
    np.testing.assert_array_equal(again.read_view(0), np.concatenate([rows_of(0, 0), rows_of(0, 1)]))
    assert verify_store(store.path).sound
    for command in ("inspect", "verify"):
        ended = CliRunner().invoke(main, [command, str(store.path)])
        assert ended.exit_code == 0, ended.output

    grown = KnowledgeWriter.open(store.path).grow(2)
    for block in range(LAYOUT.blocks):
        grown.write_block(1, block, rows_of(1, block), seconds=0.5)
    grown.settle()
    again = KnowledgeStore.open(store.path)
    again.require_views(2)
    np.testing.assert_array_equal(again.read_view(1), np.concatenate([rows_of(1, 0), rows_of(1, 1)]))
    assert verify_store(store.path).sound
    plain = zarr.open_group(store.path, mode="r")["logits"]  # by zarr alone, which trusts consolidated metadata
    assert isinstance(plain, zarr.Array)
    np.testing.assert_array_equal(np.asarray(plain[1]), again.read_view(1))


def test_what_others_added_stays_when_a_store_grows(store: KnowledgeStore) -> None:
    for deed in (note_something, describe_an_array, add_arrays, add_files):
        deed(store.path)
    KnowledgeWriter.open(store.path).grow(2)
    group = zarr.open_group(store.path, mode="r")
    assert group.attrs["note"] == {"by": "somebody", "of": [1, 2]}
    assert {"umap", "mine"} <= set(group.keys())
    assert (store.path / "README.md").read_text() == "what this is"


def test_what_others_added_stays_when_a_store_is_replaced(store: KnowledgeStore) -> None:
    for deed in (add_arrays, add_files):
        deed(store.path)
    KnowledgeWriter.create(
        store.path, layout=LAYOUT, encoding=make_encoding("float32"), made_from={"dataset": "other"}, overwrite=True
    )
    assert (store.path / "README.md").read_text() == "what this is"
    assert "umap" in zarr.open_group(store.path, mode="r")


def copy_files(path: Path, to: Path) -> None:
    shutil.copytree(path, to)


def copy_keys(path: Path, to: Path) -> None:
    """Copy key by key, the way zarr tools copy from one kind of place to another."""
    held: dict[str, Any] = {}
    group = zarr.open_group(path, mode="r")
    for file in path.rglob("*"):
        if file.is_file():
            held[str(file.relative_to(path))] = file.read_bytes()
    assert group.metadata.zarr_format == 3
    for key, data in reversed(held.items()):
        (to / key).parent.mkdir(parents=True, exist_ok=True)
        (to / key).write_bytes(data)


def copy_chunks(path: Path, to: Path) -> None:
    """Copy by zarr's interface: arrays of the same shape and codecs, filled with the same numbers."""
    source, target = zarr.open_group(path, mode="r"), zarr.create_group(to, zarr_format=3)
    target.attrs.update(dict(source.attrs))
    for name, array in source.arrays():
        copied = zarr.from_array(target.store, data=array, name=name, fill_value=array.fill_value, write_data=False)
        copied[...] = array[...]


@pytest.mark.parametrize("copy", [copy_files, copy_keys, copy_chunks], ids=lambda copy: copy.__name__)
def test_a_copy_is_as_good(store: KnowledgeStore, tmp_path: Path, copy: Callable[[Path, Path], None]) -> None:
    copy(store.path, tmp_path / "copy.zarr")
    assert verify_store(tmp_path / "copy.zarr").sound
    again = KnowledgeStore.open(tmp_path / "copy.zarr")
    assert again.identity == store.identity
    np.testing.assert_array_equal(again.read_view(0), store.read_view(0))


def resize(path: Path) -> None:
    array = zarr.open_group(path, mode="r+")["logits"]
    assert isinstance(array, zarr.Array)
    array.resize((1, 11, 4))


def recode(path: Path) -> None:
    group = zarr.open_group(path, mode="r+")
    array = group["logits"]
    assert isinstance(array, zarr.Array)
    values = np.asarray(array[...])
    del group["logits"]
    group.create_array("logits", data=values)


def overwrite_numbers(path: Path) -> None:
    array = zarr.open_group(path, mode="r+")["logits"]
    assert isinstance(array, zarr.Array)
    array[0, 3] = 1.0


def drop_chunks(path: Path) -> None:
    array = zarr.open_group(path, mode="r+")["logits"]
    assert isinstance(array, zarr.Array)
    array[0, :8] = np.nan  # zarr leaves out shards that hold nothing but the fill value


@pytest.mark.parametrize("deed", [resize, recode, overwrite_numbers, drop_chunks], ids=lambda deed: deed.__name__)
def test_what_changes_the_knowledge_is_said(store: KnowledgeStore, deed: Callable[[Path], None]) -> None:
    deed(store.path)
    with pytest.raises(CorruptStoreError, match="logits"):
        KnowledgeStore.open(store.path).read_view(0)
