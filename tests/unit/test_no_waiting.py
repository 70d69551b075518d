"""A step never waits for the device: no value comes back before the epoch ends, and no shape depends on a value.

On a GPU torch itself is told to refuse whatever waits. On the CPU, where nothing is waited for, the operations that
would are refused by name; and what runs on the `meta` device, which has shapes and no values, cannot have asked for
one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kcd_pipeline.augmentation import Augmentation, Labels, build_augmentation, build_mixing
from kcd_pipeline.augmentation.operations import OPERATIONS
from kcd_pipeline.condensation import ResidentRows, TaughtRows, make_resident
from kcd_pipeline.condensation.values import make_worth
from kcd_pipeline.config import VALUE_NAMES, AugmentationConfig, Config, parse_config
from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.distillation.judged_blends import BlendRows, JudgedBlends
from kcd_pipeline.distillation.objective import DistillationLoss
from kcd_pipeline.distillation.plans_from import PlansFromRun
from kcd_pipeline.losses import CrossEntropy, LossWeights
from kcd_pipeline.models import build_model
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.epoch import EpochResult
from kcd_pipeline.training.ranks import ALONE
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import (
    HeldRows,
    KnowledgeStore,
    KnowledgeWriter,
    Plan,
    PlanStore,
    ViewRows,
    choose_layout,
    keep_all,
    make_encoding,
    plan_streaming,
)

N, CLASSES, BATCH = 48, 5, 16
WAITING = (
    torch.ops.aten._local_scalar_dense,  # .item(), float(), bool(), .tolist()
    torch.ops.aten.nonzero,  # and with it where(mask), x[mask]
    torch.ops.aten.masked_select,
    torch.ops.aten._unique2,
    torch.ops.aten.equal,
)
KEPT = np.arange(40)
PLAN = Plan(  # of 40 kept samples the last 8 are perturbed by those that were dropped
    stage=1,
    epoch=1,
    samples=N,
    kept=KEPT,
    partner=np.where(KEPT >= 32, KEPT + 8, -1),
    epsilon=np.where(KEPT >= 32, np.float32(0.25), np.float32(0)),
)


class RefuseToWait(TorchDispatchMode):
    """Fails on every operation whose result the host must wait for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket not in WAITING, f"{func} waits for the device"
        if func.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_):
            assert not any(i is not None and i.dtype == torch.bool for i in args[1]), "a mask's count must be known"
        return func(*args, **(kwargs or {}))


EACH: list[dict[str, Any]] = [  # operations of a pipeline
    *({"name": name} for name in OPERATIONS),
    {"name": "erasing", "value": "noise"},
    {"name": "randaugment", "number": 4, "increasing": True, "interpolation": "bilinear"},
    {"name": "color-jitter", "hue": 0.5},
]


def named_augmentation(name: str) -> Augmentation:
    """Return an augmentation with its defaults, of a pipeline with every operation."""
    operations = EACH if name == "pipeline" else []
    return build_augmentation(AugmentationConfig.model_validate({"name": name, "operations": operations}))


def recipe(**more: Any) -> Config:
    tree: dict[str, Any] = {
        "data": {"name": "cifar10"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr", "views": 1},
        "student": {"model": "resnet8"},
        "distill": {"epochs": 2, "batch_size": BATCH},
        "condense": {"interval": 1},
        "run": {"device": "cpu"},
    }
    for key, value in more.items():
        section, name = key.split("__")
        tree[section] = tree.get(section, {}) | {name: value}
    return parse_config(tree, source="the test")


def dataset() -> Dataset:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (N, 3, 16, 16), generator=random, dtype=torch.uint8)
    split = InMemorySplit(images=images, labels=torch.arange(N) % CLASSES)
    names = tuple("abcde")
    return Dataset(name="made-up", classes=names, train=split, test=split, mean=(0.5,) * 3, std=(0.2,) * 3)


@pytest.fixture
def store(tmp_path: Path) -> KnowledgeStore:
    layout = choose_layout(views=1, samples=N, classes=CLASSES, row_bytes=2 * CLASSES)
    made = KnowledgeWriter.create(
        tmp_path / "store.zarr", layout=layout, encoding=make_encoding("float16"), made_from={}
    )
    made.write_block(0, 0, np.random.default_rng(0).normal(size=(N, CLASSES)).astype(np.float32), seconds=0)
    return made.store


