"""Augmentations of the user's own: what a recipe builds of them, and the check that proves their replay."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.support.own_parts import importable

from kcd_pipeline.augmentation import Augmentation, CentreCrop, build_augmentation
from kcd_pipeline.config import AugmentationConfig
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.own_parts import load_part, part_digest
from kcd_pipeline.testing import BrokenRuleError, check_augmentation

IMAGES = torch.randint(1, 256, (12, 3, 8, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
ERASE = "own_parts.augmentation:Erase"
SOURCE = """
import numpy as np
import torch

class Base:
    def __init__(self, seed, **arguments):
        self.seed = seed

    def parameters(self, index, view, height, width):
        return np.stack([(index * 7 + view * 13 + self.seed) % 50])

    def apply(self, images, parameters):
        return images + parameters[0].to(torch.uint8)[:, None, None, None]

class ByPlace(Base):
    def parameters(self, index, view, height, width):
        return np.arange(len(index))[None] + view

class ByGlobalState(Base):
    def parameters(self, index, view, height, width):
        return np.random.randint(0, 50, (1, len(index)))

class ByCalls(Base):
    calls = 0
    def parameters(self, index, view, height, width):
        self.calls += 1
        return np.full((1, len(index)), self.calls)

class ByMean(Base):
    def apply(self, images, parameters):
        return (images - images.float().mean().to(torch.uint8)).contiguous()

class InPlace(Base):
    def apply(self, images, parameters):
        return images.add_(parameters[0].to(torch.uint8)[:, None, None, None])

class Floating(Base):
    def apply(self, images, parameters):
        return images / 255

class Smaller(Base):
    def apply(self, images, parameters):
        return images[:, :, 1:]

class Blind(Base):
    def parameters(self, index, view, height, width):
        return np.full((1, len(index)), 3)

class Flat(Base):
    def parameters(self, index, view, height, width):
        return index % 2

class Unsendable(Base):
    def __init__(self, seed):
        self.seed, self.lost = seed, lambda: None

class Failing(Base):
    def parameters(self, index, view, height, width):
        return index / 0 if False else 1 // 0

class NoApply:
    def __init__(self, seed):
        pass
    def parameters(self, index, view, height, width):
        return np.zeros((0, len(index)))
"""


@pytest.fixture(autouse=True)
def _own_modules(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "my_augmentations.py").write_text(SOURCE)
    with importable(), importable(tmp_path):
        yield


def built(name: str, **arguments: Any) -> Augmentation:
    return build_augmentation(AugmentationConfig(name=name, seed=5, arguments=arguments))


def test_the_example_blacks_out_one_square_of_each_view_and_nothing_else() -> None:
    augmentation = built(ERASE, size=3)
    views = augmentation(IMAGES, np.arange(12), 4)
    for image, view in zip(IMAGES, views, strict=True):
        rows, columns = np.nonzero((image != view).any(dim=0).numpy())
        assert [int(np.ptp(rows)), int(np.ptp(columns)), len(rows)] == [2, 2, 9], "3 by 3 pixels, none 0 before"
        assert (view[:, rows, columns] == 0).all()


def test_a_description_has_name_seed_arguments_and_source() -> None:
    assert built(ERASE, size=3).describe() == {
        "name": ERASE,
        "seed": 5,
        "arguments": '{"size": 3}',
        "source_sha256": part_digest(ERASE, "augmentation.name"),
    }


def test_a_picture_is_cut_and_augmented_as_an_image_in_memory() -> None:
    picture, crop = Image.fromarray(IMAGES[0].permute(1, 2, 0).numpy()), CentreCrop(size=8, resize=8)
    augmentation = built(ERASE, size=2)
    expected = augmentation(crop(picture)[None], np.array([9]), 6)[0]
    (found,) = augmentation.augment_pictures([picture], crop, np.array([9]), 6)
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        (ERASE, {"sise": 3}, "got an unexpected keyword argument 'sise'. Arguments are set by augmentation.arguments"),
        (ERASE, {"seed": 3}, "augmentation.arguments has 'seed', which .* is given in every call"),
        ("own_parts.nowhere:Erase", {}, "there is no 'own_parts.nowhere:Erase', which augmentation.name names"),
        ("my_augmentations:NoApply", {}, "what my_augmentations:NoApply returns, a NoApply, has no apply"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(name: str, arguments: Any, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        built(name, **arguments)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("Flat", r"parameters of my_augmentations:Flat returned int64 \[2\], expected a numpy array \[P, 2\]"),
        ("Failing", "parameters of my_augmentations:Failing failed: ZeroDivisionError"),
        ("Smaller", r"returned uint8 \[2, 3, 7, 10\] on cpu, expected uint8 \[2, 3, 8, 10\] on cpu"),
        ("Floating", "returned float32"),
    ],
)
def test_what_it_does_wrong_in_a_run_is_told_by_name(kind: str, problem: str) -> None:
    with pytest.raises(FailedError, match=problem):
        built(f"my_augmentations:{kind}")(IMAGES[:2], np.arange(2), 0)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("ByPlace", "it depends on the batch: one image at a time, view 0 has other parameters"),
        ("ByGlobalState", "has other parameters"),
        ("ByCalls", "has other parameters"),
        ("ByMean", "it depends on the batch: one image at a time, view 0 has other pixels"),
        ("InPlace", "apply changes the images that it is given"),
        ("Floating", r"apply returns torch.float32 \[12, 3, 8, 10\] in view 0"),
        ("Smaller", "apply returns torch.uint8"),
        ("Flat", r"parameters returns \[12\], expected a numpy array \[P, 12\]"),
        ("Blind", "it does not look at sample or view"),
        ("Unsendable", "it cannot be sent to another process"),
    ],
)
def test_the_check_names_the_broken_rule(kind: str, rule: str) -> None:
    with pytest.raises(BrokenRuleError, match=rule):
        check_augmentation(load_part(f"my_augmentations:{kind}", "augmentation.name")(seed=1), IMAGES)


@pytest.mark.loops  # a new process imports torch
def test_the_example_passes_the_check() -> None:
    check_augmentation(load_part(ERASE, "augmentation.name")(seed=2, size=3), IMAGES)


@pytest.mark.loops  # a new process imports torch
def test_the_check_finds_a_draw_by_hash(tmp_path: Path) -> None:
    (tmp_path / "my_hashed.py").write_text(
        "from my_augmentations import Base\nimport numpy as np\n\nclass Hashed(Base):\n"
        "    def parameters(self, index, view, height, width):\n"
        "        return np.array([[hash(str((i, v))) % 50 for i, v in zip(index, view)]])\n"
    )
    with pytest.raises(BrokenRuleError, match="it depends on the process: a new one makes other views"):
        check_augmentation(load_part("my_hashed:Hashed", "augmentation.name")(seed=1), IMAGES)
