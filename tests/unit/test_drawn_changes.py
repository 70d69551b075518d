"""Drawn parameters of RandAugment, TrivialAugment, colour jitter and blur: torchvision's and timm's own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import stats
from sklearn.datasets import load_sample_images
from torchvision.transforms import v2

from kcd_pipeline.augmentation import CentreCrop, build_augmentation, pixels_of
from kcd_pipeline.augmentation.operations import OPERATIONS, affine
from kcd_pipeline.augmentation.operations.changes import AMOUNTS, NOTHING, UNIT, change_picture
from kcd_pipeline.augmentation.operations.choices import GROWING, NAMES, TRIVIAL, USUAL, Choice, all_changes, number_of
from kcd_pipeline.config import AugmentationConfig
from kcd_stores.philox import draws

N, HEIGHT, WIDTH = 100_000, 48, 40
IMAGE = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
LEAST_P = 1e-3  # the draws are the same in every run, so this is not a matter of luck
RAND: dict[str, Any] = {
    "number": 1,
    "magnitude": 9.0,
    "magnitude_std": 0.0,
    "increasing": False,
    "probability": 1.0,
    "interpolation": "nearest",
    "fill": 0,
}
# torchvision's names of the changes, in the order of our sets
THEIRS = [
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
]


def drawn(name: str, **keys: Any) -> NDArray[np.int64]:
    operation = OPERATIONS[name](**keys)
    found: NDArray[np.int64] = operation.parameters(draws(1, np.arange(N), 0, operation.words), HEIGHT, WIDTH)
    return found


def kinds(rows: NDArray[np.int64]) -> list[str]:
    """Return each change by its name, moves by what they do, with the direction that it goes in."""
    named = []
    for number, m0, m1, m2, m3, _, m5 in rows.T.tolist():
        if number == NOTHING:
            named.append("identity")
        elif NAMES[number] != "move":
            factor = NAMES[number] in ("brightness", "saturation", "contrast", "sharpness")
            named.append(NAMES[number] + ("+" if factor and m0 > UNIT else "-" if factor else ""))
        elif m1 and m3:
            named.append("turn" + ("+" if m1 < 0 else "-"))
        elif m1 or m3:
            named.append(("shear x" if m1 else "shear y") + ("+" if m1 + m3 > 0 else "-"))
        else:
            half = affine.ONE // 2
            named.append(("shift x" if m2 != half else "shift y") + ("+" if min(m2, m5) < half else "-"))
    return named


class Recorded:
    """torchvision's transform, which notes what it would do in place of doing it."""

    def __init__(self, base: type[Any], **keys: Any) -> None:
        self.found: list[tuple[str, float]] = []
        self._transform = base(**keys)
        self._transform._apply_image_or_video_transform = self._note

    def _note(self, image: Any, transform_id: str, magnitude: float, **_: Any) -> Any:
        self.found.append((transform_id, magnitude))
        return image

    def draw(self, count: int) -> list[tuple[str, float]]:
        torch.manual_seed(0)
        for _ in range(count):
            self._transform(IMAGE)
        return self.found


OURS = dict(zip(THEIRS, ("identity", "shear x", "shear y", "shift x", "shift y", "turn"), strict=False)) | {
    "Color": "saturation",
    "AutoContrast": "autocontrast",
}


def in_our_words(found: Sequence[tuple[str, float]]) -> list[str]:
    signed = {*THEIRS[1:10]}
    return [
        OURS.get(name, name.lower()) + (("+" if amount > 0 else "-") if name in signed else "")
        for name, amount in found
    ]


def compare_counts(ours: list[str], theirs: list[str]) -> None:
    names = sorted({*ours, *theirs})
    counts = [[group.count(name) for name in names] for group in (ours, theirs)]
    assert stats.chi2_contingency(counts).pvalue > LEAST_P, dict(zip(names, zip(*counts, strict=True), strict=True))


def compare_randaugment(count: int) -> None:
    theirs = in_our_words(Recorded(v2.RandAugment, num_ops=1, magnitude=9).draw(count))
    compare_counts(kinds(drawn("randaugment", **RAND)), theirs)


def compare_trivialaugment(count: int) -> None:
    found = Recorded(v2.TrivialAugmentWide).draw(count)
    rows = drawn("trivialaugment", interpolation="nearest", fill=0)
    for name, theirs_name in (("brightness", "Brightness"), ("sharpness", "Sharpness")):
        ours = rows[1, rows[0] == number_of(name)] / UNIT
        of_theirs = [magnitude for each, magnitude in found if each == theirs_name]
        assert stats.ks_2samp(np.rint((ours - 1) * 1e3), np.rint(np.array(of_theirs) * 1e3)).pvalue > LEAST_P
    compare_counts(
        [each.rstrip("+-") for each in kinds(rows) if each[0] != "s" and each[:4] not in ("turn", "iden")],
        [each.rstrip("+-") for each in in_our_words(found) if each[0] != "s" and each[:4] not in ("turn", "iden")],
    )


