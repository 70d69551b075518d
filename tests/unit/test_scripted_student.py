"""The whole procedure on a student whose every entropy is known: when it ranks, and what each stage is taught.

Eight samples, four stages of two epochs, alpha = 0 (the score is V, the mean of H). H in eighths of a nat; epochs 6 and
7 are the last stage, after which nothing is ranked. A sample that an epoch does not train has no H in it.

    sample     0    1    2    3    4    5    6    7
    epoch 0    7    7    5    5    4    3    2    2
    epoch 1    7    7    7    5    4    3    2    2
    epoch 2    0    1    8    0    8    0    0    -
    epoch 3    0    1    8    0    8    0    0    -
    epoch 4    0    0    1    0    0    -    -    0
    epoch 5    0    2    1    0    0    -    -    0

linear, keep_ratio 0.25: stage s keeps 1 - 0.75 * s/3 -> 8, 6, 4, 2 samples.

    V after stage 0   7 7 6 5 4 3 2 2             rank 0 1 2 3 4 5 | 6 7
        stage 1: K1L = (4, 5), all of K0 = (6, 7) is new: 4 <- 6 eps 0, 5 <- 7 eps 0.3
    V after stage 1   14/4 16/4 28/4 10/4 24/4 6/4, and 6, 7 still 2
                    = 3.5 4 7 2.5 6 1.5 2 2       rank 2 4 1 0 | 3 6 7 5
        stage 2: two fewer, below the cut (3, 6), of which 6 was dropped before: 1 <- 3 eps 0, 0 <- 6 eps 0.3
                 new in K0 = (3, 5): 1 <- 3 eps 0, 0 <- 5 eps 0.3
                 all of it = (3, 6, 7, 5): 2 <- 3 eps 0, 4 <- 6 eps 0.1, 1 <- 7 eps 0.2, 0 <- 5 eps 0.3
    V after stage 2   14/6 18/6 30/6 - 24/6 - - - and what was dropped as before
                    = 2.33 3 5 2.5 4 1.5 2 2      rank 2 4 | 1 3 0 6 7 5
        stage 3: two fewer, below the cut (1, 3): 2 <- 1 eps 0, 4 <- 3 eps 0.3
                 new in K0 = (1, 0): 2 <- 1 eps 0, 4 <- 0 eps 0.3
                 all of it = (1, 3, 0, 6, 7, 5), but there are two to perturb: 2 <- 1 eps 0, 4 <- 3 eps 0.3

released, keep_ratio 0.5: stage s keeps 1 - 0.5 * s/4 -> 8, 7, 6, 5 samples.

    stage 1: rank 0 1 2 3 4 5 6 | 7; one to perturb, and it is the top of K1L: 6 <- 7 eps 0
    V after stage 1   3.5 4 7 2.5 6 1.5 1, and 7 still 2      rank 2 4 1 0 3 7 | 5 6
        stage 2: 7 comes back; one fewer, below the cut (5): 7 <- 5 eps 0
                 new in K0 = all of it = (5, 6): 3 <- 5 eps 0, 7 <- 6 eps 0.3
    V after stage 2   14/6 18/6 30/6 10/6 24/6 - - 4/4, 5 still 1.5, 6 still 1
                    = 2.33 3 5 1.67 4 1.5 1 1                 rank 2 4 1 0 3 | 5 6 7
        stage 3: one fewer, below the cut (5), which was dropped before: 3 <- 5 eps 0
                 new in K0 = (7): 3 <- 7 eps 0
                 all of it = (5, 6, 7): 1 <- 5 eps 0, 0 <- 6 eps 0.15, 3 <- 7 eps 0.3

These strengths are those of the ramp `linear`. With the ramp `released` the second of two has 0.3 * 1/2 = 0.15.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special

from kcd_pipeline.augmentation import Labels
from kcd_pipeline.config import Config, parse_config
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.epoch import EpochResult
from kcd_pipeline.training.session import Lesson
from kcd_stores import KnowledgeStore, KnowledgeWriter, Layout, PlanStore, ValueStore, make_encoding, plan_streaming

N, CLASSES, VIEWS, EPOCHS = 8, 3, 2, 8
NEVER = np.nan  # a visit that must not happen
H = np.array(
    [
        [7, 7, 5, 5, 4, 3, 2, 2],
        [7, 7, 7, 5, 4, 3, 2, 2],
        [0, 1, 8, 0, 8, 0, 0, NEVER],
        [0, 1, 8, 0, 8, 0, 0, NEVER],
        [0, 0, 1, 0, 0, NEVER, NEVER, 0],
        [0, 2, 1, 0, 0, NEVER, NEVER, 0],
        [1] * N,
        [1] * N,
    ],
    np.float32,
) / np.float32(8)
LOGITS = np.random.default_rng(0).normal(size=(VIEWS, N, CLASSES)).astype(np.float32) * 3

Plans = list[dict[int, tuple[int, float]]]  # of each stage: {kept: (partner, eps)}


def stored(*samples: int) -> dict[int, tuple[int, float]]:
    return dict.fromkeys(samples, (-1, 0.0))


FIRST = stored(*range(N))
LINEAR_1 = stored(0, 1, 2, 3) | {4: (6, 0.0), 5: (7, 0.3)}
RELEASED_1 = stored(0, 1, 2, 3, 4, 5) | {6: (7, 0.0)}
RELEASED_2 = stored(2, 4, 1, 0) | {3: (5, 0.0), 7: (6, 0.3)}
ON_PAPER: dict[tuple[str, float, str, str], Plans] = {
    ("linear", 0.25, "released", "linear"): [
        FIRST,
        LINEAR_1,
        stored(2, 4) | {1: (3, 0.0), 0: (6, 0.3)},
        {2: (1, 0.0), 4: (3, 0.3)},
    ],
    ("linear", 0.25, "released", "released"): [
        FIRST,
        stored(0, 1, 2, 3) | {4: (6, 0.0), 5: (7, 0.15)},
        stored(2, 4) | {1: (3, 0.0), 0: (6, 0.15)},
        {2: (1, 0.0), 4: (3, 0.15)},
    ],
    ("linear", 0.25, "new", "linear"): [
        FIRST,
        LINEAR_1,
        stored(2, 4) | {1: (3, 0.0), 0: (5, 0.3)},
        {2: (1, 0.0), 4: (0, 0.3)},
    ],
    ("linear", 0.25, "all", "linear"): [
        FIRST,
        LINEAR_1,
        {2: (3, 0.0), 4: (6, 0.1), 1: (7, 0.2), 0: (5, 0.3)},
        {2: (1, 0.0), 4: (3, 0.3)},
    ],
    ("released", 0.5, "released", "released"): [
        FIRST,
        RELEASED_1,
        stored(2, 4, 1, 0, 3) | {7: (5, 0.0)},
        stored(2, 4, 1, 0) | {3: (5, 0.0)},
    ],
    ("released", 0.5, "new", "linear"): [FIRST, RELEASED_1, RELEASED_2, stored(2, 4, 1, 0) | {3: (7, 0.0)}],
    ("released", 0.5, "all", "linear"): [
        FIRST,
        RELEASED_1,
        RELEASED_2,
        stored(2, 4) | {1: (5, 0.0), 0: (6, 0.15), 3: (7, 0.3)},
    ],
}


def recipe(schedule: str, keep_ratio: float, dropped: str, **condense: Any) -> Config:
    tree = {
        "data": {"name": "digits"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr", "views": VIEWS},
        "student": {"model": "resnet8"},
        # the loss is the relative entropy alone, at T = 1: its gradient shows what is taught
        "distill": {"epochs": EPOCHS, "batch_size": 3, "temperature": 1, "ce_weight": 0, "kd_weight": 1},
        "condense": {"interval": 2, "alpha": 0, "epsilon_max": 0.3, "schedule": schedule, "keep_ratio": keep_ratio}
        | {"dropped": dropped}
        | condense,
    }
    return parse_config(tree, source="the script")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeStore:
    layout = Layout(views=VIEWS, samples=N, classes=CLASSES, block_rows=N, chunk_rows=N)
    path = tmp_path_factory.mktemp("script") / "store.zarr"
    made = KnowledgeWriter.create(path, layout=layout, encoding=make_encoding("float32"), made_from={})
    for view in range(VIEWS):
        made.write_block(view, 0, LOGITS[view], seconds=0)
    return made.store


def taught(lesson: Lesson) -> dict[int, np.ndarray]:
    """Return the distribution that each sample is taught, from the loss's gradient at a student that knows nothing.

    The gradient of `KL(p || softmax(z))` at z = 0 is `1/C - p`.
    """
    found: dict[int, np.ndarray] = {}
    for order, objective in lesson.parts:
        for sample in order:
            z = torch.zeros(1, CLASSES, requires_grad=True)
            objective(z, Labels(own=torch.tensor([0])), np.array([sample])).loss.backward()
            assert z.grad is not None
            assert int(sample) not in found, "a sample is trained on once an epoch"
            found[int(sample)] = 1 / CLASSES - z.grad[0].numpy()
    return found


def go_through(curriculum: StudentCurriculum, epoch: int) -> dict[int, np.ndarray]:
    """Run one epoch of the scripted student; return what it was taught."""
    lesson = curriculum.lesson(epoch)
    assert lesson.view == epoch % VIEWS
    found = taught(lesson)
    assert lesson.samples == lesson.knowledge_rows == len(found)
    order = np.array(list(found))
    curriculum.record(epoch, EpochResult(loss=1, accuracy=0, order=order, worth=H[epoch, order], steps=1, seconds=1))
    return found


@pytest.mark.parametrize(("schedule", "keep_ratio", "dropped", "ramp"), ON_PAPER)
def test_every_stage_is_taught_the_distributions_worked_out_on_paper(
    tmp_path: Path, store: KnowledgeStore, schedule: str, keep_ratio: float, dropped: str, ramp: str
) -> None:
    config, folder = recipe(schedule, keep_ratio, dropped, ramp=ramp), RunFolder(tmp_path)
    plans = ON_PAPER[schedule, keep_ratio, dropped, ramp]
    streaming = plan_streaming(store, memory=10**6, batch_size=3, partners=True)
    curriculum = StudentCurriculum(config, folder, (store, streaming), N)
    curriculum.start(0)
    for epoch in range(EPOCHS):
        expected, view = plans[epoch // 2], LOGITS[epoch % VIEWS]
        found = go_through(curriculum, epoch)
        assert set(found) == set(expected), f"epoch {epoch}"
        for sample, (partner, eps) in expected.items():
            logits = view[sample] + (eps * view[partner] if eps else 0)
            np.testing.assert_allclose(found[sample], special.softmax(logits), atol=1e-6)
        assert PlanStore(folder.plans).stages() == list(range(epoch // 2 + 1)), (
            "it ranks when a stage opens, not before"
        )
    curriculum.close()
    on_disk = [
        {int(k): (int(p), round(float(e), 6)) for k, p, e in zip(plan.kept, plan.partner, plan.epsilon, strict=True)}
        for plan in PlanStore(folder.plans).read_all()
    ]
    assert on_disk == plans
    assert [plan.epoch for plan in PlanStore(folder.plans).read_all()] == [0, 2, 4, 6]


def test_what_is_recorded_is_what_was_trained_on_and_nothing_else(tmp_path: Path, store: KnowledgeStore) -> None:
    folder = RunFolder(tmp_path)
    streaming = plan_streaming(store, memory=10**6, batch_size=3, partners=True)
    curriculum = StudentCurriculum(recipe("linear", 0.25, "new"), folder, (store, streaming), N)
    curriculum.start(0)
    for epoch in range(6):
        go_through(curriculum, epoch)
    curriculum.close()
    values = ValueStore.open(folder.values)
    assert values.read(1)[1].tolist() == [2] * N
    assert values.read(3)[1].tolist() == [4, 4, 4, 4, 4, 4, 2, 2]
    value, frequency = values.read(5)
    assert frequency.tolist() == [6, 6, 6, 4, 6, 4, 2, 2]
    np.testing.assert_allclose(value * 8, [14 / 6, 3, 5, 2.5, 4, 1.5, 2, 2])
    # at the latest visit: epoch 5 for 0, 1, 2, 4; epoch 3 for 3 and 5; epoch 1 for 6 and 7
    np.testing.assert_array_equal(values.read_latest(5) * 8, [0, 2, 1, 0, 0, 0, 2, 2])


@pytest.mark.parametrize("method", ["none", "kd"])
def test_a_method_that_does_not_condense_trains_on_all_of_it_always(
    tmp_path: Path, store: KnowledgeStore, method: str
) -> None:
    config, folder = recipe("linear", 0.25, "new"), RunFolder(tmp_path)
    config = config.model_copy(update={"distill": config.distill.model_copy(update={"method": method})})
    streaming = plan_streaming(store, memory=10**6, batch_size=3, partners=False)
    curriculum = StudentCurriculum(config, folder, (store, streaming) if method == "kd" else None, N)
    curriculum.start(0)
    for epoch in range(EPOCHS):
        lesson = curriculum.lesson(epoch)
        order = np.concatenate([part for part, _ in lesson.parts])
        assert sorted(order) == list(range(N))
        assert lesson.knowledge_rows == (N if method == "kd" else 0)
        entropy = np.ones(N, np.float32)
        curriculum.record(epoch, EpochResult(loss=1, accuracy=0, order=order, worth=entropy, steps=1, seconds=1))
    curriculum.close()
    assert PlanStore(folder.plans).stages() == [0]
