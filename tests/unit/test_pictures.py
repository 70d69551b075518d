"""Pictures decoded on the fly: the same pixels in any process, equal to torchvision's for the same box."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torchvision import transforms
from torchvision.transforms.v2 import functional

from kcd_pipeline.augmentation import Augmentation, Identity, SubsetAugmentation, build_augmentation
from kcd_pipeline.augmentation.operations import OPERATIONS
from kcd_pipeline.config import AugmentationConfig, DataConfig
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.data.pictures import fingerprint as fingerprints
from kcd_pipeline.data.pictures import loader
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.reports.collect.samples import thumbnail
from kcd_pipeline.reports.render.pictures import data_uri

CPU = torch.device("cpu")
EACH = 6  # pictures of each class and split
UNSCALED = [{"name": name} for name in OPERATIONS if name != "resized-crop"]  # operations of a pipeline


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kcd-pipeline"


def cuttings(seed: int) -> Iterator[tuple[str, Image.Image]]:
    """Pieces of scikit-learn's two photographs, of 50 to 130 pixels a side, no two alike."""
    random = np.random.default_rng(seed)
    for name, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
        for _ in range(EACH):
            height, width = random.integers(50, 131, 2)
            top, left = random.integers(0, 427 - height), random.integers(0, 640 - width)
            yield name, Image.fromarray(pixels[top : top + height, left : left + width])


def save(root: Path, *, test: str = "val") -> Path:
    for split, seed in (("train", 0), (test, 1)):
        for number, (name, picture) in enumerate(cuttings(seed)):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{number:02d}.jpeg", quality=95)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return save(tmp_path / "pictures")


def load(root: Path, **more: Any) -> Dataset:
    given = {"name": "imagefolder", "root": root, "on_the_fly": True, "image_size": 32, "workers": 0}
    return load_dataset(DataConfig.model_validate(given | more))


def augmentation(name: str, **more: Any) -> Augmentation:
    return build_augmentation(AugmentationConfig.model_validate({"name": name, "seed": 7, **more}))


def refusal(root: Path, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(root, **more)
    return str(caught.value)


# --- pixels ----------------------------------------------------------------------------------------------


def test_a_random_box_is_torchvisions_crop_of_the_same_parameters(root: Path) -> None:
    data = load(root)
    augment = augmentation("resized-crop-flip", scale=[0.08, 1])
    boxes = set()
    for sample in range(len(data.train)):
        path = sorted((root / "train").rglob("*.jpeg"))[sample]
        with Image.open(path) as file:
            picture = file.convert("RGB")
        for view in (0, 5):
            parameters = augment.parameters(np.array([sample]), view, picture.height, picture.width)
            top, left, height, width, flip = parameters[:, 0].tolist()
            expected = functional.resized_crop(picture, top, left, height, width, [32, 32])
            expected = functional.horizontal_flip(expected) if flip else expected
            (made,) = data.train.some_views(  # type: ignore[attr-defined]  # of splits on disk
                np.array([sample]), np.array([view]), augment
            )
            assert torch.equal(made, functional.pil_to_tensor(expected))
            boxes.add((top, left, height, width, flip))
    assert len(boxes) == 2 * len(data.train)


def test_imagenet_is_evaluated_as_torchvisions_reference_evaluates_it(root: Path) -> None:
    data = load(root, name="imagenet", image_size=None)
    assert data.image_shape == [3, 224, 224]
    reference = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    views = data.test_views(Identity(), CPU)
    for sample, path in enumerate(sorted((root / "val").rglob("*.jpeg"))):
        with Image.open(path) as file:
            expected = reference(file.convert("RGB"))
        torch.testing.assert_close(views.batch(np.array([sample]), 0)[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "more"), [("none", {}), ("crop-flip", {}), ("pipeline", {"operations": UNSCALED})])
def test_on_the_fly_and_in_memory_are_the_same_pixels_where_nothing_is_scaled_up(
    root: Path, name: str, more: dict[str, Any]
) -> None:
    fly, memory = load(root), load(root, on_the_fly=False)
    assert torch.equal(fly.train.labels, memory.train.labels)
    order = np.arange(len(fly.train))
    look: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.2,) * 3, "device": CPU}
    made, held = (data.train.views(augmentation(name, **more), **look).batch(order, 3) for data in (fly, memory))
    assert torch.equal(made, held)
    assert torch.equal(fly.train.image(4), memory.train.image(4))


