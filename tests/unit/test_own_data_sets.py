"""Data sets of the user's own: torch datasets by name or as objects; one that is random, or none at all, is refused."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.support.tables import CLASSES, cuttings

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.config import AugmentationConfig, DataConfig
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.data.sources.own import dataset_from
from kcd_pipeline.errors import UserError

CPU = torch.device("cpu")


class Listed(torch.utils.data.Dataset[Any]):
    """Items that are given."""

    def __init__(self, *items: Any, **attributes: Any) -> None:
        self.items = items
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def tensor(value: int, *shape: int) -> torch.Tensor:
    return torch.full(shape or (1, 4, 4), value, dtype=torch.uint8)


def two(**attributes: Any) -> Listed:
    return Listed((tensor(1), 0), (tensor(2), 1), **attributes)


def photographs(seed: int) -> Listed:
    return Listed(*((picture, CLASSES.index(name)) for name, picture in cuttings(seed)), classes=list(CLASSES))


def refusal(*arguments: Any, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        dataset_from(*arguments, **more)
    return str(caught.value)


def of_recipe(**data: Any) -> Dataset:
    return load_dataset(DataConfig.model_validate(data))


def test_digits_as_tensors_have_the_fingerprint_of_the_built_in_data_set() -> None:
    built_in: Any = of_recipe(name="digits")
    splits = [
        Listed(*zip(of.images, of.labels.tolist(), strict=True), classes=built_in.classes)
        for of in (built_in.train, built_in.test)
    ]
    found = dataset_from(*splits)
    assert found.train.fingerprint(found.classes) == built_in.train.fingerprint(built_in.classes)
    assert (found.mean, found.std) == (built_in.mean, built_in.std)
    assert found.name == f"object:{__name__}.Listed"


@pytest.mark.parametrize("form", ["array [H, W]", "array [H, W, C]", "tensor [C, H, W]", "labels as tensors"])
def test_forms_of_one_image_are_the_same_image(form: str) -> None:
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    forms: dict[str, Any] = {
        "array [H, W]": (grey, 0),
        "array [H, W, C]": (grey[..., None], np.int32(0)),
        "tensor [C, H, W]": (torch.from_numpy(grey.copy())[None], 0),
        "labels as tensors": (grey, torch.tensor(0)),
    }
    found = dataset_from(Listed(forms[form]), Listed(forms[form]))
    assert found.classes == ("0",)
    assert torch.equal(found.train.image(0), torch.arange(16, dtype=torch.uint8).view(1, 4, 4))


def test_pillow_pictures_are_cropped_as_files_are() -> None:
    settings = DataConfig(name="object:x.Y", image_size=32)
    found = dataset_from(photographs(0), photographs(1), settings=settings)
    first = next(cuttings(0))[1]
    width, height = first.size
    short = min(width, height)
    scaled = first.resize((32 * width // short, 32 * height // short), Image.Resampling.BILINEAR)
    left, top = round((scaled.width - 32) / 2), round((scaled.height - 32) / 2)
    middle = np.asarray(scaled)[top : top + 32, left : left + 32].transpose(2, 0, 1)
    assert np.array_equal(found.train.image(0).numpy(), middle)
    assert found.classes == CLASSES


def test_on_the_fly_gives_the_images_of_memory_by_any_number_of_workers() -> None:
    in_memory = dataset_from(photographs(0), photographs(1), settings=DataConfig(name="object:x.Y", image_size=32))
    augmentation = build_augmentation(AugmentationConfig(name="resized-crop-flip", seed=3))
    index, views, prints = np.array([6, 1, 3]), [], set()
    for workers in (0, 2):
        settings = DataConfig(name="object:x.Y", image_size=32, on_the_fly=True, workers=workers)
        found = dataset_from(photographs(0), photographs(1), settings=settings)
        assert torch.equal(found.test.image(5), in_memory.test.image(5))
        views.append(next(iter(found.train_views(augmentation, CPU).batches([index], 1)))[1])
        prints.add(found.description["fingerprint"])
        assert torch.equal(pickle.loads(pickle.dumps(found.train)).image(2), in_memory.train.image(2))
    assert torch.equal(*views)
    assert len(prints) == 1


def test_deep_grey_pictures_are_scaled_by_their_range() -> None:
    # 16 bits: 0 is black and 65535 white, as in files; 32897 / 65535 is 0.502, the byte 128
    deep = Image.fromarray(np.full((4, 4), 32897, np.uint16))
    found = dataset_from(Listed((deep, 0)), Listed((deep, 0)))
    assert found.train.image(0).unique().tolist() == [128]


def test_labels_are_taken_from_targets_only_if_they_are_those_of_the_items() -> None:
    assert dataset_from(two(targets=[0, 1]), two()).train.labels.tolist() == [0, 1]
    assert dataset_from(two(targets=torch.tensor([1, 0])), two()).train.labels.tolist() == [0, 1]


def test_classes_are_those_of_the_data_set_or_given_or_numbers() -> None:
    assert dataset_from(two(classes=["cat", "dog"]), two()).classes == ("cat", "dog")
    assert dataset_from(two(), two(), classes=["cat", "dog"]).classes == ("cat", "dog")
    assert dataset_from(two(), two()).classes == ("0", "1")
    assert "has its own names of classes (cat, dog), and data.classes says a, b" in refusal(
        two(classes=["cat", "dog"]), two(), classes=["a", "b"]
    )
    assert "item 1 of the training set of" in refusal(two(), two(), classes=["cat"])
    assert "item 0 of the test set of" in refusal(two(), Listed((tensor(1), 7)))


def test_a_random_transform_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noisy(Listed):
        def __getitem__(self, index: int) -> Any:
            image, label = self.items[index]
            return (image.flip(2) if torch.rand(()) < 0.5 else image), label

    random = Noisy(*((torch.arange(16, dtype=torch.uint8).view(1, 4, 4), 0) for _ in range(40)))
    message = refusal(random, two())
    assert "was read twice and is not the same both times. Take random transforms out of the data set" in message
    assert "of the training set of" in message
    assert "of the test set of" in refusal(two(), random)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ((torch.zeros(1, 4, 4), 0), "a Tensor of torch.float32 [1, 4, 4], expected"),
        ((np.zeros((4, 4)), 0), "Leave out ToTensor and Normalize"),
        ((tensor(0, 4, 4), 0), "a Tensor of torch.uint8 [4, 4], expected"),
        (("photo.jpg", 0), "the image of item 0 of the training set of object:"),
        ((tensor(0), "cat"), "the label of item 0 of the training set of object:"),
        ((tensor(0), 1.5), "expected a class number from 0"),
        ((tensor(0), True), "expected a class number from 0"),
        ((tensor(0), -2), "expected a class number from 0"),
        ((tensor(0),), "a tuple of 1 parts, expected a pair (image, label)"),
        ({"image": tensor(0), "label": 0}, "a dict, "),
        (None, "a NoneType, 'None', expected a pair (image, label)"),
    ],
)
def test_items_of_another_form_are_named(item: Any, words: str) -> None:
    assert words in refusal(Listed(item), two())


def test_what_is_no_map_style_dataset_is_refused() -> None:
    class Streamed(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(())

    class Failing(Listed):
        def __getitem__(self, index: int) -> Any:
            raise OSError("disk gone")

    assert "is a Streamed without a length or without items" in refusal(Streamed(), two())
    assert "is empty: its length is 0" in refusal(Listed(), two())
    assert "cannot be read: OSError: disk gone" in refusal(Failing(1, 2), two())
    assert "images differ: item 0 of the training set" in refusal(
        Listed((tensor(1), 0), (tensor(2, 1, 5, 5), 1)), two()
    )
    assert "training images are [1, 4, 4] and test images [1, 5, 5]" in refusal(two(), Listed((tensor(2, 1, 5, 5), 1)))


def test_images_of_five_channels_stay_in_memory_as_they_are() -> None:
    five = Listed((tensor(1, 5, 4, 4), 0), (tensor(2, 5, 4, 4), 1))
    assert dataset_from(five, five).image_shape == [5, 4, 4]
    settings = DataConfig(name="object:x.Y", image_size=8)
    assert "has 5 channels, and only images of 1 or 3 can be scaled" in refusal(five, five, settings=settings)


def test_limits_and_normalisation_are_those_of_the_recipe() -> None:
    many = Listed(*((tensor(k), k % 2) for k in range(10)))
    settings = DataConfig(name="object:x.Y", limit_per_class=2, test_limit_per_class=1)
    found = dataset_from(many, many, settings=settings, mean=[0.5], std=[0.25])
    assert [int(found.train.image(k)[0, 0, 0]) for k in range(4)] == [0, 1, 2, 3]
    assert len(found.test) == 2
    assert (found.mean, found.std) == ((0.5,), (0.25,))


def test_validation_images_are_a_part_of_the_training_set_or_a_set_of_their_own() -> None:
    many = Listed(*((tensor(k), k % 2) for k in range(20)))
    part = dataset_from(many, two(), settings=DataConfig(name="object:x.Y", validation=0.2))
    assert part.validation is not None
    assert (len(part.train), len(part.validation)) == (16, 4)
    apart = dataset_from(many, two(), validation=two())
    assert apart.validation is not None
    assert (len(apart.train), len(apart.validation)) == (20, 2)


# --- by name ---------------------------------------------------------------------------------------------

SOURCE = """
import numpy as np

