"""Values and plans of a run that are damaged, lost, swapped or made up are found by what the run recorded of them."""

import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import zstd

from kcd_stores import CorruptStoreError, Plan, PlanStore, StoreError, StoreUsageError, ValueStore, keep_all

EPOCHS, SAMPLES = 3, 40


def write_values(path: Path) -> list[str]:
    """Write three epochs of values; return their checksums."""
    store, random = ValueStore.create(path, epochs=EPOCHS, samples=SAMPLES), np.random.default_rng(0)
    for epoch in range(EPOCHS):
        row = random.random(SAMPLES)
        store.write(epoch, row, np.full(SAMPLES, epoch + 1, np.int32), row.astype(np.float32))
    return store.checksums(EPOCHS)


def write_plans(path: Path) -> list[str]:
    """Write two plans, the second of which perturbs ten samples and weighs all; return their checksums."""
    store, partner, epsilon = PlanStore(path), np.full(30, -1), np.zeros(30, np.float32)
    partner[:10], epsilon[:10] = np.arange(30, 40), np.linspace(0, 0.3, 10)
    store.write(keep_all(SAMPLES))
    store.write(
        Plan(
            stage=1,
            epoch=2,
            samples=SAMPLES,
            kept=np.arange(30),
            partner=partner,
            epsilon=epsilon,
            weight=np.linspace(1, 2, 30, dtype=np.float32),
            facts={"kept": 30, "score_cut": 0.25},
        )
    )
    return store.checksums(2)


def read_values(path: Path, recorded: list[str]) -> list[bytes]:
    store = ValueStore.open(path, recorded=recorded)
    store.require_as_recorded()
    return [part.tobytes() for epoch in range(EPOCHS) for part in (*store.read(epoch), store.read_latest(epoch))]


def read_plans(path: Path, recorded: list[str]) -> list[object]:
    return [(plan.digest, dict(plan.facts)) for plan in PlanStore(path, recorded=recorded).read_all()]


