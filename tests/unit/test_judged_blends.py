"""Blends judged by the teacher: whose rows they are, and what becomes of a store of them that is cut short or damaged.

Nine samples of two classes, in four views. In the plan below 6, 7 and 8 are dropped; 1 is blended with 6 at 0.25 and 5
with 7 at 0.5; 3 is the top of K1L, blended with 8 at 0.
"""

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.runs import flipped
from torch import nn

from kcd_pipeline.augmentation import build_augmentation
from kcd_pipeline.condensation import TaughtRows
from kcd_pipeline.config import AugmentationConfig, load_config
from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.distillation.judge import Judge, load_judge
from kcd_pipeline.distillation.judged_blends import BlendRows, JudgedBlends
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.models import FeatureTap
from kcd_pipeline.training.ranks import ALONE
from kcd_stores import (
    NO_PARTNER,
    KnowledgeStore,
    KnowledgeWriter,
    Layout,
    Plan,
    ViewRows,
    WithFeatures,
    make_encoding,
    verify_store,
)

SAMPLES, VIEWS, CLASSES = 9, 4, 2
WIDTH = 3 * 6 * 6  # features of the teacher below, of pictures of 8 x 8 pixels
MEAN, STD = (0.4, 0.5), (0.2, 0.3)
AUGMENTATION = build_augmentation(AugmentationConfig(name="crop-flip", padding=2, seed=3))
USED = (1, 3)  # the views of the stage's epochs
CPU = torch.device("cpu")


def plan(epsilon: float = 0.5) -> Plan:
    return Plan(
        stage=1,
        epoch=1,
        samples=SAMPLES,
        kept=np.arange(6),
        partner=np.array([NO_PARTNER, 6, NO_PARTNER, 8, NO_PARTNER, 7]),
        epsilon=np.array([0, 0.25, 0, 0, 0, epsilon], np.float32),
    )


def split() -> InMemorySplit:
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (SAMPLES, 2, 8, 8), dtype=np.uint8))
    return InMemorySplit(images=images, labels=torch.arange(SAMPLES) % 2)


def teacher() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(WIDTH, CLASSES)).eval()


def source(path: Path, encoding: Any = None) -> KnowledgeStore:
    """Make a store of random rows, which says that it was made from this augmentation."""
    encoding = encoding or make_encoding("float32")
    columns = CLASSES + encoding.feature_columns
    layout = Layout(views=VIEWS, samples=SAMPLES, classes=CLASSES, block_rows=16, chunk_rows=16)
    made_from = {"dataset": {"size": SAMPLES}, "augmentation": AUGMENTATION.describe(), "teacher": {"model": "resnet8"}}
    writer = KnowledgeWriter.create(path, layout=layout, encoding=encoding, made_from=made_from)
    for view in range(VIEWS):
        rows = np.random.default_rng(view).uniform(-1, 1, (SAMPLES, columns)).astype(np.float32)
        writer.write_block(view, 0, rows, seconds=1)
    return KnowledgeStore.open(path, features=True)


def blend_rows(folder: Path, store: KnowledgeStore | None = None) -> BlendRows:
    """Return what makes the rows of blends below `folder`, in blocks of one row."""
    dataset = Dataset(name="made", classes=("a", "b"), train=split(), test=split(), mean=MEAN, std=STD)
    store = store or source(folder / "source.zarr")
    model = teacher()
    tap = None
    if store.encoding.feature_columns:
        tap = FeatureTap(model, image_shape=dataset.image_shape, classes=CLASSES)
    return BlendRows(
        load_config("digits", ["store.batch_size=2", "store.block_rows=1"]),
        folder / "blends",
        Judge(model=model, tap=tap),
        source=store,
        images=dataset.train_views(AUGMENTATION, CPU),
        dataset=dataset,
        device=CPU,
    )


def view_of(sample: int, view: int) -> np.ndarray:
    """Return the pixels of a sample as one of its views, with a crop and a flip of its own: float64 [2, 8, 8]."""
    index = np.array([sample])
    return AUGMENTATION(split().images[index], index, view)[0].numpy().astype(np.float64)