class Stripes:
    def __init__(self, split, root="nowhere", each=3):
        self.split, self.root, self.each = split, str(root), each

    def __len__(self):
        return 2 * self.each

    def __getitem__(self, index):
        image = np.zeros((6, 6), np.uint8)
        image[:: 2 if index % 2 else 3] = 200 + index + (self.split == "test")
        return image, index % 2

def fails(split):
    raise RuntimeError("no such disk")

def makes_none(split):
    return None
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Dataset]:
    """Load a data set by a callable of a module in the working folder."""
    (tmp_path / "kcd_stripes.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "kcd_stripes", raising=False)
    return lambda part="Stripes", **more: of_recipe(name=f"kcd_stripes:{part}", **more)


def test_a_recipe_names_a_data_set_and_its_arguments(own: Callable[..., Dataset]) -> None:
    found = own(arguments={"each": 5})
    assert (len(found.train), found.image_shape, found.classes) == (10, [1, 6, 6], ("0", "1"))
    assert int(found.train.image(0).max()) == 200
    assert int(found.test.image(0).max()) == 201
    assert found.name == "kcd_stripes:Stripes"


def test_its_source_is_in_the_description_and_a_place_in_root_is_not(
    own: Callable[..., Dataset], tmp_path: Path
) -> None:
    found = own(root="here")
    assert found.description == own(root="there").description
    (tmp_path / "kcd_stripes.py").write_text(SOURCE + "\n# changed\n")
    changed = own()
    assert changed.description["source_sha256"] != found.description["source_sha256"]
    assert changed.description["fingerprint"] == found.description["fingerprint"]


def test_a_callable_that_fails_or_makes_no_data_set_is_named(own: Callable[..., Dataset]) -> None:
    for part, words in {
        "fails": "cannot make the split 'train' with no arguments: RuntimeError: no such disk",
        "makes_none": "the training set of kcd_stripes:makes_none is a NoneType without a length",
        "absent": "there is no 'kcd_stripes:absent', which data.name names",
    }.items():
        with pytest.raises(UserError) as caught:
            own(part)
        assert words in str(caught.value)
    with pytest.raises(UserError, match=r"cannot be called as f\(split=, root=, \*\*arguments\)"):
        own(arguments={"colour": 1})
    with pytest.raises(ValueError, match="arguments are for a part of your own"):
        of_recipe(name="digits", arguments={"each": 1})


def test_validation_names_the_split_that_it_is_called_with(own: Callable[..., Dataset]) -> None:
    found = own(validation="validation", test="test")
    assert found.validation is not None
    assert int(found.validation.image(0).max()) == 200
    assert int(found.test.image(0).max()) == 201