# --- replay ----------------------------------------------------------------------------------------------


def batches(data: Dataset, cut: list[np.ndarray], view: int) -> list[Tensor]:
    views = data.train_views(augmentation("resized-crop-flip"), CPU)
    passes = [list(views.batches(cut, view)) for _ in range(2)]  # the workers of the first pass go on into the second
    for (index, images), (again, same), expected in zip(*passes, cut, strict=True):
        assert np.array_equal(index, expected)
        assert np.array_equal(again, expected)
        assert torch.equal(images, same)
    return [images for _, images in passes[0]]


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize(("ahead", "piece"), [(1, 32), (5, 2), (2, 3)])
def test_any_number_of_workers_and_any_prefetch_give_the_same_pixels(
    root: Path, monkeypatch: pytest.MonkeyPatch, workers: int, ahead: int, piece: int
) -> None:
    order = np.random.default_rng(3).permutation(2 * EACH)
    cut = [order[:5], order[5:6], order[6:]]
    alone = batches(load(root), cut, 2)
    monkeypatch.setattr(loader, "REQUESTS_AHEAD", ahead)
    monkeypatch.setattr(loader, "PIECE", piece)
    together = batches(load(root, workers=workers), cut, 2)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_workers_give_the_views_of_a_pipeline_in_any_order(root: Path) -> None:
    augment = augmentation("pipeline", operations=[{"name": "resized-crop"}, *UNSCALED])
    order = np.random.default_rng(3).permutation(2 * EACH)
    alone = load(root).train_views(augment, CPU).batch(order, 2)
    made = [images for _, images in load(root, workers=2).train_views(augment, CPU).batches([order[:5], order[5:]], 2)]
    assert torch.equal(torch.cat(made), alone)
    one_by_one = [load(root).train_views(augment, CPU).batch(order[[k]], np.array([2])) for k in range(2 * EACH)]
    assert torch.equal(torch.cat(one_by_one), alone)


def test_what_a_spawned_worker_is_handed_makes_the_same_pixels(root: Path) -> None:
    views = load(root).train_views(augmentation("resized-crop-flip"), CPU)
    assert isinstance(views, loader.PictureViews)
    request = 0, np.array([3, 0]), np.array([4, 4])
    pieces: Any = views._loader.dataset
    made = pieces[request]
    assert isinstance(made, np.ndarray)
    again = pickle.loads(pickle.dumps(pieces))[request]
    assert np.array_equal(made, again)


def test_a_view_does_not_depend_on_its_batch(root: Path) -> None:
    views = load(root).train_views(augmentation("resized-crop-flip"), CPU)
    whole = views.batch(np.arange(2 * EACH), 4)
    each = torch.cat([views.batch(np.array([sample]), 4) for sample in range(2 * EACH)])
    mixed = views.batch(np.array([3, 3, 0]), np.array([4, 5, 4]))
    assert torch.equal(whole, each)
    assert torch.equal(mixed[[0, 2]], whole[[3, 0]])
    assert not torch.equal(mixed[1], whole[3])


def test_reading_leaves_torchs_global_generator_alone(root: Path) -> None:
    views = load(root, workers=1).train_views(augmentation("crop-flip"), CPU)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    list(views.batches([np.arange(4)], 0))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_cannot_be_read_is_named_without_a_traceback(root: Path, workers: int) -> None:
    data = load(root, workers=workers, mean=[0.5] * 3, std=[0.5] * 3)
    file = sorted((root / "train").rglob("*.jpeg"))[8]
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UserError) as caught:
        list(data.train_views(augmentation("none"), CPU).batches([np.arange(4), np.arange(4, 12)], 0))
    assert str(caught.value).startswith(f"{file} cannot be read as an image: ")
    assert "\n" not in str(caught.value)


def test_an_augmentation_that_does_not_fit_is_the_same_error_from_a_worker(root: Path) -> None:
    views = load(root, workers=1).train_views(augmentation("crop-flip", padding=32, padding_mode="reflect"), CPU)
    with pytest.raises(ValueError, match="reflect padding of 32 needs images larger than 32x32"):
        list(views.batches([np.arange(4)], 0))


