"""A value function and a policy of your own, named `module:callable` in a recipe, beside those of the paper.

Commands (the runs go into FOLDER; settings such as `seed=1` may follow it):

    kcd-pipeline train-teacher digits
    kcd-pipeline extract-teacher digits
    python examples/own_choices.py FOLDER

Output (numbers differ a little on other machines):

    entropy, kcd: 99.2% of the test images, taught 29316 rows
    own_choices:shortfall, own_choices:half_at_random: 99.2% of the test images, taught 29316 rows
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kcd_pipeline.condensation import Choice, Situation
from kcd_pipeline.config import load_config
from kcd_pipeline.distillation import distill


def shortfall(*, logits: Tensor, labels: Tensor, teacher: Tensor | None) -> Tensor:
    """Return how much less likely each label is to the student than to its teacher: `[B]` float32, from -1 to 1.

    `logits` and `teacher` are `[B, C]` float32 and `labels[B]` int64. Without a teacher (method `none`) a label is
    taken to be certain. Nothing here is copied from the device, so no step waits for it.
    """
    column = labels[:, None]
    student = torch.softmax(logits, dim=1).gather(1, column)
    expected = torch.ones_like(student) if teacher is None else torch.softmax(teacher, dim=1).gather(1, column)
    return (expected - student).squeeze(1)


def half_at_random(situation: Situation) -> Choice:
    """Keep as many samples as the schedule says: half of them the most valued, half of them drawn from all others.

    The draw depends on seed and stage alone, so a run that was stopped goes on with the same plans.
    """
    value = np.where(np.isnan(situation.value()), -np.inf, situation.value())  # NaN: never visited
    by_value = np.argsort(-value, kind="stable")
    top = situation.keep // 2
    draws = np.random.default_rng((situation.seed, situation.stage))
    drawn = draws.choice(by_value[top:], situation.keep - top, replace=False)
    return Choice(kept=np.sort(np.concatenate([by_value[:top], drawn])))


def main() -> None:
    parser = argparse.ArgumentParser(description="Condense by a value and a policy of your own, and by the paper's.")
    parser.add_argument("folder", type=Path, help="where the runs go")
    parser.add_argument("settings", nargs="*", help="settings of the recipe `digits`, KEY=VALUE")
    given = parser.parse_args()
    for value, policy in (("entropy", "kcd"), ("own_choices:shortfall", "own_choices:half_at_random")):
        names = [f"condense.value={value}", f"condense.policy={policy}", f"run.dir={given.folder}/{{variant}}"]
        summary = distill(load_config("digits", [*names, *given.settings])).summary
        accuracy, rows = summary["test_accuracy"], summary["rows_trained"]
        print(f"{value}, {policy}: {accuracy:.1%} of the test images, taught {rows} rows")


if __name__ == "__main__":
    main()
