"""A teacher's outputs as the classes of a data set: named, indexed, joined."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from tests.support.recipes import small_recipe
from torch import Tensor, nn

from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.errors import UserError
from kcd_pipeline.models.merged_outputs import MergedOutputs, whole_model
from kcd_pipeline.teacher.class_map import choices_by_class, outputs_by_class
from kcd_pipeline.teacher.class_names import class_names
from kcd_pipeline.teacher.outputs import describe_outputs

NAMES = [["n01", "tabby", "tabby cat"], ["n02", "crane"], ["n03", "beagle"], ["n04", "crane"]]


class Given(nn.Module):
    """A model whose logits are its images."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def of_classes(*classes: str) -> Dataset:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    split = InMemorySplit(images=images, labels=torch.zeros(2, dtype=torch.int64))
    return Dataset(name="pets", classes=classes, train=split, test=split, mean=(0.5,) * 3, std=(0.5,) * 3)


def test_joined_logits_are_the_logsumexp_of_their_members() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    members = [[4], [0, 5, 2], [3, 1]]
    found = MergedOutputs(Given(), members, 6)(torch.from_numpy(logits)).numpy()
    expected = np.stack([logsumexp(logits[:, group], axis=1) for group in members], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(found[:, 0], logits[:, 4])  # a single output is taken bit by bit


def test_at_temperature_1_a_class_has_the_probabilities_of_its_members_together() -> None:
    logits = np.random.default_rng(1).normal(size=(5, 4))
    found = MergedOutputs(Given(), [[0, 2], [1, 3]], 4)(torch.from_numpy(logits)).numpy()
    whole = softmax(logits, axis=1)
    np.testing.assert_allclose(softmax(found, axis=1), np.stack([whole[:, [0, 2]].sum(1), whole[:, [1, 3]].sum(1)], 1))


def test_a_subset_is_chosen_bit_by_bit_and_the_model_is_known() -> None:
    logits, model = torch.randn(2, 5, generator=torch.Generator().manual_seed(0)), Given()
    merged = MergedOutputs(model, [[3], [0]], 5)
    assert torch.equal(merged(logits), logits[:, [3, 0]])
    assert whole_model(merged) is model
    assert whole_model(model) is model
    assert describe_outputs(merged) == {"outputs": 5, "outputs_of_classes": [[3], [0]]}
    assert describe_outputs(model) == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"dog": "Beagle", "cat": ["n01", 1]}, [[0, 1], [2]]),
        (("tabby cat", 2), [[0], [2]]),
        ((["tabby", 3], ["beagle"]), [[0, 3], [2]]),
    ],
)
def test_classes_are_named_in_any_order_or_listed_in_the_data_sets(given: Any, expected: list[list[int]]) -> None:
    choices = choices_by_class(given, of_classes("cat", "dog"))
    assert outputs_by_class(choices, 4, NAMES) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cat": 0}, "says nothing of dog, expected an entry for each of the 2 classes of pets"),
        ({"cat": 0, "dog": 1, "dgo": 2}, "has an entry for 'dgo', which is no class of pets; did you mean 'dog'"),
        ((0, 1, 2), "has 3 entries, but pets has 2 classes. Give one for each class, in this order: cat, dog"),
        ((0, 4), "names the teacher's class 4, but it has 4, counted from 0"),
        ((0, "crane"), "2 classes of the teacher are called 'crane': 1, 3. Give the index"),
        ((0, "beagel"), "is called 'beagel'; did you mean 'beagle'"),
        ((0, "tabby"), "class 0 ('n01') twice"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(given: Any, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        outputs_by_class(choices_by_class(given, of_classes("cat", "dog")), 4, NAMES)


def test_names_are_refused_if_the_teacher_has_none_and_indices_are_not() -> None:
    assert outputs_by_class([[0], [2]], 3, None) == [[0], [2]]
    with pytest.raises(UserError, match=r"do not say what its 3 classes are called\. Give indices"):
        outputs_by_class([[0], ["dog"]], 3, None)


def test_names_come_from_the_header_or_else_are_those_of_imagenet() -> None:
    teacher = small_recipe(teacher={"model": "resnet8"}).teacher
    named = class_names(teacher, 2, {"classes": ["n01", "n02"], "label_names": ["cat", "dog"]})
    assert named == ([["n01", "cat"], ["n02", "dog"]], "its header")
    assert class_names(teacher, 7, {}) is None
    found = class_names(teacher, 1000, {})
    assert found is not None
    assert "tabby" in found[0][281]  # the classes of ILSVRC 2012, whose 282nd is n02123045
    published = small_recipe(teacher={"model": "torchvision/resnet18", "weights": "torchvision/DEFAULT"}).teacher
    known = class_names(published, 1000, {})
    assert known is not None
    assert (known[0][0], known[1]) == (["tench"], "torchvision's record of its weights")


def test_timm_knows_ids_and_synonyms_of_imagenet() -> None:
    pytest.importorskip("timm")
    found = class_names(small_recipe().teacher, 1000, {})
    assert found is not None
    assert {"n02123045", "tabby", "tabby cat"} <= set(found[0][281])
