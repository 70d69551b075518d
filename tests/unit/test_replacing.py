"""The place of a new store: a store there is replaced, and nothing of anybody else goes with it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.encodings import pca_settings, pq_settings

from kcd_pipeline.errors import UserError
from kcd_pipeline.recipe_store.replacing import require_no_dangling_link, require_replaceable
from kcd_stores import Layout, make_encoding, open_storage
from kcd_stores.encodings import ENCODINGS, with_features
from kcd_stores.knowledge.condensed import ARRAYS as CONDENSED_ARRAYS
from kcd_stores.knowledge.creation import ALL_ARRAYS
from kcd_stores.knowledge.writer import KnowledgeWriter

FEATURES = {"dim": 4, "encoding": {"name": "float16"}}


def make_store(place: Path, *, overwrite: bool = False) -> None:
    layout = Layout(views=1, samples=4, classes=3, block_rows=4, chunk_rows=4)
    encoding = with_features(make_encoding("float16"), FEATURES)
    made_from = {"dataset": {"size": 4}}
    KnowledgeWriter.create(place, layout=layout, encoding=encoding, made_from=made_from, overwrite=overwrite)


def read_generation(path: Path) -> str:
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]
    return str(attributes["generation"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "store.zarr"
    make_store(place)
    return place


def test_a_store_alone_may_be_replaced(path: Path, tmp_path: Path) -> None:
    (path / f"zarr.{'0f' * 16}.partial").write_text("a write of zarr's, killed")
    require_replaceable(open_storage(path))
    require_replaceable(open_storage(tmp_path / "nothing"))
    require_replaceable(open_storage("memory://anything"))


def test_every_array_of_a_store_is_known(path: Path) -> None:
    arrays = {entry.name for entry in path.iterdir() if entry.is_dir()}
    settings: dict[str, dict[str, Any]] = {
        "int8": {"low": 0.0, "high": 1.0},
        "topk": {"k": 2},
        "pca": pca_settings(3),
        "pq": pq_settings(3),
    }
    for name in ENCODINGS:
        arrays |= {spec.name for spec in make_encoding(name, **settings.get(name, {})).arrays(3)}
    assert arrays | {name for name, *_ in CONDENSED_ARRAYS} <= set(ALL_ARRAYS)


@pytest.mark.parametrize(
    "name", ["teacher.safetensors", "runs/kcd/config.yaml", ".git/config", "embeddings/zarr.json", "mine.partial"]
)
def test_what_lies_beside_a_store_stays_when_it_is_replaced(path: Path, name: str) -> None:
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_text("my only copy")
    (path / "logits" / "c" / "0" / "0").mkdir(parents=True)
    (path / "logits" / "c" / "0" / "0" / "0").write_text("a shard of the older store")
    generation = read_generation(path)
    require_replaceable(open_storage(path))
    make_store(path, overwrite=True)
    assert (path / name).read_text() == "my only copy"
    assert not (path / "logits" / "c").exists()
    assert read_generation(path) != generation


def test_a_store_is_not_replaced_through_a_link(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.zarr").symlink_to(path)
    with pytest.raises(UserError, match=rf"link.zarr is a link to {path}, and --overwrite removes nothing through"):
        require_replaceable(open_storage(tmp_path / "link.zarr"))
    require_no_dangling_link(open_storage(tmp_path / "link.zarr"))


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "link.zarr").symlink_to("nothing.zarr")
    with pytest.raises(UserError, match=r"link.zarr is a link to nothing.zarr, where nothing is"):
        require_no_dangling_link(open_storage(tmp_path / "link.zarr"))
