"""Fetching from the Hugging Face hub into a folder; the hub itself is played by a function of the test's own."""

from pathlib import Path
from typing import Any

import datasets
import pytest
from tests.support.tables import CLASSES, EACH, hugging_face, save_folders

import kcd_pipeline
from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.handover.evaluation import data_of

datasets.disable_progress_bars()
HUB = "someone/photographs"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> datasets.DatasetDict:
    return hugging_face(save_folders(tmp_path_factory.mktemp("folders")))


@pytest.fixture
def asked(whole: datasets.DatasetDict, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Play the hub; the list has the name, subset and revision of each fetch."""
    fetched: list[tuple[Any, ...]] = []

    def load(path: str, name: str | None, revision: str | None) -> datasets.DatasetDict:
        fetched.append((path, name, revision))
        return whole

    monkeypatch.setattr(datasets, "load_dataset", load)
    return fetched


def load(root: Path, **more: Any) -> Dataset:
    given = {"name": "huggingface", "root": root, "image_size": 32, "hub": HUB}
    return load_dataset(DataConfig.model_validate(given | more))


def refusal(root: Path, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(root, **more)
    return str(caught.value)


def test_it_is_fetched_once_and_read_from_its_folder_then(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    root = tmp_path / "data" / "photographs"
    first = load(root, download=True, subset="small", revision="v1")
    assert (first.classes, len(first.train)) == (CLASSES, 2 * EACH)
    assert asked == [(HUB, "small", "v1")]
    again = load(root, download=True, subset="small", revision="v1")
    assert load(root, subset="small", revision="v1").description == again.description == first.description
    assert load(root, hub=None).description == first.description
    assert len(asked) == 1
    assert [path.name for path in root.parent.iterdir()] == ["photographs"]


def test_nothing_is_fetched_unless_the_recipe_says_so(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    message = refusal(tmp_path / "data")
    assert f"the data set {HUB} is not in {tmp_path / 'data'}. Fetch it from the hub with --set" in message
    assert not asked


def test_a_folder_that_holds_another_data_set_is_refused_with_both_names(
    tmp_path: Path, asked: list[tuple[Any, ...]], whole: datasets.DatasetDict
) -> None:
    load(tmp_path / "data", download=True)
    message = refusal(tmp_path / "data", hub="someone/else", revision="v2", download=True)
    assert f"holds {HUB}, and the recipe asks for someone/else revision v2" in message
    whole.save_to_disk(str(tmp_path / "mine"))
    assert "holds a data set that was not fetched by data.hub" in refusal(tmp_path / "mine", download=True)
    assert len(asked) == 1


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> None:
        def load(*args: Any, **kwargs: Any) -> None:
            raise error

        monkeypatch.setattr(datasets, "load_dataset", load)

    fail(ConnectionError("no route to the hub"))
    with pytest.raises(FailedError, match="someone/photographs could not be fetched: ConnectionError: no route"):
        load(tmp_path / "data", download=True)
    fail(datasets.exceptions.DatasetNotFoundError("gone"))
    assert f"{HUB} is not on the hub, or needs a login: gone. Check data.hub" in refusal(
        tmp_path / "data", download=True
    )
    fail(ValueError("BuilderConfig 'big' not found"))
    assert f"{HUB} subset big is not on the hub" in refusal(tmp_path / "data", download=True, subset="big")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_half_of_a_data_set(
    tmp_path: Path, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(self: Any, path: str) -> None:
        Path(path).mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.DatasetDict, "save_to_disk", fill)
    with pytest.raises(OSError, match="No space left"):
        load(tmp_path / "data", download=True)
    assert not list(tmp_path.iterdir())


def test_keys_of_the_hub_belong_together() -> None:
    for keys, words in (
        ({"name": "parquet", "hub": HUB}, "set it to huggingface"),
        ({"name": "huggingface", "subset": "small"}, "subset is small, of what hub names, and hub is null"),
    ):
        with pytest.raises(ValueError, match=words):
            DataConfig.model_validate(keys)


def test_nothing_is_fetched_that_only_a_run_names(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    data = f"data={{name: huggingface, hub: {HUB}, root: {tmp_path / 'data'}, download: true}}"
    config = kcd_pipeline.load_config("digits", [data])
    with pytest.raises(UserError, match=f"the data set {HUB} is not in"):
        data_of(config, trusted=False)
    assert not asked
