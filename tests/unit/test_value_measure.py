"""The measure that values record: by what name, and what earlier versions wrote in its place."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from tests.support.plain_zarr import read_array

from kcd_pipeline.errors import DamagedError
from kcd_pipeline.runs import RunFolder, open_values
from kcd_stores import CorruptStoreError, ValueStore


def made(path: Path, **measure: str) -> ValueStore:
    store = ValueStore.create(path, epochs=2, samples=3, **measure)
    store.write(0, np.arange(3.0), np.ones(3, np.int32), np.array([0.5, 1, 2], np.float32))
    return store


def as_earlier_versions_wrote(path: Path) -> None:
    """Take the measure from the attributes, and give the array of the latest worths its name of the time."""
    edit(path, lambda attributes: attributes.pop("measure"))
    (path / "latest").rename(path / "entropy")


def edit(path: Path, change: Any) -> None:
    group = json.loads((path / "zarr.json").read_text())
    change(group["attributes"])
    (path / "zarr.json").write_text(json.dumps(group))


def test_values_say_what_they_measure(tmp_path: Path) -> None:
    assert made(tmp_path / "one.zarr", measure="gap").measure == "gap"
    assert ValueStore.open(tmp_path / "one.zarr").measure == "gap"
    plain: Any = zarr.open_group(tmp_path / "one.zarr", mode="r")
    assert dict(plain.attrs) == {"kind": "values", "measure": "gap"}
    assert made(tmp_path / "other.zarr").measure == "entropy"


def test_values_of_earlier_versions_are_entropies_and_go_on_in_their_own_array(tmp_path: Path) -> None:
    path = tmp_path / "values.zarr"
    recorded = made(path).checksums(1)
    as_earlier_versions_wrote(path)
    store = ValueStore.open(path, recorded=recorded)
    assert store.measure == "entropy"
    assert store.read_latest(0).tolist() == [0.5, 1, 2]
    store.write(1, np.arange(3.0), np.ones(3, np.int32), np.array([0.25, 1, 2], np.float32))
    assert read_array(path, "entropy")[1].tolist() == [0.25, 1, 2]
    assert not (path / "latest").exists()
    ValueStore.open(path, recorded=store.checksums(2)).require_as_recorded()


@pytest.mark.parametrize("measure", [7, "", ["entropy"], "e" * 1000])
def test_a_measure_that_is_no_name_is_damage(tmp_path: Path, measure: Any) -> None:
    made(tmp_path / "values.zarr")
    edit(tmp_path / "values.zarr", lambda attributes: attributes.update(measure=measure))
    with pytest.raises(
        CorruptStoreError, match=r"values\.zarr/zarr\.json: measure is .*, expected the name of a value"
    ):
        ValueStore.open(tmp_path / "values.zarr")


def test_values_without_the_metadata_of_their_group_are_damaged(tmp_path: Path) -> None:
    made(tmp_path / "values.zarr")
    (tmp_path / "values.zarr" / "zarr.json").unlink()
    with pytest.raises(CorruptStoreError, match=r"values\.zarr/zarr\.json: it is missing"):
        ValueStore.open(tmp_path / "values.zarr")


def test_a_lost_measure_is_not_taken_for_entropy(tmp_path: Path) -> None:
    made(tmp_path / "values.zarr", measure="gap")
    edit(tmp_path / "values.zarr", lambda attributes: attributes.pop("measure"))
    with pytest.raises(CorruptStoreError, match="lack the array 'entropy'"):
        ValueStore.open(tmp_path / "values.zarr")


def test_a_run_whose_values_measure_something_else_than_its_config_says_is_damaged(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin({"condense": {"value": "gap"}}, {})
    made(folder.values, measure="gap")
    assert open_values(folder).measure == "gap"
    edit(folder.values, lambda attributes: attributes.update(measure="entropy"))
    assert open_values(folder).measure == "entropy", "so a student without a teacher records"
    edit(folder.values, lambda attributes: attributes.update(measure="gas"))
    with pytest.raises(
        DamagedError, match=r"zarr\.json is damaged: measure is gas, expected gap, which .*config\.yaml"
    ):
        open_values(folder)