class Judged(BlendRows):
    """Rows of zeros for all blends."""

    def __init__(self) -> None: ...

    def make(self, plan: Plan, views: Sequence[int]) -> Iterator[None]:
        yield

    def read(self, view: int, members: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.zeros((len(members), CLASSES), np.float16)


def perturbed_epoch(
    config: Config, store: KnowledgeStore, folder: Path, watched: Callable[[], Any], plan: Plan = PLAN
) -> EpochResult:
    """Run an epoch of a perturbed stage, every step but the first within `watched`."""
    torch.manual_seed(0)
    model = build_model("resnet8", channels=3, classes=CLASSES)
    trainer = Trainer(
        model,
        dataset(),
        build_augmentation(config.augmentation),
        optimisation=config.distill,
        run=config.run,
        mixing=build_mixing(config.augmentation),
    )
    knowledge = (store, plan_streaming(store, memory=10**6, batch_size=BATCH, partners=True))
    plans = PlanStore(folder / "given.zarr")
    plans.write(keep_all(N))
    plans.write(plan)
    plans_from = PlansFromRun(plans, 2, perturbed=True)
    blends = JudgedBlends(ALONE, Judged()) if config.condense.perturb == "teacher" else None
    curriculum = StudentCurriculum(
        config, RunFolder(folder), knowledge, N, plans_from, device=trainer.device, blends=blends
    )
    curriculum.start(0)
    lesson = curriculum.lesson(1)
    left, watching = N - 8, ExitStack()

    def on_batch(size: int) -> None:
        nonlocal left
        if left == N - 8:
            watching.enter_context(watched())
        left -= size
        if not left:
            watching.close()

    with watching:
        result = trainer.train_epoch(
            1,
            view=lesson.view,
            samples=lesson.samples,
            parts=lesson.parts,
            perturbation=lesson.perturbation,
            on_batch=on_batch,
        )
    curriculum.close()
    assert not left
    return result


@pytest.mark.parametrize("perturb", ["knowledge", "pair"])
@pytest.mark.parametrize("augmentation", ["crop-flip", "resized-crop-flip"])
@pytest.mark.parametrize("loss", ["kd", "dkd", "dist"])
def test_no_step_waits(tmp_path: Path, store: KnowledgeStore, perturb: str, augmentation: str, loss: str) -> None:
    config = recipe(condense__perturb=perturb, augmentation__name=augmentation, distill__loss={"name": loss})
    perturbed_epoch(config, store, tmp_path / "run", RefuseToWait)


@pytest.mark.parametrize("loss", ["kd", "dkd"])
def test_no_step_waits_for_pictures_that_are_mixed(tmp_path: Path, store: KnowledgeStore, loss: str) -> None:
    config = recipe(augmentation__mix="mixup-cutmix", distill__loss={"name": loss}, condense__value="loss")
    perturbed_epoch(config, store, tmp_path / "run", RefuseToWait)


def test_no_step_waits_for_a_pipeline_of_all_operations(tmp_path: Path, store: KnowledgeStore) -> None:
    perturbed_epoch(recipe(augmentation__name="pipeline", augmentation__operations=EACH), store, tmp_path, RefuseToWait)


def test_no_step_waits_for_the_weights_of_its_samples(tmp_path: Path, store: KnowledgeStore) -> None:
    weighted = replace(PLAN, weight=np.linspace(0.5, 2, len(KEPT), dtype=np.float32))
    perturbed_epoch(recipe(), store, tmp_path / "run", RefuseToWait, weighted)


@pytest.mark.parametrize("more", [{"ema": 0.9}, {"clip_norm": 0.1}, {"accumulate": 2}])
def test_no_step_waits_for_averages_and_gradients(
    tmp_path: Path, store: KnowledgeStore, more: dict[str, float]
) -> None:
    config = recipe(**{f"distill__{key}": value for key, value in more.items()})
    steps = perturbed_epoch(config, store, tmp_path / "run", RefuseToWait).steps
    assert steps == (2 if "accumulate" in more else 3)


def test_no_step_waits_for_rows_that_the_teacher_gave(tmp_path: Path, store: KnowledgeStore) -> None:
    perturbed_epoch(recipe(condense__perturb="teacher"), store, tmp_path / "run", RefuseToWait)


@pytest.mark.parametrize("wait", [lambda x: x.item(), lambda x: float(x), lambda x: x[x > 0], lambda x: x.nonzero()])
def test_a_wait_is_noticed(wait: Callable[[torch.Tensor], Any]) -> None:
    with RefuseToWait(), pytest.raises(AssertionError):
        wait(torch.ones(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("where", ["device", "host"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("perturb", ["knowledge", "teacher"])
@pytest.mark.parametrize("more", [{}, {"distill__ema": 0.9, "distill__clip_norm": 1.0, "distill__accumulate": 2}])
def test_no_step_waits_on_a_gpu(
    tmp_path: Path, store: KnowledgeStore, where: str, precision: str, perturb: str, more: dict[str, float]
) -> None:
    @contextmanager
    def watched() -> Iterator[None]:
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    config = recipe(
        run__device="cuda", run__resident=where, run__precision=precision, condense__perturb=perturb, **more
    )
    there = perturbed_epoch(config, store, tmp_path / "there", watched)
    here = perturbed_epoch(recipe(condense__perturb=perturb, **more), store, tmp_path / "here", RefuseToWait)
    np.testing.assert_allclose(there.worth, here.worth, atol=0.05)


# --- the work of a GPU, tested without one -------------------------------------------------


@pytest.mark.parametrize("space", ["logits", "probabilities", "pair", "teacher"])
@pytest.mark.parametrize("held", [False, True], ids=["whole view", "some rows"])
def test_rows_in_device_memory_teach_the_same_as_rows_on_the_host(space: str, held: bool) -> None:
    view = np.random.default_rng(0).normal(size=(N, CLASSES)).astype(np.float16)
    some = np.arange(0, N, 1 if not held else 4)
    rows: ViewRows | HeldRows = HeldRows(some, view[some]) if held else ViewRows(view)
    index = np.random.default_rng(1).permutation(np.intersect1d(some, KEPT))
    taught = TaughtRows(PLAN, space=space, temperature=4.0, classes=CLASSES)
    judged = HeldRows(KEPT[32:], view[:8])  # of the blends, as a teacher gave them
    expected = taught.batch(rows, index, judged)
    here, meta = torch.device("cpu"), torch.device("meta")
    found = taught.batch(ResidentRows(rows, here), index, ResidentRows(judged, here))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    without_values = TaughtRows(PLAN, space=space, temperature=4.0, classes=CLASSES, device=meta).batch(
        ResidentRows(rows, meta), index, ResidentRows(judged, meta)
    )
    assert without_values.shape == expected.shape
    assert without_values.device == meta


def test_rows_stay_where_they_are_without_a_gpu() -> None:
    rows = ViewRows(np.zeros((4, 2), np.float16))
    assert make_resident(rows, torch.device("cpu"), "device") is rows


LOSSES: list[dict[str, Any]] = [
    {"name": "kd"},
    {"name": "kd", "standardise": True},
    {"name": "dkd"},
    {"name": "dist"},
]


@pytest.mark.parametrize("value", VALUE_NAMES)
def test_no_value_asks_for_a_number_of_the_device(value: str) -> None:
    worth = make_worth(recipe(condense__value=value))
    logits, labels, teacher = torch.randn(BATCH, CLASSES), torch.arange(BATCH) % CLASSES, torch.randn(BATCH, CLASSES)
    with RefuseToWait():
        found = worth(logits, labels, teacher)
    without_values = worth(logits.to("meta"), labels.to("meta"), teacher.to("meta"))
    assert (without_values.shape, without_values.dtype) == (found.shape, found.dtype) == ((BATCH,), torch.float32)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_no_loss_asks_for_a_number_of_the_device(loss: dict[str, Any], weighted: bool) -> None:
    weights = LossWeights(ce=0.3, kd=0.7)

    def gradient(device: str) -> torch.Tensor:
        class_weight = torch.ones(CLASSES, device=device) if weighted else None
        cross_entropy = CrossEntropy(smoothing=0.1 * weighted, class_weight=class_weight)
        chosen = DistillationLoss(recipe(distill__loss=loss).distill, None, cross_entropy)
        logits = torch.ones(BATCH, CLASSES, device=device).requires_grad_()
        labels = Labels(own=torch.zeros(BATCH, dtype=torch.int64, device=device))
        sample_weight = torch.ones(BATCH, device=device) if weighted else None
        taught = torch.zeros(BATCH, CLASSES, device=device)
        chosen(logits, taught, labels, classes=CLASSES, weights=weights, sample_weight=sample_weight).backward()
        assert logits.grad is not None
        return logits.grad

    with RefuseToWait():
        gradient("cpu")
    assert gradient("meta").shape == (BATCH, CLASSES)


@pytest.mark.parametrize("name", ["none", "crop-flip", "resized-crop-flip", "pipeline"])
def test_augmentation_depends_on_no_value_but_its_parameters(name: str) -> None:
    """numpy draws the parameters on the host, and exact operations apply them: all devices give the same pixels."""
    images = dataset().train.images  # type: ignore[attr-defined]  # in memory
    augmentation = named_augmentation(name)
    index = np.arange(N)
    drawn = augmentation.parameters(index, 3, 16, 16)
    parameters = torch.from_numpy(drawn)
    with RefuseToWait():
        pixels = augmentation.apply(images, parameters, drawn)
    assert augmentation.apply(images.to("meta"), parameters.to("meta"), drawn).shape == images.shape
    assert pixels.dtype == torch.uint8
    torch.testing.assert_close(pixels, augmentation(images, index, 3), rtol=0, atol=0)


class RefuseInexact(TorchDispatchMode):
    """Fails on operations whose result may hang on the device: all of floating-point numbers but single roundings.

    IEEE 754 fixes the last bit of a sum, product and quotient, but not of sums of many numbers, nor whether a product
    and a sum are rounded together, as `add` with `alpha` is on some devices.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given, kwargs = func(*args, **(kwargs or {})), kwargs or {}
        if isinstance(given, torch.Tensor) and given.is_floating_point():
            assert func.overloadpacket in FIXED, f"{func} is not exact"
            assert kwargs.get("alpha", 1) == 1, f"{func} may be fused"
        return given


MOVES = ("_to_copy", "arange", "where", "unsqueeze", "select", "slice")  # no arithmetic
ROUNDED = ("clamp", "trunc", "floor", "fmod", "add", "sub", "rsub", "mul", "div")
FIXED = {getattr(torch.ops.aten, name) for name in (*MOVES, *ROUNDED)}


@pytest.mark.parametrize("name", ["crop-flip", "resized-crop-flip", "pipeline"])
def test_augmentation_is_exact_from_end_to_end(name: str) -> None:
    images = dataset().train.images  # type: ignore[attr-defined]  # in memory
    augmentation = named_augmentation(name)
    parameters = torch.from_numpy(augmentation.parameters(np.arange(N), 1, 16, 16))
    with RefuseInexact():
        augmentation.apply(images, parameters)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "mixup-cutmix"])
def test_mixing_is_integer_arithmetic_from_end_to_end(name: str) -> None:
    images = dataset().train.images  # type: ignore[attr-defined]  # in memory
    mixing = build_mixing(AugmentationConfig(mix={"name": name}))
    assert mixing is not None
    drawn = mixing.draw(np.arange(N), 1, samples=N, height=16, width=16)
    with RefuseInexact(), RefuseToWait():
        mixing.apply(images, images.flip(0), torch.from_numpy(drawn.parameters))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["crop-flip", "resized-crop-flip", "pipeline"])
def test_a_gpu_shows_the_same_pixels(name: str) -> None:
    images = dataset().train.images  # type: ignore[attr-defined]  # in memory
    augmentation = named_augmentation(name)
    index = np.arange(N)
    there = augmentation(images.cuda(), index, 2)
    torch.testing.assert_close(there.cpu(), augmentation(images, index, 2), rtol=0, atol=0)


def test_views_drawn_many_at_once_are_those_drawn_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from kcd_pipeline.augmentation import views as module

    monkeypatch.setattr(module, "DRAWN_AT_ONCE", 20)
    views = dataset().train_views(build_augmentation(AugmentationConfig()), torch.device("cpu"))
    order = np.random.default_rng(2).permutation(N)
    cut = [order[:7], order[7:14], order[14:21], order[21:22], order[22:]]
    seen = list(views.batches(cut, 3))
    assert [index.tolist() for index, _ in seen] == [index.tolist() for index in cut]
    for index, images in seen:
        torch.testing.assert_close(images, views.batch(index, 3), rtol=0, atol=0)
    assert list(views.batches([], 0)) == []


def test_compiling_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda model: compiled.append(model))
    for chosen in (False, True):
        config = recipe(run__compile=chosen)
        model = build_model("resnet8", channels=3, classes=CLASSES)
        Trainer(model, dataset(), build_augmentation(config.augmentation), optimisation=config.distill, run=config.run)
    assert compiled == [model]
