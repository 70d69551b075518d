"""Stores of format 2, which named codecs of numcodecs, are read, verified, finished and grown as they were.

`tests/data/format-2` was written by the last version of that format. Its rows are counted, not drawn: see `counted`.
"""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from kcd_stores import CorruptStoreError, KnowledgeStore, KnowledgeWriter, verify_store
from kcd_stores.knowledge.attributes import FORMAT

COMMITTED = Path(__file__).parents[1] / "data" / "format-2"
SAMPLES = 10
RANGES = {"logits": (-6.25, 7.5), "features": (-5.1, 9.3)}
COLUMNS = {"bitround.zarr": 4, "int8.zarr": 4 + 3}


def counted(view: int, columns: int) -> np.ndarray[Any, Any]:
    """Return rows `[10, columns]` as they were written: multiples of 1/3 from -14/3 to 14/3."""
    number = np.arange(SAMPLES * columns).reshape(SAMPLES, columns)
    return ((7 * number + view) % 29 - 14).astype(np.float32) / np.float32(3)


def expected(name: str, view: int) -> np.ndarray[Any, Any]:
    """Return what the codecs of numcodecs, which did the rounding then, make of the rows."""
    rows = counted(view, COLUMNS[name])
    if name == "bitround.zarr":
        codec = numcodecs.BitRound(keepbits=5)
        return np.asarray(codec.decode(codec.encode(rows)))
    parts = []
    for (low, high), part in zip(RANGES.values(), (rows[:, :4], rows[:, 4:]), strict=True):
        codec = numcodecs.FixedScaleOffset(offset=low, scale=255 / (high - low), dtype="<f4", astype="|u1")
        parts.append(codec.decode(codec.encode(np.ascontiguousarray(part))).reshape(part.shape))
    return np.concatenate(parts, axis=1)


@pytest.fixture(params=sorted(COLUMNS))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(COMMITTED / request.param, tmp_path / request.param))


def test_it_is_read_and_verified(old: Path) -> None:
    store = KnowledgeStore.open(old, features=True)
    assert store.notice is None
    assert store.complete().tolist() == [[True] * 3, [True, True, False]]
    # a byte was divided by steps in one and is multiplied by a step: last bits of float64 differ, which shows near 0
    np.testing.assert_allclose(store.read_view(0), expected(old.name, 0), rtol=0, atol=1e-14)
    verdict = verify_store(old)
    assert (verdict.rows, verdict.missing.tolist(), verdict.damage) == (18, [[1, 2]], [])


def test_it_is_finished_and_grown_and_zarr_reads_it_by_the_codecs_that_it_names(old: Path) -> None:
    before = {file: file.read_bytes() for file in old.rglob("*") if file.is_file()}
    writer = KnowledgeWriter.open(old)
    writer.write_block(1, 2, counted(1, COLUMNS[old.name])[8:], seconds=0.5)
    unchanged = [file for file in before if "complete" not in file.parts and "seconds" not in file.parts]
    changed = {file.relative_to(old).parts[0] for file in unchanged if file.read_bytes() != before[file]}
    assert changed == {"checksums"}, "shards and metadata stay; the records of view 1 have one more"
    grown = writer.grow(3)
    for block in range(3):
        span = grown.store.layout.rows(block)
        rows = counted(2, COLUMNS[old.name])[span.start : span.stop]
        grown.write_block(2, block, rows, seconds=0.5)
    store = KnowledgeStore.open(old, features=True)
    assert json.loads((old / "zarr.json").read_text())["attributes"]["format"] == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr says that other implementations may not have these codecs
        names = ["logits", "features"] if old.name == "int8.zarr" else ["logits"]
        plain = np.concatenate([np.asarray(zarr.open_array(f"{old}/{name}", mode="r")[:]) for name in names], axis=2)
    for view in range(3):
        np.testing.assert_allclose(plain[view], expected(old.name, view), rtol=0, atol=0)
        np.testing.assert_allclose(store.read_view(view), plain[view], rtol=0, atol=1e-14)
    assert verify_store(old).sound


def test_a_new_store_of_the_same_rows_has_the_same_shards_and_identity(old: Path, tmp_path: Path) -> None:
    store = KnowledgeStore.open(old, features=True)
    new = KnowledgeWriter.create(
        tmp_path / "new.zarr", layout=store.layout, encoding=store.encoding, made_from=store.made_from
    )
    for block in range(3):
        span = store.layout.rows(block)
        new.write_block(0, block, counted(0, COLUMNS[old.name])[span.start : span.stop], seconds=0.5)
    assert new.store.identity == store.identity
    shards = [file.relative_to(old) for file in old.glob("*/c/0/*/0")]
    shards = [file for file in shards if file.parts[0] in ("logits", "features")]
    assert len(shards) == (6 if old.name == "int8.zarr" else 3)
    for file in shards:
        assert (old / file).read_bytes() == (new.store.path / file).read_bytes(), file
    assert json.loads((new.store.path / "zarr.json").read_text())["attributes"]["format"] == FORMAT


def test_metadata_of_the_other_format_are_damage(tmp_path: Path) -> None:
    old = Path(shutil.copytree(COMMITTED / "int8.zarr", tmp_path / "s"))
    store = KnowledgeStore.open(old, features=True)
    new = tmp_path / "new.zarr"
    KnowledgeWriter.create(new, layout=store.layout, encoding=store.encoding, made_from={})
    for target, source in ((old, new), (new, COMMITTED / "int8.zarr")):
        shutil.copy(source / "logits" / "zarr.json", target / "logits" / "zarr.json")
        with pytest.raises(CorruptStoreError, match=r"logits/zarr\.json: codecs: found"):
            KnowledgeStore.open(target)


@pytest.mark.parametrize("name", ["scale_factor", "add_offset"])
def test_a_scale_that_another_program_changed_is_damage(tmp_path: Path, name: str) -> None:
    old = KnowledgeStore.open(COMMITTED / "int8.zarr", features=True)
    KnowledgeWriter.create(tmp_path / "s", layout=old.layout, encoding=old.encoding, made_from={})
    file = tmp_path / "s" / "logits" / "zarr.json"
    facts = json.loads(file.read_text())
    facts["attributes"]["units"] = "nat"
    file.write_text(json.dumps(facts))
    KnowledgeStore.open(tmp_path / "s")  # attributes that others add are theirs
    facts["attributes"][name] = 2.5
    file.write_text(json.dumps(facts))
    with pytest.raises(CorruptStoreError, match=rf"logits/zarr\.json: attributes\.{name}: found 2\.5, expected"):
        KnowledgeStore.open(tmp_path / "s")