def test_changes_are_drawn_as_often_as_torchvision_draws_them() -> None:
    compare_randaugment(2_000)
    compare_trivialaugment(2_000)


@pytest.mark.loops
def test_changes_are_drawn_as_often_as_in_100_000_draws_of_randaugment() -> None:
    compare_randaugment(N)


@pytest.mark.parametrize("transform", [v2.RandAugment, v2.TrivialAugmentWide])
def test_strengths_are_torchvisions(transform: Any) -> None:
    """Amounts of all 31 magnitudes, to within a unit of 2**-14 and 2**-16.

    Those that are cut to whole numbers are the same, but for whole ones that float32 misses: 255 * 0.8 is 204.000003.
    """
    choices: Sequence[Choice] = USUAL if transform is v2.RandAugment else TRIVIAL
    strength, sign = np.arange(31) / 30, np.ones(31)
    assert len(choices) == len(transform._AUGMENTATION_SPACE)
    for choice, name in zip(choices, THEIRS, strict=True):
        table = transform._AUGMENTATION_SPACE[name][0](31, HEIGHT, WIDTH)
        assert (choice.amounts is None) == (table is None)
        if choice.amounts is None:
            continue
        amounts, theirs = choice.amounts(strength, sign, HEIGHT, WIDTH), table.double().numpy()
        expected = {
            "ShearX": affine.shear_x(theirs),
            "ShearY": affine.shear_y(theirs),
            "TranslateX": affine.translate_x(np.trunc(theirs + 1e-5)),
            "TranslateY": affine.translate_y(np.trunc(theirs + 1e-5)),
            "Rotate": affine.rotate(theirs, HEIGHT, WIDTH),
            "Posterize": theirs[None],
            "Solarize": np.ceil(255 * theirs - 1e-4)[None],
        }.get(name, (1 + theirs)[None] * UNIT)
        assert np.abs(amounts - expected).max() <= 1, name
        if name in ("Posterize", "Solarize", "TranslateX", "TranslateY"):
            assert np.array_equal(amounts, expected), name


def test_increasing_changes_are_timms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels of timm's changes of a photograph; factors and angles are rounded, which a pixel in a thousand shows."""
    theirs = pytest.importorskip("timm.data.auto_augment")
    picture = Image.fromarray(load_sample_images().images[0][:80, :100])
    names = "AutoContrast Equalize Invert ShearX ShearY TranslateXRel TranslateYRel Rotate BrightnessIncreasing "
    names += "ColorIncreasing ContrastIncreasing SharpnessIncreasing PosterizeIncreasing SolarizeIncreasing SolarizeAdd"
    assert sorted(names.split()) == sorted(theirs._RAND_INCREASING_TRANSFORMS)
    changes = all_changes(interpolation="bilinear", fill=128)
    keys = {"img_mean": (128, 128, 128), "interpolation": Image.Resampling.BILINEAR}
    for choice, name in zip(GROWING, names.split(), strict=True):
        for level, sign in ((3, 1.0), (9, -1.0)):
            # a number above one half lets timm negate; its shifts count to the left and upwards
            negated = (sign < 0) != name.startswith("Translate")
            monkeypatch.setattr(theirs.random, "random", lambda negated=negated: 0.9 if negated else 0.1)
            expected = theirs.AugmentOp(name, prob=1.0, magnitude=level, hparams=keys)(picture)
            row = np.zeros(1 + AMOUNTS, np.int64)
            row[0] = number_of(choice.change)
            if choice.amounts is not None:
                amounts = choice.amounts(np.array([level / 10]), np.array([sign]), 80, 100)
                row[1 : 1 + len(amounts)] = amounts[:, 0]
            apart = np.abs(np.asarray(change_picture(changes, picture, row)).astype(int) - np.asarray(expected))
            assert apart.max() <= 1, (name, level)
            assert (apart > 0).mean() < 0.005, (name, level)


def test_magnitudes_are_normal_and_held_within_the_set() -> None:
    """A factor is 1 +- 0.9 * magnitude / 10: half of all magnitudes around 10 are cut to it."""
    for mean, growing in ((9.0, False), (10.0, True)):
        rows = drawn("randaugment", **RAND | {"magnitude": mean, "magnitude_std": 0.5, "increasing": growing})
        found = np.abs(rows[1, rows[0] == number_of("brightness")] / UNIT - 1) / 0.9 * (10 if growing else 30)
        if growing:
            assert stats.binomtest(int((found > 9.999).sum()), len(found)).pvalue > LEAST_P
            assert found.max() < 10.001
        else:
            assert stats.kstest(found, stats.norm(mean, 0.5).cdf).pvalue > LEAST_P