def test_a_worker_that_dies_is_a_failure_with_what_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = load(root).train_views(augmentation("none"), CPU)

    def died(iterator: Any) -> Any:
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    monkeypatch.setattr(loader, "next", died, raising=False)
    with pytest.raises(FailedError, match=r"a process that decodes images has died: .* lower data\.workers"):
        list(views.batches([np.arange(4)], 0))


# --- the fingerprint -------------------------------------------------------------------------------------


def test_the_fingerprint_is_of_content_wherever_and_whenever_it_lies(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    file = tmp_path / "elsewhere" / "train" / "china" / "00.jpeg"
    file.rename(file.with_name("0.jpeg"))  # still the first by name
    assert load(root).description == load(tmp_path / "elsewhere").description


def test_the_fingerprint_changes_with_a_byte_a_label_a_class_or_the_frame(root: Path) -> None:
    found = {load(root).description["fingerprint"], load(root, image_size=40).description["fingerprint"]}
    file = root / "train" / "china" / "03.jpeg"
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    found.add(load(root).description["fingerprint"])
    file.rename(root / "train" / "flower" / "05b.jpeg")
    found.add(load(root).description["fingerprint"])
    for split in ("train", "val"):
        (root / split / "china").rename(root / split / "chine")
    found.add(load(root).description["fingerprint"])
    assert len(found) == 5


def test_the_fingerprint_is_read_from_the_cache_until_a_file_changes(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    digest = fingerprints._digest_file

    def noting(source: Any, sample: int, reading: Any) -> bytes:
        read.append(sample)
        return digest(source, sample, reading)

    monkeypatch.setattr(fingerprints, "_digest_file", noting)
    first = load(root).description["fingerprint"]
    assert len(read) == 2 * EACH
    assert load(root).description["fingerprint"] == first
    assert len(read) == 2 * EACH
    assert len(list(cache.glob("fingerprint-*"))) == 1
    (root / "train" / "china" / "00.jpeg").touch()
    assert load(root).description["fingerprint"] == first
    assert len(read) == 4 * EACH


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(root: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text("a file where the folder should be")
    assert len(load(root).description["fingerprint"]) == 64


# --- which pictures --------------------------------------------------------------------------------------


def test_limits_of_both_splits_are_taken_before_anything_is_decoded(root: Path) -> None:
    (root / "train" / "china" / "05.jpeg").write_bytes(b"beyond the limit")
    known = {"mean": [0.5] * 3, "std": [0.25] * 3}
    for fly in (True, False):
        data = load(root, limit_per_class=2, test_limit_per_class=1, on_the_fly=fly, **known)
        assert data.train.labels.tolist() == [0, 0, 1, 1]
        assert data.test.labels.tolist() == [0, 1]
        assert (data.mean, data.std) == ((0.5,) * 3, (0.25,) * 3)


def test_normalisation_is_measured_on_the_pictures_where_it_is_not_known(root: Path) -> None:
    fly, memory = load(root, limit_per_class=1), load(root, on_the_fly=False)
    assert (fly.mean, fly.std) == (memory.mean, memory.std)  # fewer than the thousand that are looked at


def test_a_size_is_needed_on_the_fly(root: Path) -> None:
    assert "decoded on the fly need one size, set data.image_size" in refusal(root, image_size=None)


def test_mean_and_std_must_be_given_for_each_channel(root: Path) -> None:
    assert "data.mean and data.std have 1 numbers, but the images of imagefolder have 3" in refusal(
        root, mean=[0.5], std=[0.5]
    )
    with pytest.raises(ValueError, match="mean and std must have a number for each channel"):
        DataConfig.model_validate({"name": "digits", "mean": [0.5]})


# --- Tiny-ImageNet and ImageNet --------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small Tiny-ImageNet archive: two classes, its `val` unsorted, its `test` without labels."""
    root = tmp_path / "tiny-imagenet-200"
    classes = {"china": "n02", "flower": "n01"}
    for number, (name, picture) in enumerate(cuttings(0)):
        folder = root / "train" / classes[name] / "images"
        folder.mkdir(parents=True, exist_ok=True)
        picture.resize((64, 64)).save(folder / f"{classes[name]}_{number}.JPEG")
        (folder.parent / f"{classes[name]}_boxes.txt").touch()
    lines = []
    for split in ("val", "test"):
        (root / split / "images").mkdir(parents=True)
        for number, (name, picture) in enumerate(cuttings(1)):
            picture.resize((64, 64)).save(root / split / "images" / f"{split}_{number}.JPEG")
            if split == "val":
                lines.append(f"val_{number}.JPEG\t{classes[name]}\t0\t0\t62\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    (root / "words.txt").write_text("n00\tnothing\nn01\tflower, bloom\nn02\tpagoda\n")
    return root


def test_tiny_imagenet_is_read_as_its_archive_has_it(tiny: Path) -> None:
    data = load(tiny, name="tiny-imagenet", image_size=None)
    assert data.image_shape == [3, 64, 64]
    assert data.classes == ("n01", "n02")
    assert data.label_names == ("flower", "pagoda")
    assert (data.label_name(0), data.mean[0]) == ("flower", 0.4802)
    assert data.train.labels.tolist() == data.test.labels.tolist() == [0] * EACH + [1] * EACH
    flowers = [picture for name, picture in cuttings(1) if name == "flower"]
    expected = np.asarray(flowers[4].resize((64, 64))).astype(int)  # val_10: of 6 to 11 the first by name
    assert np.abs(data.test.image(0).permute(1, 2, 0).numpy().astype(int) - expected).mean() < 4  # but for JPEG
    assert data.description["label_names"] == ["flower", "pagoda"]
    assert data_uri(thumbnail(data.train.image(0).numpy())).startswith("data:image/webp;base64,")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "found no line, expected a file name, a tab and a class"),
        ("val_0.JPEG\tn09\t0\n", "found 1 classes that train/ has not (n09)"),
        ("val_99.JPEG\tn01\t0\n", "names images/val_99.JPEG, which is not in"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(tiny: Path, lines: str, said: str) -> None:
    (tiny / "val" / "val_annotations.txt").write_text(lines)
    message = refusal(tiny, name="tiny-imagenet")
    assert str(tiny / "val" / "val_annotations.txt") in message
    assert said in message


def test_imagenets_unsorted_validation_images_are_refused_with_what_to_do(root: Path) -> None:
    shutil.rmtree(root / "val")
    (root / "val").mkdir()
    shutil.copy(root / "train" / "china" / "00.jpeg", root / "val" / "ILSVRC2012_val_00000001.JPEG")
    assert "holds files and no folders of classes: sort its images into val/<class>/" in refusal(root, name="imagenet")


def test_imagenets_classes_are_called_as_torchvision_calls_them(tmp_path: Path) -> None:
    picture = next(cuttings(0))[1].resize((8, 8))
    for split in ("train", "val"):
        for number in range(1000):
            folder = tmp_path / split / f"n{number:08d}"
            folder.mkdir(parents=True)
            picture.save(folder / "a.png")
    data = load(tmp_path, name="imagenet", image_size=None)
    assert [data.label_name(label) for label in (0, 1, 999)] == ["tench", "goldfish", "toilet tissue"]


def test_a_part_of_the_pictures_has_the_views_that_they_have_in_the_whole(root: Path) -> None:
    """A condensed set numbers its samples anew; their pictures and boxes stay the same."""
    data, augment = load(root), augmentation("resized-crop-flip", scale=[0.08, 1])
    samples = np.array([1, 4, 5, 9])
    part = data.with_train_subset(samples)
    assert part.train.labels.tolist() == [int(data.train.labels[sample]) for sample in samples]
    index = np.array([3, 0, 2])
    seen = part.train_views(SubsetAugmentation(augment, samples), CPU).batch(index, 5)
    torch.testing.assert_close(seen, data.train_views(augment, CPU).batch(samples[index], 5), rtol=0, atol=0)
    assert part.test is data.test


def test_a_test_folder_of_imagenet_has_no_labels_and_is_passed_over(root: Path) -> None:
    (root / "test" / "images").mkdir(parents=True)
    shutil.copy(root / "train" / "china" / "00.jpeg", root / "test" / "images")
    assert len(load(root, name="tiny-imagenet").test) == 2 * EACH
