"""Validation images: from the training set or a folder of their own, refused in words, and known by their content."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kcd_pipeline.api.passed import loaded_dataset
from kcd_pipeline.config import Config, load_config
from kcd_pipeline.data import load_dataset
from kcd_pipeline.data.validation import held_out_samples
from kcd_pipeline.errors import UserError
from kcd_pipeline.training.early_stopping import epochs_without_gain, is_to_stop


def digits(**more: object) -> Config:
    return load_config("digits", [f"{key.replace('__', '.')}={value}" for key, value in more.items()])


def folders(root: Path, splits: Mapping[str, str]) -> Path:
    """Lay out a picture for each split and class: `{"train": "ab"}` has train/a/0.png and train/b/0.png."""
    for number, (split, classes) in enumerate(splits.items()):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            grey = np.full((4, 4, 3), 50 * number + ord(name) % 50, np.uint8)
            Image.fromarray(grey).save(folder / "0.png")
    return root


def of_folders(root: Path, **more: object) -> Config:
    return digits(data__name="imagefolder", data__root=root, **more)


def test_largest_remainders_round_up() -> None:
    """A third of 5, 4 and 1 images is 1.67, 1.33 and 0.33: 3 in all, so 5 gives 2, and no other class rounds up."""
    labels = np.array([0] * 5 + [1] * 4 + [2])
    assert np.bincount(labels[held_out_samples(labels, 1 / 3, 7)], minlength=3).tolist() == [2, 1, 0]


def test_a_class_of_one_image_keeps_it() -> None:
    """Nine tenths of 4 and 1 images are 3.6 and 0.9: both classes would round up, and neither may give its last."""
    assert len(held_out_samples(np.array([0, 0, 0, 0, 1]), 0.9, 0)) == 3
    assert 4 not in held_out_samples(np.array([0, 0, 0, 0, 1]), 0.9, 0)


def test_a_store_knows_what_was_held_out() -> None:
    """The rest is another training set; the test set and the normalisation stay those of the whole."""
    whole, parted = (load_dataset(digits(data__validation=part).data) for part in ("null", 0.1))
    assert parted.validation is not None
    assert (len(parted.train), len(parted.validation)) == (1293, 144)  # of 1,437
    assert parted.description["validation"] == {"fraction": 0.1, "seed": 0}
    assert "validation" not in whole.description
    assert parted.description["fingerprint"] != whole.description["fingerprint"]
    assert set(parted.fingerprints) == {"dataset", "validation"}
    assert (parted.mean, parted.std) == (whole.mean, whole.std)
    assert parted.test.fingerprint(parted.classes) == whole.test.fingerprint(whole.classes)


def test_a_limit_per_class_comes_first() -> None:
    data = digits(data__validation=0.25, data__limit_per_class=8).data
    dataset = load_dataset(data)
    assert dataset.validation is not None
    assert np.bincount(dataset.train.labels).tolist() == [6] * 10
    assert np.bincount(dataset.validation.labels).tolist() == [2] * 10


@pytest.mark.parametrize("on_the_fly", [False, True])
def test_a_folder_of_validation_images_leaves_the_training_set_whole(tmp_path: Path, on_the_fly: bool) -> None:
    root = folders(tmp_path, {"train": "ab", "test": "ab", "val": "ab"})
    settings = {"data__image_size": 4, "data__on_the_fly": str(on_the_fly).lower()}
    without, parted = (
        load_dataset(of_folders(root, data__validation=name, **settings).data) for name in ("null", "val")
    )
    assert parted.validation is not None
    assert parted.description == without.description, "so that both share a store"
    assert parted.validation.image(1)[0, 0, 0] == 100 + ord("b") % 50
    before = parted.fingerprints
    (root / "val" / "a" / "0.png").write_bytes((root / "test" / "a" / "0.png").read_bytes())
    changed = load_dataset(of_folders(root, data__validation="val", **settings).data)
    assert changed.fingerprints["validation"] != before["validation"], "a resumed run would be refused"
    assert changed.fingerprints["dataset"] == before["dataset"]


@pytest.mark.parametrize(
    ("splits", "validation", "words"),
    [
        ({"train": "ab", "test": "ab"}, "val", ["data.validation", "nothing in", "val", "0.1"]),
        ({"train": "ab", "test": "ab"}, "test", ["holds the test images", "data.validation", "data.test_folder"]),
        ({"train": "ab", "test": "ab"}, "train", ["holds the training images", "data.validation"]),
        ({"train": "ab", "test": "ab", "val": "ac"}, "val", ["same classes", "b, c"]),
        ({"train": "ab", "test": "ab"}, "0.1", ["data.validation is 0.1", "no validation image", "larger fraction"]),
    ],
)
def test_folders_are_refused_in_words(
    tmp_path: Path, splits: dict[str, str], validation: str, words: list[str]
) -> None:
    with pytest.raises(UserError) as refusal:
        load_dataset(of_folders(folders(tmp_path, splits), data__validation=validation).data)
    assert [word for word in words if word not in str(refusal.value)] == []


def test_a_data_set_without_such_a_folder_says_so() -> None:
    with pytest.raises(UserError, match=r"data\.validation is 'val', but digits has no folder .* such as 0\.1"):
        load_dataset(digits(data__validation="val").data)


@pytest.mark.parametrize("wrong", ["0", "1", "-0.1", "true", "[0.1]", "''", ".nan"])
def test_what_is_no_part_of_the_training_set_is_refused(wrong: str) -> None:
    with pytest.raises(UserError, match=r"data\.validation: "):
        digits(data__validation=wrong)


def test_patience_needs_validation_images() -> None:
    with pytest.raises(UserError, match=r"distill\.patience is 3, but data\.validation is null.* Set data\.validation"):
        digits(distill__patience=3)
    with pytest.raises(UserError, match=r"rows says how many .* and patience may stop before"):
        digits(distill__patience=3, data__validation=0.1, distill__method="kd", distill__rows=300)
    assert digits(teacher__patience=3, data__validation=0.1).teacher.patience == 3


@pytest.mark.parametrize(
    ("accuracies", "without_gain"),
    [([], 0), ([0.5], 0), ([0.5, 0.6], 0), ([0.5, 0.6, 0.6], 1), ([0.6, 0.5, 0.55], 2), ([0.5, 0.4, 0.7, 0.6], 1)],
)
def test_epochs_without_gain_are_counted_from_the_first_best(accuracies: list[float], without_gain: int) -> None:
    assert epochs_without_gain(accuracies) == without_gain
    assert not is_to_stop(accuracies, without_gain + 1)
    assert is_to_stop(accuracies, max(without_gain, 1)) == (without_gain > 0)


def test_a_data_set_that_is_passed_is_parted_as_the_recipe_asks() -> None:
    config = digits(data__validation=0.1)
    parted = load_dataset(config.data)
    passed = loaded_dataset(load_dataset(digits().data), config)
    assert passed.fingerprints == parted.fingerprints
    assert loaded_dataset(parted, config) is parted, "not parted again"