def judged_by_hand(sample: int, partner: int, epsilon: float, view: int) -> np.ndarray:
    """Return the teacher's logits for the picture that is blended by hand, pixel by pixel, before normalisation."""
    blended = (1 - epsilon) * view_of(sample, view) + epsilon * view_of(partner, view)
    mean, std = (np.array(part)[:, None, None] for part in (MEAN, STD))
    with torch.no_grad():
        logits: np.ndarray = teacher().double()(torch.from_numpy((blended / 255 - mean) / std)[None])[0].numpy()
    return logits


def finish(steps: Iterator[None]) -> int:
    return sum(1 for _ in steps)


@pytest.mark.parametrize("view", USED)
def test_a_blended_sample_is_taught_the_teachers_row_of_the_picture_blended_by_hand(tmp_path: Path, view: int) -> None:
    one, store = blend_rows(tmp_path), KnowledgeStore.open(tmp_path / "source.zarr")
    blends = JudgedBlends(ALONE, one)
    blends.open(plan(), USED)
    order = np.array([4, 5, 0, 3, 1, 2])
    taught = TaughtRows(plan(), space="teacher", temperature=4, classes=CLASSES)
    found = taught.batch(ViewRows(store.read_view(view)), order, blends.portion(view, order)).numpy()
    for row, sample in zip(found, order, strict=True):
        if sample in (1, 5):
            partner, epsilon = {1: (6, 0.25), 5: (7, 0.5)}[sample]
            np.testing.assert_allclose(row, judged_by_hand(sample, partner, epsilon, view), atol=1e-5)
        else:
            np.testing.assert_array_equal(row, store.read_view(view)[sample])
    assert blends.cost()["teacher_rows"] == 4  # two blends in two views


def test_a_portion_without_blends_needs_no_rows_and_one_with_blends_does(tmp_path: Path) -> None:
    one, store = blend_rows(tmp_path), KnowledgeStore.open(tmp_path / "source.zarr")
    blends = JudgedBlends(ALONE, one)
    blends.open(plan(), USED)
    assert blends.portion(1, np.array([0, 2, 3])) is None
    taught = TaughtRows(plan(), space="teacher", temperature=4, classes=CLASSES)
    rows = ViewRows(store.read_view(1))
    np.testing.assert_array_equal(taught.batch(rows, np.array([3])).numpy(), rows[np.array([3])])
    with pytest.raises(ValueError, match="1 samples are blended, but there are no rows"):
        taught.batch(rows, np.array([1, 3]))


def test_a_plan_that_blends_nothing_asks_the_teacher_nothing(tmp_path: Path) -> None:
    blends = JudgedBlends(ALONE, blend_rows(tmp_path))
    unblended = Plan(
        stage=2,
        epoch=2,
        samples=SAMPLES,
        kept=np.arange(6),
        partner=np.full(6, NO_PARTNER),
        epsilon=np.zeros(6, np.float32),
    )
    blends.open(unblended, USED)
    assert blends.portion(1, np.arange(6)) is None
    assert blends.cost() == {"teacher_rows": 0, "teacher_seconds": 0.0}
    assert not (tmp_path / "blends").exists()


def test_features_are_those_of_the_blended_picture(tmp_path: Path) -> None:
    """The last layer is linear: its weights times the features, plus its bias, are the logits."""
    encoding = WithFeatures(
        logit_encoding=make_encoding("int8", low=-2, high=2),
        feature_encoding=make_encoding("float32"),
        feature_columns=WIDTH,
    )
    one = blend_rows(tmp_path, source(tmp_path / "source.zarr", encoding))
    finish(one.make(plan(), USED))
    rows = one.read(3, np.array([1, 5]))
    model = teacher()
    last = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
    logits = rows[:, CLASSES:] @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(rows[:, :CLASSES], logits, atol=2e-3)  # of float16: int8 has a range that may not fit
    assert KnowledgeStore.open(tmp_path / "blends/stage-001.zarr").encoding_label == "float16"


def test_the_store_of_a_stage_says_what_it_holds_and_is_sound(tmp_path: Path) -> None:
    one = blend_rows(tmp_path)
    finish(one.make(plan(), USED))
    store = KnowledgeStore.open(tmp_path / "blends/stage-001.zarr")
    said = store.made_from["condensed"]
    source_store = KnowledgeStore.open(tmp_path / "source.zarr")
    assert (said["store"], said["plan"], said["views"]) == (source_store.identity, plan().digest, [1, 3])
    assert store.made_from["augmentation"] == {"name": "blend", "of": AUGMENTATION.describe()}
    assert verify_store(tmp_path / "blends/stage-001.zarr").sound


