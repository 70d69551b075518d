"""Stores of several teachers that are made in one pass over the images, which are decoded and augmented once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from tests.support.commands import run_command, succeed
from tests.support.files import knowledge_contents
from tests.support.recipes import as_overrides

import kcd_pipeline
from kcd_pipeline.augmentation.views import InMemoryViews
from kcd_pipeline.config import Config, load_config
from kcd_pipeline.extraction import extract_teacher, extract_teachers
from kcd_pipeline.models import build_model
from kcd_stores import KnowledgeWriter

PLAIN = {"store__encoding": "float16", "store__features": "false"}
BLOCKS, VIEWS = 4, 2  # 100 digits are blocks of 32, 32, 32 and 4


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two teachers of different features, untrained, and the store of each, made by itself."""
    folder = tmp_path_factory.mktemp("together")
    for name in ("resnet8", "vgg8"):
        torch.manual_seed(0)
        save_file(build_model(name, channels=1, classes=10).state_dict(), folder / f"{name}.safetensors")
    for config in settings(folder, folder / "alone").each_teacher():
        extract_teacher(config)
    return folder


def overrides(home: Path, place: Path, **more: Any) -> list[str]:
    second = f"{{model: vgg8, weights: {home}/vgg8.safetensors, store: {place}/vgg8.zarr}}"
    chosen = {
        "data.limit_per_class": 10,
        "data.test_limit_per_class": 5,
        "augmentation.mix": "mixup",
        "teacher.model": "resnet8",
        "teacher.weights": home / "resnet8.safetensors",
        "other_teachers": f"[{second}]",
        "store.path": place / "resnet8.zarr",
        "store.views": VIEWS,
        "store.features": "true",
        "store.encoding": "int8",
        "store.batch_size": 20,
        "store.block_rows": 32,
        "run.device": "cpu",
        "run.threads": 1,
    }
    return as_overrides(chosen, **more)


def settings(home: Path, place: Path, **more: Any) -> Config:
    return load_config("digits", overrides(home, place, **more))


def words(home: Path, place: Path, **more: Any) -> list[str]:
    return ["digits", *(word for override in overrides(home, place, **more) for word in ("--set", override))]


def require_same(home: Path, place: Path) -> None:
    for name in ("resnet8.zarr", "vgg8.zarr"):
        assert knowledge_contents(place / name) == knowledge_contents(home / "alone" / name)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the number of images is added of each batch that is made for blocks."""
    found: list[int] = []
    original = InMemoryViews.batches

    def noting(self: InMemoryViews, cut: list[NDArray[np.int64]], view: int) -> Iterator[Any]:
        for index, images in original(self, cut, view):
            found.append(len(index))
            yield index, images

    monkeypatch.setattr(InMemoryViews, "batches", noting)
    return found


def test_each_store_has_the_bytes_of_an_extraction_by_itself(home: Path, tmp_path: Path, shown: list[int]) -> None:
    extract_teachers(settings(home, tmp_path).each_teacher())
    together = sum(shown)
    require_same(home, tmp_path)
    shown.clear()
    for config in settings(home, tmp_path / "apart").each_teacher():
        extract_teacher(config)
    assert sum(shown) - together == 100 * VIEWS, "trials and accuracies are of each teacher"
    seconds = [KnowledgeWriter.open(tmp_path / name).store.seconds() for name in ("resnet8.zarr", "vgg8.zarr")]
    assert min(seconds) > 0


def test_the_command_and_the_function_say_what_each_store_has(home: Path, tmp_path: Path) -> None:
    said = succeed("extract-teacher", *words(home, tmp_path))
    assert [said.count(text) for text in ("8 blocks made and 0 found", "resnet8.zarr", "vgg8.zarr")] == [2, 1, 1]
    require_same(home, tmp_path)
    store = kcd_pipeline.extract_teacher("digits", overrides=overrides(home, tmp_path))
    assert [(each.blocks_made, each.blocks_found) for each in (store, *store.others)] == [(0, 8), (0, 8)]


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_store_that_is_behind_catches_up(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """One store was stopped before its fifth block: all of its first view is there, or a block less of the record."""
    finish, calls = KnowledgeWriter.finish_block, 0

    def failing(self: KnowledgeWriter, *arguments: Any, **keys: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > BLOCKS:
            raise OSError("no space")
        finish(self, *arguments, **keys)

    parts = settings(home, tmp_path).each_teacher()
    with monkeypatch.context() as patch:
        patch.setattr(KnowledgeWriter, "finish_block", failing)
        with pytest.raises(OSError, match="no space"):
            extract_teacher(parts[ahead])
    complete = int(KnowledgeWriter.open(parts[ahead].store.path).store.complete().sum())
    assert complete >= BLOCKS - 1
    found = extract_teachers(parts)
    assert (found[ahead].blocks_made, found[ahead].blocks_found) == (2 * BLOCKS - complete, complete)
    assert (found[1 - ahead].blocks_made, found[1 - ahead].blocks_found) == (2 * BLOCKS, 0)
    require_same(home, tmp_path)


def test_stores_with_other_blocks_are_made_each_by_a_pass_of_its_own(
    home: Path, tmp_path: Path, shown: list[int]
) -> None:
    """A store with a view in blocks of 50 stays so when another is added to it; the other one has blocks of 32."""
    first, second = settings(home, tmp_path, store__block_rows=50).each_teacher()
    extract_teacher(first.model_copy(update={"store": first.store.model_copy(update={"views": 1})}))
    shown.clear()
    extract_teachers(settings(home, tmp_path).each_teacher())
    assert sum(size == 10 for size in shown) >= 2, "blocks of 50 are batches of 20, 20 and 10"
    name = Path(second.store.path).name
    assert knowledge_contents(tmp_path / name) == knowledge_contents(home / "alone" / name)


def test_a_number_that_is_not_finite_names_its_teacher(home: Path, tmp_path: Path) -> None:
    state = build_model("vgg8", channels=1, classes=10).state_dict()
    last = list(state)[-1]
    save_file({**state, last: torch.full_like(state[last], torch.inf)}, tmp_path / "broken.safetensors")
    second = f"[{{model: vgg8, weights: {tmp_path}/broken.safetensors, store: {tmp_path}/broken.zarr}}]"
    ended = run_command("extract-teacher", *words(home, tmp_path, other_teachers=second, **PLAIN))
    said = " ".join(ended.output.split())
    assert ended.exit_code == 1, said
    assert f"Check {tmp_path}/broken.safetensors" in said
