"""Whatever stands in the metadata of a store, opening and verifying it ends with a store's own error, soon."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kcd_stores import (
    CorruptStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    StoreError,
    StoreUsageError,
    make_encoding,
    verify_store,
)
from kcd_stores.knowledge.attributes import checked

LAYOUT = Layout(views=2, samples=6, classes=3, block_rows=4, chunk_rows=2)
Change = Callable[[dict[str, Any]], None]

wrong_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, 10**8, 10**12, 10**30, 1e308, -1e308, 5e-324, 0.5]),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(-5, 10**12), max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


def make(path: Path) -> Path:
    writer = KnowledgeWriter.create(
        path, layout=LAYOUT, encoding=make_encoding("int8", low=-9.0, high=9.0), made_from={"dataset": {"size": 6}}
    )
    for view, block in LAYOUT.all_blocks():
        rows = np.full((len(LAYOUT.rows(block)), 3), view - block, np.float32)
        writer.write_block(view, block, rows, seconds=0.5)
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("crafted") / "store.zarr")


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of each value in a JSON document, those of inner ones too."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, child in children for inner in paths_of(child, (*path, key)))]


def replaced(document: dict[str, Any], path: tuple[Any, ...], value: Any, *, remove: bool) -> Any:
    """Return the document with another value at `path`, or none."""
    changed = copy.deepcopy(document)
    if not path:
        return value
    place = changed
    for key in path[:-1]:
        place = place[key]
    if remove and isinstance(place, dict):
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


def open_all(store: Path) -> None:
    """Open, read, verify and write a store as commands do; only errors of stores may come, of one paragraph each."""
    try:
        opened = KnowledgeStore.open(store, features=True)
        opened.require_views(1)
        opened.read_view(0)
        assert verify_store(store).damage == []
        KnowledgeWriter.open(store).write_block(0, 0, opened.read_rows(0, 0, 4), seconds=1.0)
    except StoreError as error:
        said = str(error)
    else:
        return
    assert "\n\n" not in said
    assert len(said) < 1500


FEW = settings(max_examples=40, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(data=st.data(), value=wrong_values, remove=st.booleans(), sealed=st.booleans())
def test_any_attribute(
    sound: Path, tmp_path: Path, data: st.DataObject, value: Any, remove: bool, sealed: bool
) -> None:
    """One value of the attributes is another, or gone; with a checksum that fits it, and with the old one."""
    store = shutil.copytree(sound, tmp_path / "store.zarr", dirs_exist_ok=True)
    document = json.loads((sound / "zarr.json").read_text())
    path = data.draw(st.sampled_from(paths_of(document)))
    changed = replaced(document, path, value, remove=remove)
    if sealed and isinstance(changed, dict) and isinstance(changed.get("attributes"), dict):
        try:
            changed["attributes"] = checked(changed["attributes"])
        except ValueError:
            return  # what is no JSON
    (store / "zarr.json").write_text(json.dumps(changed))
    open_all(store)


@FEW
@given(
    data=st.data(), value=wrong_values, remove=st.booleans(), array=st.sampled_from(["logits", "complete", "checksums"])
)
def test_any_metadata_of_an_array(
    sound: Path, tmp_path: Path, data: st.DataObject, value: Any, remove: bool, array: str
) -> None:
    store = shutil.copytree(sound, tmp_path / "store.zarr", dirs_exist_ok=True)
    document = json.loads((sound / array / "zarr.json").read_text())
    changed = replaced(document, data.draw(st.sampled_from(paths_of(document))), value, remove=remove)
    (store / array / "zarr.json").write_text(json.dumps(changed))
    open_all(store)


@FEW
@given(
    name=st.sampled_from(["zarr.json", "logits/zarr.json", "complete/c/0/0", "seconds/c/0/0", "checksums/c/0/0/0"]),
    content=st.one_of(
        st.binary(max_size=64),
        st.sampled_from(
            [b"[" * 100_000, b'{"a":' * 50_000, b"{}", b"1" * 5000, b"\xff\xfe", b"null", b"NaN", b"<html>"]
        ),
    ),
)
def test_any_content_of_a_file(sound: Path, tmp_path: Path, name: str, content: bytes) -> None:
    store = shutil.copytree(sound, tmp_path / "store.zarr", dirs_exist_ok=True)
    (store / name).write_bytes(content)
    open_all(store)


# --- the cases by name ----------------------------------------------------------------------------------------


def set_attribute(store: Path, *path: str, value: Any, seal: bool = True) -> None:
    """Change one attribute of a store; with `seal`, so that the checksum is right all the same."""
    document = json.loads((store / "zarr.json").read_text())
    place = document["attributes"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    if seal:
        document["attributes"] = checked(document["attributes"])
    (store / "zarr.json").write_text(json.dumps(document))


def test_another_number_in_the_encoding_is_found_when_a_store_is_opened(sound: Path, tmp_path: Path) -> None:
    """It would turn the bytes of every row into other logits."""
    store = shutil.copytree(sound, tmp_path / "store.zarr")
    set_attribute(store, "encoding", "high", value=8.0, seal=False)
    for opening in (KnowledgeStore.open, KnowledgeWriter.open, verify_store):
        with pytest.raises(
            CorruptStoreError, match=r"damaged in zarr.json: attributes.checksum: found \w+…, expected \w+…"
        ):
            opening(store)
    set_attribute(store, "encoding", "high", value=8.0, seal=True)
    with pytest.raises(CorruptStoreError, match=r"damaged in logits/zarr.json: codecs: found"):
        KnowledgeStore.open(store)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("layout", "views"), 10**8, "a store has at most 65,536 views, not 100,000,000"),
        (("layout", "samples"), 10**12, "a store has at most 4,194,304 blocks in all views"),
        (("layout", "block_rows"), 2**40, "a store has at most 4,294,967,296 rows in a block"),
        (("layout", "views"), 0, "views must be at least 1, got 0"),
        (("layout", "views"), None, "layout.views: found None"),
        (("layout", "classes"), 3.5, "layout.classes: found 3.5"),
        (("layout", "extra"), 1, "layout.extra: found 1"),
        (("encoding", "name"), "int9", "encoding: found"),
        (("encoding", "high"), "9", "encoding.int8.high: found '9'"),
        (("encoding", "high"), -9.0, "int8 needs low < high"),
        (("features",), {"dim": 0, "encoding": {"name": "float16"}}, "features.dim: found 0"),
        (("made_from",), [], "made_from: found []"),
        (("fidelity",), {"rows": 3}, "fidelity.mean_kl: found nothing"),
        (("made_from", "condensed"), "yes", "made_from.condensed: found 'yes'"),
        (
            ("made_from", "condensed"),
            {"plan": "p", "encoding": {"k": 3}},
            "made_from.condensed.encoding: found {'k': 3}",
        ),
        (("generation",), "xyz", "generation: found 'xyz'"),
    ],
)
def test_a_value_that_cannot_be_is_named(
    sound: Path, tmp_path: Path, path: tuple[str, ...], value: Any, said: str
) -> None:
    store = shutil.copytree(sound, tmp_path / "store.zarr")
    set_attribute(store, *path, value=value)
    with pytest.raises(CorruptStoreError, match=r"damaged in zarr\.json") as caught:
        KnowledgeStore.open(store)
    assert said in str(caught.value)


@pytest.mark.parametrize(("path", "value"), [(("kind",), "values"), (("format",), 4), (("format",), True)])
def test_a_store_of_something_else_is_the_users_to_mend(
    sound: Path, tmp_path: Path, path: tuple[str, ...], value: Any
) -> None:
    store = shutil.copytree(sound, tmp_path / "store.zarr")
    set_attribute(store, *path, value=value)
    with pytest.raises(StoreUsageError, match="is not a knowledge store that can be read here"):
        KnowledgeStore.open(store)


def test_what_others_add_to_the_group_is_left_alone(sound: Path, tmp_path: Path) -> None:
    store = shutil.copytree(sound, tmp_path / "store.zarr")
    set_attribute(store, "note", value="mine", seal=False)
    grown = KnowledgeWriter.open(store).grow(3)
    assert json.loads((store / "zarr.json").read_text())["attributes"]["note"] == "mine"
    np.testing.assert_array_equal(grown.store.read_view(1), KnowledgeStore.open(sound).read_view(1))
