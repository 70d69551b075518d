"""The one maker of new stores, by a source of rows that is neither a teacher nor a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kcd_pipeline.config import StoreConfig
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.recipe_store import Wording, new_encoding, open_or_create, require_made_from
from kcd_stores import KnowledgeStore, StoreMismatchError, open_storage

CLASSES, SAMPLES = 5, 40


class RandomSource:
    """Random rows of 5 logits, and of features if `features` is not 0."""

    samples, classes = SAMPLES, CLASSES

    def __init__(self, *, scale: float = 1.0, features: int = 0, advice: str | None = None, **settings: Any) -> None:
        self.settings = StoreConfig(path="unused", views=2, **settings)
        self.feature_columns, self._scale, self.asked = features, scale, list[int]()
        self.wording = Wording(
            encoding_key="the key", data="the data", range_advice="Scale them down.", space_advice=advice
        )

    def trial_rows(self, count: int, *, views: int) -> NDArray[np.float32]:
        self.asked.append(count)
        shape = (min(count, SAMPLES), CLASSES + self.feature_columns)
        return np.random.default_rng(views).normal(0, self._scale, shape).astype(np.float32)

    def made_from(self) -> dict[str, Any]:
        return {"scale": self._scale}

    def require_same(self, store: KnowledgeStore) -> None:
        store.require_made_from(self.made_from())


def test_a_store_is_created_opened_and_grown(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "store.zarr")
    made = open_or_create(storage, RandomSource(), overwrite=False).store
    assert (made.layout.views, made.layout.samples, made.made_from) == (2, SAMPLES, {"scale": 1.0})
    assert made.fidelity is not None
    again = RandomSource()
    assert open_or_create(storage, again, overwrite=False).store.identity == made.identity
    assert again.asked == [], "no trial for a store that is there"
    again.settings = again.settings.model_copy(update={"views": 3})
    assert open_or_create(storage, again, overwrite=False).store.layout.views == 3
    assert open_or_create(storage, RandomSource(), overwrite=False).store.layout.views == 3


def test_a_store_of_something_else_is_replaced_only_on_purpose(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "store.zarr")
    open_or_create(storage, RandomSource(), overwrite=False)
    with pytest.raises(StoreMismatchError, match=r"scale: found 1\.0, expected 2\.0"):
        open_or_create(storage, RandomSource(scale=2.0), overwrite=False)
    assert open_or_create(storage, RandomSource(scale=2.0), overwrite=True).store.made_from == {"scale": 2.0}


def test_the_same_images_under_another_name_are_the_same_data(tmp_path: Path) -> None:
    dataset = {"name": "imagefolder", "size": SAMPLES, "fingerprint": "aa"}
    source = RandomSource()
    source.made_from = lambda: {"dataset": dataset}  # type: ignore[method-assign]
    store = open_or_create(open_storage(tmp_path / "store.zarr"), source, overwrite=False).store
    require_made_from(store, {"dataset": dataset | {"name": "webdataset"}})
    with pytest.raises(StoreMismatchError, match=r"dataset\.name: found imagefolder, expected webdataset"):
        require_made_from(store, {"dataset": dataset | {"name": "webdataset", "fingerprint": "bb"}})
    with pytest.raises(StoreMismatchError, match=r"dataset\.size: found 40, expected 41"):
        require_made_from(store, {"dataset": dataset | {"size": 41}})


def test_rows_that_do_not_fit_replace_nothing(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "store.zarr")
    open_or_create(storage, RandomSource(), overwrite=False)
    with pytest.raises(FailedError, match=r"nothing was written to .*Scale them down\."):
        open_or_create(storage, RandomSource(scale=1e6, encoding="float16"), overwrite=True)
    assert KnowledgeStore.open(tmp_path / "store.zarr").made_from == {"scale": 1.0}


def test_free_space_is_required_where_there_is_advice_about_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(tmp_path / "store.zarr")
    monkeypatch.setattr(type(storage), "free_space", lambda self: ("the disk", 7))
    with pytest.raises(UserError, match=r"needs up to [0-9,]+ bytes, but the disk has 7 free\. Free some\."):
        open_or_create(storage, RandomSource(advice="Free some."), overwrite=False)
    assert storage.is_vacant()
    open_or_create(storage, RandomSource(), overwrite=False)


def test_ranges_of_int8_are_taken_from_one_trial_and_only_if_the_recipe_leaves_them_open() -> None:
    source = RandomSource(features=3, encoding="int8", features_encoding="int8")
    encoding = new_encoding(source).encoding
    assert len(source.asked) == 1
    assert encoding.settings()["low"] < 0 < encoding.settings()["high"]
    assert encoding.feature_columns == 3
    fixed = RandomSource(encoding="int8", int8_range=(-4.0, 4.0))
    assert new_encoding(fixed).encoding.settings() == {"low": -4.0, "high": 4.0}
    assert fixed.asked == []


def test_principal_components_are_fitted_to_one_trial_after_its_sizes_were_looked_at() -> None:
    source = RandomSource(encoding="pca", components=4, top_k=2)
    assert {"components": 4, "k": 2}.items() <= new_encoding(source).encoding.settings().items()
    assert len(source.asked) == 1
    wrong = RandomSource(encoding="pca", components=6)
    with pytest.raises(UserError, match="the key pca does not fit the data: pca has 1 to 5 components of 5 classes"):
        new_encoding(wrong)
    assert wrong.asked == []


def test_codewords_are_fitted_to_one_trial_after_their_sizes_were_looked_at() -> None:
    source = RandomSource(encoding="pq", code_bytes=3, top_k=0)
    assert {"code_bytes": 3, "k": 0}.items() <= new_encoding(source).encoding.settings().items()
    assert len(source.asked) == 1
    wrong = RandomSource(encoding="pq", code_bytes=6, top_k=0)
    with pytest.raises(UserError, match="the key pq does not fit the data: pq has 1 to 5 bytes for 5 classes, got 6"):
        new_encoding(wrong)
    assert wrong.asked == []


def test_an_encoding_that_does_not_fit_is_named_as_the_user_gave_it() -> None:
    with pytest.raises(UserError, match="the key topk does not fit the data: topk keeps 1 to 4 of 5 classes"):
        new_encoding(RandomSource(encoding="topk", top_k=5))
