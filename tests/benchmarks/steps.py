"""A student's steps compared with bare ones, and its run with that of a live teacher; one line of JSON each.

    python tests/benchmarks/steps.py [cpu|cuda] [--batch-sizes 64 512] [--compile] [--precision bf16] [--only steps|run]
    python tests/benchmarks/steps.py --only steps --augmentation cifar10/strong --student resnet8 --batch-sizes 128

Made-up images of CIFAR's shape and made-up knowledge: what is measured does not hang on what they show. Alternatives
take turns, and the fastest of their turns counts, so that whatever else the machine does falls on both. With
`--augmentation`, both sides make the views of that recipe and mix them, and what views alone take is told, beside those
of the usual crop and flip.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from kcd_pipeline.augmentation import Labels, ViewSource, build_augmentation, build_mixing
from kcd_pipeline.condensation import update_values
from kcd_pipeline.condensation.values import prediction_entropy
from kcd_pipeline.config import AugmentationConfig, Config, load_config, parse_config
from kcd_pipeline.data import Dataset, InMemorySplit
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.losses import make_loss
from kcd_pipeline.models import build_model
from kcd_pipeline.runs import Record, RunFolder
from kcd_pipeline.training.epoch import EpochResult, StepOutcome
from kcd_pipeline.training.session import Lesson, run_epochs
from kcd_pipeline.training.trainer import Trainer
from kcd_stores import KnowledgeStore, KnowledgeWriter, choose_layout, make_encoding, plan_streaming, row_bytes
from kcd_stores.philox import permutation

CLASSES, STUDENT, TEACHER = 100, "resnet8x4", "resnet32x4"


def say(name: str, ratio: float, bound: str, **facts: Any) -> None:
    rounded = {key: round(value, 5) if isinstance(value, float) else value for key, value in facts.items()}
    print(json.dumps({"benchmark": name, "ratio": round(ratio, 4), "wanted": bound, **rounded}), flush=True)


def recipe(options: argparse.Namespace, folder: Path, batch_size: int, epochs: int) -> Config:
    tree: dict[str, Any] = {
        "data": {"name": "cifar100"},
        "teacher": {"model": TEACHER, "weights": "none.safetensors"},
        "store": {"path": str(folder / "store.zarr"), "views": 2},
        "student": {"model": options.student},
        "distill": {"epochs": epochs, "batch_size": batch_size, "lr": 0.01},
        "condense": {"interval": 1},
        "run": {
            "device": options.device,
            "precision": options.precision,
            "compile": options.compile,
            "threads": options.threads,
        },
    }
    if options.augmentation:
        tree["augmentation"] = load_config(options.augmentation, []).plain()["augmentation"]
    return parse_config(tree, source="the benchmark")


def made_up(samples: int, tests: int) -> Dataset:
    random = torch.Generator().manual_seed(0)

    def split(size: int) -> InMemorySplit:
        images = torch.randint(0, 256, (size, 3, 32, 32), generator=random, dtype=torch.uint8)
        return InMemorySplit(images=images, labels=torch.randint(0, CLASSES, (size,), generator=random))

    names = tuple(map(str, range(CLASSES)))
    return Dataset(
        name="made-up", classes=names, train=split(samples), test=split(tests), mean=(0.5,) * 3, std=(0.25,) * 3
    )


def knowledge(config: Config, samples: int) -> KnowledgeStore:
    encoding = make_encoding("float16")
    layout = choose_layout(
        views=config.store.views, samples=samples, classes=CLASSES, row_bytes=row_bytes(encoding, CLASSES)
    )
    writer = KnowledgeWriter.create(config.store.path, layout=layout, encoding=encoding, made_from={})
    random = np.random.default_rng(0)
    for view, block in layout.all_blocks():
        logits = random.normal(0, 4, (len(layout.rows(block)), CLASSES)).astype(np.float32)
        writer.write_block(view, block, logits, seconds=0)
    return writer.store


def new_trainer(config: Config, dataset: Dataset) -> Trainer:
    torch.manual_seed(0)
    model = build_model(config.student.model, channels=3, classes=CLASSES)
    augmentation, mixing = build_augmentation(config.augmentation), build_mixing(config.augmentation)
    return Trainer(model, dataset, augmentation, optimisation=config.distill, run=config.run, mixing=mixing)


def new_curriculum(config: Config, folder: Path, store: KnowledgeStore, trainer: Trainer) -> StudentCurriculum:
    streaming = plan_streaming(store, memory=10**9, batch_size=config.distill.batch_size, partners=True)
    known = (store, streaming)
    curriculum = StudentCurriculum(config, RunFolder(folder), known, store.layout.samples, device=trainer.device)
    curriculum.start(0)
    return curriculum


class ResidentBatch:
    """A view source that always gives the same batch, made beforehand."""

    def __init__(self, images: torch.Tensor) -> None:
        self._images = images

    def batches(self, cut: Sequence[NDArray[np.int64]], view: int) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
        for index in cut:
            yield index, self._images


def clock(device: torch.device) -> float:
    """Return seconds: wall clock with a GPU, else CPU time of this process, as others may use the CPU too."""
    synchronise(device)
    return time.perf_counter() if device.type == "cuda" else time.process_time()


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def step(options: argparse.Namespace, batch_size: int) -> None:
    """Compare an epoch of a condensed stage (lookup, perturbation, values) with as many steps on the labels alone."""
    samples = batch_size * options.steps
    with tempfile.TemporaryDirectory() as name:
        config = recipe(options, Path(name), batch_size, epochs=2)
        store, dataset = knowledge(config, samples), made_up(samples, batch_size)
        trainer = new_trainer(config, dataset)
        curriculum = new_curriculum(config, Path(name) / "run", store, trainer)
        entropy = np.random.default_rng(0).random(samples, dtype=np.float32)
        curriculum.lesson(0)
        order = np.arange(samples)
        curriculum.record(0, EpochResult(loss=1, accuracy=0, order=order, worth=entropy, steps=1, seconds=1))
        if not options.augmentation:
            images = torch.randn(batch_size, 3, 32, 32, device=trainer.device).to(memory_format=torch.channels_last)
            trainer._train = ResidentBatch(images)  # type: ignore[assignment]  # all that an epoch asks of it
        # the samples kept at the end of the schedule, and as many whole batches of them
        lesson = curriculum.lesson(1)
        ((kept, objective),) = lesson.parts
        steps = len(kept) // batch_size
        kept = kept[: steps * batch_size]
        value, frequency = np.full(samples, np.nan), np.zeros(samples, np.int32)

        def student() -> None:
            result = trainer.train_epoch(1, view=1, samples=len(kept), parts=[(kept, objective)])
            update_values(value, frequency, result.order, result.worth)

        actions = {"bare": lambda: labels_only(trainer, np.split(kept, steps)), "student": student}
        if options.augmentation:
            usual = dataset.train_views(build_augmentation(AugmentationConfig()), trainer.device)
            actions["views"] = lambda: only_views(trainer.train_views, np.split(kept, steps))
            actions["crop_flip_views"] = lambda: only_views(usual, np.split(kept, steps))
        best = fastest(options.turns, trainer.device, **actions)
        curriculum.close()
    each = {f"{key}_step_seconds": value / steps for key, value in best.items()}
    facts = {"batch_size": batch_size, **told(options, trainer.device), **each}
    said = f"student step / bare labels-only step, {options.student}"
    if options.augmentation:
        said += f", views of {options.augmentation}"
    say(said, best["student"] / best["bare"], "<= 1.05", **facts)


def labels_only(trainer: Trainer, cut: list[NDArray[np.int64]]) -> None:
    """Take a bare step on the labels of each batch of samples `cut`."""
    model, optimizer = trainer._model, trainer._optimizer
    model.train()
    labels = trainer._labels_of(cut, 1)
    for (_, images), truth in zip(trainer.train_views.batches(cut, 1), labels, strict=True):
        with trainer.accelerator.autocast():
            logits = model(images)
        losses = truth.mean_of(partial(F.cross_entropy, logits.float(), reduction="none"))
        losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def only_views(views: ViewSource, cut: list[NDArray[np.int64]]) -> None:
    for _ in views.batches(cut, 1):
        pass


def fastest(turns: int, device: torch.device, **actions: Callable[[], None]) -> dict[str, float]:
    """Return the seconds of the fastest turn of each, after one turn to warm up."""
    best = dict.fromkeys(actions, float("inf"))
    for turn in range(turns + 1):
        for name, action in actions.items():
            started = clock(device)
            action()
            if turn:
                best[name] = min(best[name], clock(device) - started)
    return best


class LiveTeacher:
    """The curriculum of plain distillation with a live teacher: all samples, logits computed at every step."""

    def __init__(self, config: Config, trainer: Trainer, samples: int) -> None:
        self._config, self._samples, self._loss = config, samples, make_loss(config.distill)
        torch.manual_seed(1)
        teacher = build_model(TEACHER, channels=3, classes=CLASSES).eval()
        self._teacher = teacher.to(trainer.device).to(memory_format=torch.channels_last)
        self._autocast = trainer.accelerator.autocast
        self._seen = torch.empty(0)
        trainer._model.register_forward_pre_hook(self._look)  # the images that the student sees

    def _look(self, model: torch.nn.Module, arguments: tuple[torch.Tensor]) -> None:
        (self._seen,) = arguments

    def _objective(self, logits: torch.Tensor, labels: Labels, index: NDArray[np.int64]) -> StepOutcome:
        with torch.no_grad(), self._autocast():
            targets = self._teacher(self._seen)
        distill = self._config.distill
        knowledge = self._loss(logits, targets.float(), labels.own).mean()
        loss = distill.ce_weight * F.cross_entropy(logits, labels.own) + distill.kd_weight * knowledge
        return StepOutcome(loss, prediction_entropy(logits))

    def start(self, epoch: int, recorded: Record | None = None) -> None:
        pass

    def lesson(self, epoch: int) -> Lesson:
        order = permutation(0, epoch, np.arange(self._samples))
        return Lesson(view=epoch % 2, samples=len(order), parts=[(order, self._objective)], knowledge_rows=0)

    def record(self, epoch: int, result: EpochResult) -> dict[str, int]:
        return {}

    def values(self) -> None:
        return None

    def digests(self, epochs: int) -> dict[str, list[str]]:
        return {}


def run(options: argparse.Namespace, batch_size: int = 64) -> None:
    """Compare a whole `kcd` run, with condensations, files and tests, with the same epochs of a live teacher."""
    samples, epochs = options.samples, options.epochs
    found: dict[str, list[float]] = {"kcd": [], "live": []}
    with tempfile.TemporaryDirectory() as name:
        config = recipe(options, Path(name), batch_size, epochs)
        store, dataset = knowledge(config, samples), made_up(samples, 64)
        for turn in range(options.turns):
            for kind, seconds in found.items():
                folder = RunFolder(Path(name) / f"{kind}-{turn}")
                folder.begin(config.plain(), {})
                trainer = new_trainer(config, dataset)
                started = clock(trainer.device)
                if kind == "kcd":
                    curriculum = new_curriculum(config, folder.path, store, trainer)
                    run_epochs(folder, trainer, curriculum, epochs=epochs, name=kind, facts={})
                    curriculum.close()
                else:
                    live = LiveTeacher(config, trainer, samples)
                    run_epochs(folder, trainer, live, epochs=epochs, name=kind, facts={})
                seconds.append(clock(trainer.device) - started)
    kcd, live_seconds = (min(seconds) for seconds in found.values())
    facts = {"samples": samples, "epochs": epochs, **told(options, trainer.device)}
    name = f"kcd run / run with a live teacher, {TEACHER} to {STUDENT}"
    say(name, kcd / live_seconds, "<= 0.35", kcd_seconds=kcd, live_seconds=live_seconds, **facts)


def told(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return {"device": f"{device.type} ({name})", "precision": options.precision, "compile": options.compile}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("device", nargs="?", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 512])
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--student", default=STUDENT)
    parser.add_argument("--augmentation", metavar="RECIPE", help="make the views of this recipe within each step")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=4, help="batches of samples in the set; a GPU wants 200")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--samples", type=int, default=640, help="of the whole run; a GPU wants 20,000")
    parser.add_argument("--epochs", type=int, default=3, help="of the whole run")
    parser.add_argument("--threads", type=int, help="of the CPU; torch's own choice if not given")
    parser.add_argument("--only", choices=["steps", "run"])
    options = parser.parse_args()
    if options.only != "run":
        for batch_size in options.batch_sizes:
            step(options, batch_size)
    if options.only != "steps":
        run(options)


if __name__ == "__main__":
    main()
