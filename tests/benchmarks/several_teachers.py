"""The epochs of a student of several teachers compared with those of a student of one; one line of JSON each.

    python -m tests.benchmarks.several_teachers [cpu|cuda] [--teachers 2 4] [--samples 2560] [--turns 5]

An epoch is read, blended and trained on as in a run. Made-up images of CIFAR's shape and made-up knowledge: what is
measured does not hang on what they show. Alternatives take turns, and the fastest of their turns counts. On a CPU, the
seconds are those of computing in all threads, so that what is blended in the background counts in full.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.steps import STUDENT, fastest, knowledge, made_up, new_trainer, recipe, say, told

from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset
from kcd_pipeline.distillation.curriculum import StudentCurriculum
from kcd_pipeline.runs import RunFolder
from kcd_stores import BlendedStores, KnowledgeStore, plan_streaming


class Student:
    """A student that is taught by the blend of some stores, or by the first alone."""

    def __init__(self, config: Config, dataset: Dataset, stores: Sequence[KnowledgeStore], folder: Path) -> None:
        source = stores[0] if len(stores) == 1 else self._blend(stores)
        streaming = plan_streaming(source, memory=10**9, batch_size=config.distill.batch_size, partners=True)
        self._trainer, self._epoch = new_trainer(config, dataset), 0
        self.device = self._trainer.device
        self._curriculum = StudentCurriculum(
            config, RunFolder(folder), (source, streaming), len(dataset.train), device=self.device
        )
        self._curriculum.start(0)

    @staticmethod
    def _blend(stores: Sequence[KnowledgeStore]) -> BlendedStores:
        return BlendedStores(stores, weights=[1] * len(stores), temperature=4)

    def train(self) -> None:
        """Train one more epoch, whose view is read from the stores meanwhile or before."""
        lesson = self._curriculum.lesson(self._epoch)
        result = self._trainer.train_epoch(self._epoch, view=lesson.view, samples=lesson.samples, parts=lesson.parts)
        self._curriculum.record(self._epoch, result)
        self._epoch += 1

    def close(self) -> None:
        self._curriculum.close()


def compare(options: argparse.Namespace, teachers: int) -> None:
    """Compare an epoch of `teachers` stores with one of a single store."""
    with tempfile.TemporaryDirectory() as name:
        configs = [
            recipe(options, Path(name) / str(number), 64, epochs=options.turns + 2) for number in range(teachers)
        ]
        plain = {"method": "kd"}
        config = configs[0].model_copy(update={"distill": configs[0].distill.model_copy(update=plain)})
        stores, dataset = [knowledge(each, options.samples) for each in configs], made_up(options.samples, 64)
        one = Student(config, dataset, stores[:1], Path(name) / "one")
        several = Student(config, dataset, stores, Path(name) / "several")
        best = fastest(options.turns, one.device, one=one.train, several=several.train)
        one.close()
        several.close()
    facts = {"samples": options.samples, "batch_size": 64, **told(options, one.device)}
    seconds = {f"{key}_epoch_seconds": value for key, value in best.items()}
    say(f"epoch of {teachers} stores / of one, {STUDENT}", best["several"] / best["one"], "<= 1.05", **facts, **seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("device", nargs="?", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--teachers", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--samples", type=int, default=2560, help="in an epoch; a GPU wants 50,000")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of the CPU; torch's own choice if not given")
    options = parser.parse_args()
    options.precision, options.compile = "float32", False
    for teachers in options.teachers:
        compare(options, teachers)


if __name__ == "__main__":
    main()