def test_changes_are_made_with_their_probability_each_by_itself() -> None:
    first, second = np.split(drawn("randaugment", **RAND | {"number": 2, "increasing": True, "probability": 0.5}), 2)
    made = np.bincount(2 * (first[0] != NOTHING) + (second[0] != NOTHING))
    assert stats.chisquare(made).pvalue > LEAST_P


def test_jitter_is_torchvisions() -> None:
    limits: dict[str, Any] = {"brightness": 0.4, "contrast": 1.5, "saturation": 0.2, "hue": 0.3}
    rows = drawn("color-jitter", **limits, probability=1.0)
    order, amounts = rows[::2], rows[1::2]
    assert stats.chisquare(np.unique(order, axis=1, return_counts=True)[1]).pvalue > LEAST_P
    assert np.unique(order, axis=1).shape == (4, 24)
    torch.manual_seed(0)
    theirs = [v2.ColorJitter(**limits).make_params([IMAGE]) for _ in range(1_000)]
    for number, name in enumerate(limits):
        ours = amounts[order == number] / (255 if name == "hue" else UNIT)
        found = np.array([each[f"{name}_factor"] for each in theirs])
        assert stats.ks_2samp(ours, np.trunc(255 * found) / 255 if name == "hue" else found).pvalue > LEAST_P


def test_what_has_no_distance_or_is_not_drawn_leaves_a_view_as_it_is() -> None:
    rows = drawn("color-jitter", brightness=0.4, contrast=0.0, saturation=0.0, hue=0.0, probability=0.25)
    assert set(np.unique(rows[::2])) == {NOTHING, 0}
    assert stats.binomtest(int((rows[::2] == 0).sum()), N, 0.25).pvalue > LEAST_P
    assert stats.binomtest(int((drawn("grayscale", probability=0.1)[0] == 0).sum()), N, 0.1).pvalue > LEAST_P


def test_widths_of_blurs_are_torchvisions() -> None:
    """The pixel beside the middle has exp(-1 / (2 sigma**2)) of its weight."""
    _, middle, side, *_ = drawn("gaussian-blur", kernel_size=9, sigma=(0.5, 2.0), probability=1.0)
    transform = v2.GaussianBlur(9, (0.5, 2.0))
    torch.manual_seed(0)
    theirs = np.array([transform.make_params([IMAGE])["sigma"][0] for _ in range(2_000)])
    assert stats.ks_2samp(side / middle, np.exp(-0.5 / theirs**2)).pvalue > LEAST_P


def test_a_blur_wider_than_the_image_is_refused() -> None:
    blur = OPERATIONS["gaussian-blur"](kernel_size=17, sigma=(0.1, 2.0), probability=1.0)
    with pytest.raises(ValueError, match="kernel_size 17 needs images larger than 8 pixels, found 8x8"):
        blur.parameters(draws(1, np.arange(2), 0, 2), 8, 8)


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "randaugment", "number": 3, "magnitude": 12},
        {"name": "randaugment", "increasing": True, "magnitude_std": 0.5, "interpolation": "bilinear", "fill": 128},
        {"name": "trivialaugment"},
        {"name": "color-jitter", "hue": 0.2},
        {"name": "grayscale", "probability": 0.5},
        {"name": "gaussian-blur", "probability": 0.5},
    ],
    ids=lambda keys: keys["name"],
)
def test_a_decoded_picture_is_shown_in_the_pixels_of_an_image_in_memory(keys: dict[str, Any]) -> None:
    size, samples, photographs = 40, np.arange(12), load_sample_images().images
    config = AugmentationConfig.model_validate({"name": "pipeline", "operations": [keys]})
    augmentation, crop = build_augmentation(config), CentreCrop(size=size, resize=size)
    pictures = [Image.fromarray(photographs[k % 2][60:100, 40 * k : 40 * k + 40]) for k in samples]
    views = augmentation(torch.stack([pixels_of(picture) for picture in pictures]), samples, 5)
    for picture, sample, view in zip(pictures, samples.tolist(), views, strict=True):
        (alone,) = augmentation.augment_pictures([picture], crop, np.array([sample]), 5)
        assert torch.equal(alone, view)
    assert torch.equal(torch.stack([*augmentation.augment_pictures(pictures, crop, samples, 5)]), views)
