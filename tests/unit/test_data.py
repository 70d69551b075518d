"""Data sets in memory: their content, their fingerprint, their normalisation, and the digits of scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_sample_images
from sklearn.model_selection import train_test_split
from tests.support.data_sets import load

from kcd_pipeline.data import InMemorySplit, digits
from kcd_pipeline.data.normalisation import measure_normalisation


def split_of(images: np.ndarray, labels: list[int]) -> InMemorySplit:
    return InMemorySplit(images=torch.from_numpy(images), labels=torch.tensor(labels))


@pytest.fixture(scope="module")
def digit_split() -> InMemorySplit:
    split: InMemorySplit = load("digits").train
    return split


# --- InMemorySplit and Dataset ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64)),  # not bytes
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),  # no channels
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int32)),
    ],
)
def test_a_split_of_the_wrong_shape_or_type_cannot_be_made(images: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="must be"):
        InMemorySplit(images=images, labels=labels)


def test_the_fingerprint_is_of_content_not_of_memory_layout(digit_split: InMemorySplit) -> None:
    transposed = digit_split.images.transpose(2, 3).contiguous().transpose(2, 3)
    assert not transposed.is_contiguous()
    again = InMemorySplit(images=transposed, labels=digit_split.labels.clone())
    assert again.fingerprint(list("0123456789")) == digit_split.fingerprint(tuple("0123456789"))


def test_the_fingerprint_changes_with_one_pixel_one_label_one_class_name_or_the_shape(
    digit_split: InMemorySplit,
) -> None:
    classes = tuple("0123456789")
    before = digit_split.fingerprint(classes)
    images, labels = digit_split.images.clone(), digit_split.labels.clone()
    images[700, 0, 3, 4] ^= 1
    labels[700] = (labels[700] + 1) % 10
    others = {
        InMemorySplit(images=images, labels=digit_split.labels).fingerprint(classes),
        InMemorySplit(images=digit_split.images, labels=labels).fingerprint(classes),
        digit_split.fingerprint((*classes[:9], "nine")),
        InMemorySplit(images=digit_split.images.reshape(-1, 1, 4, 16), labels=digit_split.labels).fingerprint(classes),
        InMemorySplit(images=digit_split.images.flip(0), labels=digit_split.labels.flip(0)).fingerprint(classes),
    }
    assert len(others | {before}) == 6


def test_first_per_class_takes_the_first_of_each_class_in_the_same_order() -> None:
    images = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1)
    limited = split_of(images, [2, 0, 2, 1, 0, 2, 0, 1]).first_per_class(2)
    assert limited.images.flatten().tolist() == [0, 1, 2, 3, 4, 7]
    assert limited.labels.tolist() == [2, 0, 2, 1, 0, 1]


def test_limited_to_more_than_there_are_is_everything() -> None:
    split = split_of(np.zeros((3, 1, 1, 1), np.uint8), [0, 1, 1])
    assert split.first_per_class(5).labels.tolist() == [0, 1, 1]


def test_a_limit_leaves_the_test_set_and_the_normalisation_as_they_are() -> None:
    whole, part = load("digits"), load("digits", limit_per_class=3)
    assert len(part.train) == 30
    assert len(part.test) == len(whole.test) == 360
    assert (part.mean, part.std) == (whole.mean, whole.std)
    assert part.description["fingerprint"] != whole.description["fingerprint"]


def test_measured_normalisation_is_numpys_mean_and_deviation() -> None:
    photographs = np.stack(load_sample_images().images).transpose(0, 3, 1, 2)
    mean, std = measure_normalisation(torch.from_numpy(photographs.copy()))
    scaled = photographs.astype(np.float64) / 255
    assert mean == pytest.approx(scaled.mean(axis=(0, 2, 3)), abs=0.5001e-4)
    assert std == pytest.approx(scaled.std(axis=(0, 2, 3)), abs=0.5001e-4)
    assert len(set(mean)) == len(set(std)) == 3


def test_a_constant_channel_does_not_divide_by_zero() -> None:
    mean, std = measure_normalisation(torch.full((2, 1, 4, 4), 51, dtype=torch.uint8))
    assert mean == (0.2,)
    assert std == (1e-4,)


# --- digits ----------------------------------------------------------------------------------------------


def test_digits_are_all_of_scikit_learns_images_each_in_one_split() -> None:
    data = load("digits")
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.image_shape == [1, 8, 8]
    assert data.classes == tuple("0123456789")
    source = load_digits()
    # 0..16 onto 0..255: 255/16 = 15.9375, so 1 -> 16, 8 -> 127.5 -> 128 (to even), 16 -> 255
    levels = {0: 0, 1: 16, 8: 128, 16: 255}
    both = torch.cat([data.train.images, data.test.images]).flatten(1).numpy()
    labels = torch.cat([data.train.labels, data.test.labels]).numpy()
    ours = sorted((image.tobytes(), int(label)) for image, label in zip(np.round(both / 15.9375), labels, strict=True))
    theirs = sorted((image.tobytes(), int(label)) for image, label in zip(source.data, source.target, strict=True))
    assert ours == theirs
    assert {level: int(both[np.round(both / 15.9375) == level].max()) for level in levels} == levels


def test_each_digit_has_a_fifth_of_its_images_in_the_test_set() -> None:
    data = load("digits")
    of_all = np.bincount(load_digits().target)
    tested = np.bincount(data.test.labels.numpy())
    assert np.abs(tested - of_all / 5).max() <= 1


def test_the_split_of_digits_is_scikit_learns_own() -> None:
    labels = load_digits().target
    _, chosen = train_test_split(np.arange(len(labels)), test_size=360, random_state=0, stratify=labels)
    assert np.loadtxt(digits.TEST_SAMPLES, dtype=np.int64).tolist() == sorted(chosen.tolist())


def test_the_split_of_digits_is_the_one_that_all_results_are_on() -> None:
    data = load("digits")
    # Regression values: the split and the pixels are still those of the first release. If a new scikit-learn
    # changes its file, every number in the README and every store of digits is of another data set.
    assert data.train.fingerprint(data.classes).startswith("12097c623f7d6161")
    assert data.test.fingerprint(data.classes).startswith("a32f1ff9e230a633")
