"""Mixup and CutMix of samples: pixels, labels and distributions, by hand and against torchvision, torch and scipy."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F
from torchvision.transforms import v2

from kcd_pipeline.augmentation import InMemoryViews, Labels, Mixing, build_augmentation, build_mixing
from kcd_pipeline.augmentation.mixing import ONE
from kcd_pipeline.config import AugmentationConfig, load_config
from kcd_pipeline.errors import UserError
from kcd_pipeline.losses import CrossEntropy

N, SIZE = 40, 16
CPU = torch.device("cpu")
DRAWS = 100_000
NAMES = ("mixup", "cutmix", "mixup-cutmix")


def mixing(name: str, seed: int = 3, **keys: Any) -> Mixing:
    found = build_mixing(AugmentationConfig(seed=seed, mix={"name": name, **keys}))
    assert found is not None
    return found


def pictures(count: int = N) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def views(name: str | None, augmentation: str = "crop-flip") -> InMemoryViews:
    return InMemoryViews(
        pictures(),
        build_augmentation(AugmentationConfig(name=augmentation, seed=3)),
        mean=(0.0,) * 3,
        std=(1 / 255,) * 3,  # so that normalised pixels are the bytes
        device=CPU,
        mixing=None if name is None else mixing(name),
    )


# --- pixels ---------------------------------------------------------------------------------------


def test_pixels_by_hand() -> None:
    """Mix bytes 200 and 101: a quarter of the first gives 125.75, a half 150.5, which is rounded up; none of it 101.

    The last picture has the partner in the second row and in the last two columns alone.
    """
    own, partner = torch.full((4, 1, 2, 3), 200, dtype=torch.uint8), torch.full((4, 1, 2, 3), 101, dtype=torch.uint8)
    parameters = torch.tensor(
        [[ONE // 4, ONE // 2, 0, ONE], [0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0, 3]]  # weight, box
    )
    found = mixing("mixup-cutmix").apply(own, partner, parameters)
    assert [set(picture.flatten().tolist()) for picture in found[:3]] == [{126}, {151}, {101}]
    assert found[3, 0].tolist() == [[200, 200, 200], [200, 101, 101]]


def test_every_pair_of_bytes_is_rounded_as_integers_round_it() -> None:
    own, partner = np.mgrid[:256, :256]
    chosen = mixing("mixup")
    images, partners = (torch.from_numpy(each.astype(np.uint8))[None, None] for each in (own, partner))
    for weight in (0, 1, 255, 16385, 32767, 32768, 32769, 43691, 65280, 65535, ONE):
        found = chosen.apply(images, partners, torch.tensor([[weight], [0], [0], [0], [0]]))
        expected = (weight * own + (ONE - weight) * partner + ONE // 2) >> 16  # of 64 bits
        assert np.array_equal(found[0, 0].numpy(), expected), weight


def test_a_picture_is_mixed_alone_as_in_a_batch() -> None:
    own, partner = pictures(40), pictures(40).roll(1, 0)
    chosen, before = mixing("mixup-cutmix", probability=0.8), own.clone()
    drawn = chosen.draw(np.arange(40), 1, samples=N, height=SIZE, width=SIZE).parameters
    assert {"mixup" if weight < ONE else "box" if end else "whole" for weight, _, end, *_ in drawn.T.tolist()} == {
        "mixup",
        "box",
        "whole",
    }
    alone = [chosen.apply_alone(own[k], partner[k], drawn[:, k]) for k in range(40)]
    assert torch.equal(torch.stack(alone), chosen.apply(own, partner, torch.from_numpy(drawn)))
    assert torch.equal(own, before)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_pixels_are_those_of_torchvision_given_the_same_parameters(name: str) -> None:
    """torchvision mixes each picture with the one before it in the batch, in floating point."""
    images = pictures(8)
    before = images.roll(1, 0)
    chosen = mixing(name)
    for sample in range(20):
        drawn = chosen.draw(np.array([sample]), 0, samples=N, height=SIZE, width=SIZE)
        weight, top, bottom, left, right = drawn.parameters[:, 0].tolist()
        found = chosen.apply(images, before, torch.from_numpy(np.repeat(drawn.parameters, 8, axis=1)))
        if name == "mixup":
            theirs = v2.MixUp(num_classes=2)
            given: dict[str, Any] = {"lam": weight / ONE, "labels": None, "batch_size": 8}
        else:
            theirs = v2.CutMix(num_classes=2)
            given = {"box": (left, top, right, bottom), "labels": None, "batch_size": 8, "lam_adjusted": 0}
        expected = theirs.transform(images.double(), given)
        assert (found.double() - expected).abs().max() <= 0.5  # of 255: theirs is not rounded to bytes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("augmentation", ["none", "crop-flip", "resized-crop-flip"])
def test_a_view_is_made_of_the_same_view_of_both_samples(name: str, augmentation: str) -> None:
    index = np.arange(N)
    alone = views(None, augmentation)
    drawn = mixing(name).draw(index, 5, samples=N, height=SIZE, width=SIZE)
    weight, top, bottom, left, right = drawn.parameters
    own, partner = (alone.batch(of, 5).round().numpy() for of in (index, drawn.partner))
    w = weight[:, None, None, None] / ONE
    expected = np.floor(w * own + (1 - w) * partner + 0.5)
    for k in range(N):
        rows, columns = slice(top[k], bottom[k]), slice(left[k], right[k])
        expected[k, :, rows, columns] = partner[k, :, rows, columns]
    np.testing.assert_allclose(views(name, augmentation).batch(index, 5), expected, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_views_do_not_depend_on_batch_or_order(name: str) -> None:
    source, order = views(name), np.random.default_rng(0).permutation(N)
    whole = source.batch(np.arange(N), 2)
    for index, images in source.batches([order[:7], order[7:8], order[8:]], 2):
        assert torch.equal(images, whole[index])
    for sample in (0, 17):
        assert torch.equal(source.batch(np.array([sample]), np.array([2]))[0], whole[sample])


def test_more_samples_or_another_seed_make_other_partners_and_a_sample_is_not_its_own() -> None:
    index = np.arange(N)

    def partners(chosen: Mixing, samples: int) -> list[int]:
        return chosen.draw(index, 0, samples=samples, height=8, width=8).partner.tolist()

    first = partners(mixing("mixup"), N)
    assert first == partners(mixing("cutmix"), N)
    assert first != partners(mixing("mixup", seed=4), N)
    assert all(0 <= j < N and j != i for i, j in enumerate(first))
    assert mixing("mixup").draw(np.array([0]), 0, samples=1, height=8, width=8).partner.tolist() == [0]


# --- distributions over 100,000 draws -------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0, 4.0])
def test_weights_have_the_beta_distribution(alpha: float) -> None:
    drawn = mixing("mixup", alpha=alpha).draw(np.arange(DRAWS), 1, samples=DRAWS, height=SIZE, width=SIZE)
    grid = np.linspace(0.01, 0.99, 99)  # of the distance of Kolmogorov and Smirnov; at the ends weights are rounded
    below_each = np.searchsorted(np.sort(drawn.parameters[0] / ONE), grid) / DRAWS
    assert np.abs(below_each - stats.beta(alpha, alpha).cdf(grid)).max() < 0.0062  # p = 0.1 %
    np.testing.assert_allclose(drawn.weight, drawn.parameters[0] / ONE, rtol=1e-6)


def test_boxes_have_the_distribution_of_torchvision() -> None:
    drawn = mixing("cutmix").draw(np.arange(DRAWS), 0, samples=DRAWS, height=48, width=64)
    torch.manual_seed(0)
    theirs = v2.CutMix(num_classes=2)
    boxes = [theirs.make_params([torch.empty(1, 3, 48, 64)]) for _ in range(2000)]
    _, top, bottom, left, right = drawn.parameters
    for ours, other in zip((left, top, right, bottom), np.array([found["box"] for found in boxes]).T, strict=True):
        assert stats.ks_2samp(ours, other).pvalue > 1e-3
    assert stats.ks_2samp(drawn.weight, [found["lam_adjusted"] for found in boxes]).pvalue > 1e-3
    area = (bottom - top) * (right - left)
    np.testing.assert_allclose(drawn.weight, 1 - area / (48 * 64), rtol=1e-6)


def test_partners_are_drawn_evenly_and_pictures_are_mixed_as_often_as_asked() -> None:
    chosen = mixing("mixup-cutmix", switch_probability=0.3, probability=0.4)
    index = np.tile(np.arange(10), DRAWS // 10)
    drawn = chosen.draw(index, np.arange(DRAWS) // 10, samples=10, height=SIZE, width=SIZE)
    counts = np.bincount((drawn.partner - index) % 10, minlength=10)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-3
    by_weight = drawn.parameters[0] < ONE
    assert by_weight.mean() == pytest.approx(0.4 * 0.7, abs=0.006)
    unmixed = (drawn.parameters[0] == ONE) & (drawn.parameters[2] <= drawn.parameters[1])
    assert (drawn.weight[unmixed] == 1).all()
    assert unmixed.mean() == pytest.approx(0.6, abs=0.02)  # and the few boxes without a pixel


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_with_mixed_labels_is_that_of_torch_with_probabilities(smoothing: float) -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    own, partner, weight = torch.arange(6) % 4, (torch.arange(6) + 2) % 4, torch.linspace(0, 1, 6)
    soft = weight[:, None] * F.one_hot(own, 4) + (1 - weight[:, None]) * F.one_hot(partner, 4)
    expected = F.cross_entropy(logits, soft, label_smoothing=smoothing, reduction="none")
    loss, labels = CrossEntropy(smoothing=smoothing), Labels(own=own, partner=partner, weight=weight)
    torch.testing.assert_close(loss.each(logits, labels), expected)
    torch.testing.assert_close(loss.mean(logits, labels), expected.mean())


def test_partners_without_weights_are_no_labels() -> None:
    with pytest.raises(ValueError, match="go together"):
        Labels(own=torch.zeros(1), partner=torch.zeros(1))


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("mixup", {"name", "probability", "alpha"}),
        ("cutmix", {"name", "probability", "cutmix_alpha"}),
        ("mixup-cutmix", {"name", "probability", "alpha", "cutmix_alpha", "switch_probability"}),
    ],
)
def test_a_description_has_what_pixels_depend_on(name: str, keys: set[str]) -> None:
    described = mixing(name).describe()
    assert described["name"] == name
    assert set(described) == keys


def test_the_folder_of_a_run_is_named_for_what_is_mixed() -> None:
    plain, other = (load_config("digits", [f"augmentation.mix={mix}"]) for mix in ("cutmix", "{name: mixup, alpha: 1}"))
    assert plain.run.dir.name == "{student}-{variant}-augmentation.mix=cutmix-seed{seed}"
    assert re.search(r"-augmentation\.mix=mixup-[0-9a-f]{8}-seed", other.run.dir.name)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ("cutmx", "augmentation.mix.name: found 'cutmx', expected one of .* did you mean 'cutmix'"),
        ("{name: mixup, alhpa: 1}", "no key 'augmentation.mix.alhpa'; did you mean 'alpha'"),
        ("{name: cutmix, alpha: 0.2}", "alpha is 0.2, but cutmix does not use it"),
        ("3", "augmentation.mix: found 3, expected a section of keys"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(mix: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config("digits", [f"augmentation.mix={mix}"])
