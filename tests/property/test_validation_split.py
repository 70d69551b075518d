"""A part of the training set becomes validation images: of every class alike, all accounted for, pure in the seed."""

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.data.validation import held_out_samples, hold_out

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(np.array)
FRACTIONS = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**63 - 1)


@given(labels=LABELS, fraction=FRACTIONS, seed=SEEDS)
@example(labels=np.array([0, 1, 1, 1, 1, 2]), fraction=0.5, seed=0)  # only one class can give
@settings(max_examples=40)
def test_every_class_gives_its_part_to_within_one_sample(labels: NDArray[np.int64], fraction: float, seed: int) -> None:
    chosen = held_out_samples(labels, fraction, seed)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    sizes, given_away = np.bincount(labels, minlength=7), np.bincount(labels[chosen], minlength=7)
    assert (np.abs(given_away - fraction * sizes) < 1).all()
    assert (given_away < sizes)[sizes > 0].all(), "a class keeps a training image"
    if (sizes[sizes > 0] > 1 / (1 - fraction)).all():  # no class is so small that it would give its last image
        assert abs(len(chosen) - fraction * len(labels)) <= 0.5


@given(labels=LABELS, fraction=FRACTIONS, seed=SEEDS)
@settings(max_examples=20)
def test_the_choice_is_a_pure_function_of_labels_fraction_and_seed(
    labels: NDArray[np.int64], fraction: float, seed: int
) -> None:
    torch.manual_seed(seed % 2**31)  # no global generator has a part in it
    first = held_out_samples(labels, fraction, seed)
    torch.manual_seed(1)
    np.testing.assert_array_equal(held_out_samples(labels.copy(), fraction, seed), first)


@given(labels=LABELS.filter(lambda labels: len(labels) > 20), fraction=st.floats(0.2, 0.8), seed=SEEDS)
@settings(max_examples=20)
def test_training_and_validation_images_are_disjoint_and_the_whole(
    labels: NDArray[np.int64], fraction: float, seed: int
) -> None:
    """Each image is its own number, so that images can be followed into the two splits."""
    images = torch.arange(len(labels), dtype=torch.uint8).reshape(-1, 1, 1, 1)
    split = InMemorySplit(images=images, labels=torch.from_numpy(labels))
    whole = Dataset(name="numbers", classes=tuple("abcdefg"), train=split, test=split, mean=(0.0,), std=(1.0,))
    parted = hold_out(whole, fraction, seed)
    assert isinstance(parted.train, InMemorySplit)
    assert isinstance(parted.validation, InMemorySplit)
    train, validation = (part.images.flatten().tolist() for part in (parted.train, parted.validation))
    assert train == sorted(train), "in the order of the whole set"
    assert sorted(train + validation) == list(range(len(labels)))
    for part in (parted.train, parted.validation):
        np.testing.assert_array_equal(part.labels.numpy(), labels[part.images.flatten().numpy()])
    assert parted.test is whole.test


def test_other_seeds_choose_other_images() -> None:
    labels = np.repeat(np.arange(5), 20)
    choices = {tuple(held_out_samples(labels, 0.2, seed)) for seed in range(10)}
    assert len(choices) == 10
    assert all(len(choice) == 20 for choice in choices)