@pytest.fixture(scope="module", params=["values", "plans"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder of values or plans, what was recorded of it, and how it is read."""
    path = tmp_path_factory.mktemp("recorded") / request.param
    write, read = {"values": (write_values, read_values), "plans": (write_plans, read_plans)}[request.param]
    return path, write(path), read


def test_checksums_read_from_the_disk_are_those_of_what_was_written(tmp_path: Path) -> None:
    written = write_values(tmp_path / "v")
    assert ValueStore.open(tmp_path / "v").checksums(EPOCHS) == written
    written = write_plans(tmp_path / "p")
    assert PlanStore(tmp_path / "p").checksums(2) == written


def test_every_file_flipped_cut_emptied_or_deleted_is_found_or_changes_nothing(made: Any) -> None:
    path, recorded, read = made
    expected = read(path, recorded)
    root_group = path / "zarr.json"  # only zarr reads it
    for file in sorted(path.rglob("*")):
        if not file.is_file() or file == root_group:
            continue
        content = file.read_bytes()
        places = range(0, len(content), max(len(content) // 20, 1))
        flips = [bytes([*content[:at], content[at] ^ 1 << at % 8, *content[at + 1 :]]) for at in places]
        for other in [*flips, content[:-1], content[: len(content) // 2], b"", None]:
            file.unlink() if other is None else file.write_bytes(other)
            try:
                assert read(path, recorded) == expected, f"{file}: {other!r}"
                assert file.name == "zarr.json", f"{file}: {other!r}"  # a name of a dimension, a level of compression
            except CorruptStoreError:
                pass
            file.write_bytes(content)
    assert read(path, recorded) == expected


@pytest.mark.parametrize("name", ["value", "frequency", "latest"])
def test_a_sound_chunk_in_anothers_place_is_found(tmp_path: Path, name: str) -> None:
    recorded = write_values(tmp_path)
    chunks = tmp_path / name / "c"
    shutil.copyfile(chunks / "0" / "0", chunks / "2" / "0")
    with pytest.raises(CorruptStoreError, match=f"{name}/c/2/0: it is not the chunk that was written there"):
        read_values(tmp_path, recorded)


def test_a_chunk_whose_header_lies_is_found_though_its_checksum_is_right(tmp_path: Path) -> None:
    write_values(tmp_path)
    file = tmp_path / "frequency" / "c" / "1" / "0"
    body = bytearray(file.read_bytes()[:-4])
    body[4:8] = (1 << 30).to_bytes(4, "little")  # the bytes that it says it holds
    file.write_bytes(bytes(body) + google_crc32c.value(bytes(body)).to_bytes(4, "little"))
    with pytest.raises(CorruptStoreError, match="frequency/c/1/0: it does not hold 40 numbers"):
        ValueStore.open(tmp_path).read(1)


def test_a_plan_in_anothers_place_is_found(tmp_path: Path) -> None:
    recorded = write_plans(tmp_path)
    other = PlanStore(tmp_path / "other")
    other.write(keep_all(SAMPLES))
    shutil.rmtree(tmp_path / "stage-001")
    shutil.copytree(tmp_path / "other" / "stage-000", tmp_path / "stage-001")
    with pytest.raises(CorruptStoreError, match="stage-001"):
        PlanStore(tmp_path, recorded=recorded).read(1)
    file = tmp_path / "stage-001" / "zarr.json"
    file.write_text(file.read_text().replace('"stage": 0', '"stage": 1'))
    for known in (recorded, []):
        with pytest.raises(CorruptStoreError, match="it is not the plan that was written there"):
            PlanStore(tmp_path, recorded=known).read(1)


def test_values_of_another_run_are_found(tmp_path: Path) -> None:
    recorded = write_values(tmp_path / "v")
    ValueStore.create(tmp_path / "v", epochs=2, samples=SAMPLES)
    with pytest.raises(CorruptStoreError, match="not those of the run"):
        ValueStore.open(tmp_path / "v", recorded=recorded)


# --- the first format, without checksums of rows and plans -----------------------------------------------------


@pytest.mark.parametrize("name", ["value", "latest"])
def test_a_lost_chunk_is_found_without_a_record_where_its_samples_were_visited(tmp_path: Path, name: str) -> None:
    write_values(tmp_path)
    (tmp_path / name / "c" / "1" / "0").unlink()
    store = ValueStore.open(tmp_path)
    with pytest.raises(CorruptStoreError, match=f"{name}/c/1/0: it is missing"):
        store.read_latest(1) if name == "latest" else store.read(1)


def first_format(path: Path, epsilon: np.ndarray) -> PlanStore:
    """Write a plan as version 0.1.0 did: by zarr's own defaults."""
    group = zarr.open_group(path, mode="a").create_group("stage-000", overwrite=True)
    partner = np.array([-1, 3, 4])
    for name, data in {"kept": np.arange(3), "partner": partner, "epsilon": epsilon}.items():
        group.create_array(name, data=data, dimension_names=("kept",))
    group.attrs.update({"stage": 0, "epoch": 0, "samples": 5, "facts": {}})
    return PlanStore(path)


def test_plans_of_the_first_format_are_read_and_a_lost_chunk_of_them_is_found(tmp_path: Path) -> None:
    store = first_format(tmp_path, np.array([0, 0, 0.5], np.float32))
    plan = store.read(0)
    assert (plan.kept.tolist(), plan.partner.tolist(), plan.epsilon.tolist()) == ([0, 1, 2], [-1, 3, 4], [0, 0, 0.5])
    for name in ("kept", "partner", "epsilon"):
        file = tmp_path / "stage-000" / name / "c" / "0"
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(CorruptStoreError, match=f"{name}/c/0: it is missing"):
            store.read(0)
        file.write_bytes(zstd.compress(np.zeros(1_000_000, np.uint8)))
        with pytest.raises(CorruptStoreError, match=f"{name}/c/0: it does not hold 3 numbers"):
            store.read(0)
        file.write_bytes(content)


# --- numbers that somebody made up ------------------------------------------------------------------------------


def change(file: Path, alter: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(file.read_text())
    alter(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("samples", [10**8, 10**12, 10**30])
def test_numbers_that_no_machine_could_hold_end_at_once_and_in_little_memory(tmp_path: Path, samples: int) -> None:
    write_values(tmp_path / "v")
    write_plans(tmp_path / "p")
    tracemalloc.start()
    for name in ("value", "frequency", "latest"):
        change(tmp_path / "v" / name / "zarr.json", lambda json: json.update(shape=[EPOCHS, samples]))
    change(tmp_path / "p" / "stage-001" / "zarr.json", lambda json: json["attributes"].update(samples=samples))
    change(tmp_path / "p" / "stage-001" / "kept" / "zarr.json", lambda json: json.update(shape=[samples]))
    with pytest.raises((CorruptStoreError, StoreUsageError)):
        ValueStore.open(tmp_path / "v")
    with pytest.raises((CorruptStoreError, StoreUsageError)):
        PlanStore(tmp_path / "p").read(1)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(data=st.data())
def test_whatever_stands_in_the_metadata_the_end_is_an_error_of_stores_or_the_same_plan(
    made: Any, data: st.DataObject
) -> None:
    path, recorded, read = made
    expected = read(path, recorded)
    file = data.draw(st.sampled_from(sorted(file for file in path.rglob("zarr.json") if file.parent != path)))
    content = file.read_bytes()
    tree = json.loads(content)
    place = tree["attributes"] if tree["node_type"] == "group" and data.draw(st.booleans()) else tree
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
    file.write_text(json.dumps(tree))
    try:
        assert read(path, recorded) == expected
    except StoreError:
        pass
    finally:
        file.write_bytes(content)