def test_rows_that_were_cut_short_are_gone_on_with_block_by_block(tmp_path: Path) -> None:
    whole = blend_rows(tmp_path / "whole")
    assert finish(whole.make(plan(), USED)) == 4, "a step for each block, after which other ranks are answered"
    cut = blend_rows(tmp_path / "cut")
    steps = cut.make(plan(), USED)
    for _ in range(3):
        next(steps)  # the third block may still be being written when the third step is over
    assert isinstance(steps, Generator)
    steps.close()
    store = KnowledgeStore.open(tmp_path / "cut/blends/stage-001.zarr")
    done = int(store.complete().sum())
    assert 2 <= done <= 3
    again = blend_rows(tmp_path / "cut", KnowledgeStore.open(tmp_path / "cut/source.zarr"))
    assert finish(again.make(plan(), USED)) == 4 - done
    assert finish(again.make(plan(), USED)) == 0
    for view in USED:
        members = np.array([1, 5])
        np.testing.assert_array_equal(again.read(view, members), whole.read(view, members))
    assert again.cost()["teacher_rows"] == 4


@pytest.mark.parametrize("file", ["logits/c/1/0/0", "zarr.json", "samples/c/0", "complete/c/0/0", "logits/zarr.json"])
def test_damage_is_never_believed(tmp_path: Path, file: str) -> None:
    one = blend_rows(tmp_path)
    finish(one.make(plan(), USED))
    before = [one.read(view, np.array([1, 5])) for view in USED]
    damaged = tmp_path / "blends/stage-001.zarr" / file
    damaged.write_bytes(flipped(damaged.read_bytes(), damaged.stat().st_size // 2, 3))
    again = blend_rows(tmp_path, KnowledgeStore.open(tmp_path / "source.zarr"))
    assert finish(again.make(plan(), USED)) > 0, "what is damaged is made again"
    for view, rows in zip(USED, before, strict=True):
        np.testing.assert_array_equal(again.read(view, np.array([1, 5])), rows)
    assert verify_store(tmp_path / "blends/stage-001.zarr").sound


def test_damage_that_comes_while_a_stage_is_taught_ends_the_run(tmp_path: Path) -> None:
    one = blend_rows(tmp_path)
    finish(one.make(plan(), USED))
    shard = tmp_path / "blends/stage-001.zarr/logits/c/0/0/0"
    shard.write_bytes(flipped(shard.read_bytes(), 2, 1))
    with pytest.raises(FailedError, match=r"damaged.*The same command again has the teacher judge them anew"):
        one.read(1, np.array([1, 5]))
    shutil.rmtree(tmp_path / "blends/stage-001.zarr")
    with pytest.raises(FailedError, match="The same command again has the teacher judge them anew"):
        one.read(3, np.array([1, 5]))


def test_rows_of_another_plan_or_of_other_views_are_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = source(tmp_path / "source.zarr")
    finish(blend_rows(tmp_path, store).make(plan(), USED))
    other = blend_rows(tmp_path, store)
    assert finish(other.make(plan(epsilon=0.25), USED)) == 4
    assert "condensed.plan: found" in " ".join(capsys.readouterr().err.split())
    np.testing.assert_allclose(other.read(3, np.array([5]))[0], judged_by_hand(5, 7, 0.25, 3), atol=1e-5)
    assert finish(other.make(plan(epsilon=0.25), (1, 2, 3))) == 6
    assert "condensed.views: found" in " ".join(capsys.readouterr().err.split())


def test_a_condensed_set_has_no_blends_to_be_judged(tmp_path: Path) -> None:
    finish(blend_rows(tmp_path).make(plan(), USED))
    condensed = KnowledgeStore.open(tmp_path / "blends/stage-001.zarr")
    dataset = Dataset(name="made", classes=("a", "b"), train=split(), test=split(), mean=MEAN, std=STD)
    with pytest.raises(UserError, match=r"condense.perturb is teacher.*is a condensed set"):
        load_judge(load_config("digits", []), dataset, condensed)


def test_a_teacher_that_diverged_is_named(tmp_path: Path) -> None:
    one = blend_rows(tmp_path)
    for parameter in one._judge.model.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(FailedError, match="the teacher's logit for class 'a' of sample 1"):
        finish(one.make(plan(), USED))
