"""Small studies on real digits: their files, their results, and their commands run in this process."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.commands import run_command

from kcd_pipeline.study.commands import Ended

# what depends on the clock, or on what was read before a stop
MEASURED = ("seconds", "bytes", "pays_off_at", "paid_off")


def write_study(folder: Path, *, epochs: int = 2, seeds: object = 2, arms: str = "kd: {distill.method: kd}, kcd: {}",
                compare: str = "[[kcd, kd]]") -> None:  # fmt: skip
    """Write base.yaml, and question.yaml, a study of it, into `folder`."""
    (folder / "base.yaml").write_text(
        "extends: digits\n"
        "data: {limit_per_class: 10}\n"
        "teacher: {model: resnet8, weights: teacher.safetensors, epochs: 1}\n"
        "store: {path: store.zarr, views: 2, batch_size: 64, block_rows: 64}\n"
        f"distill: {{epochs: {epochs}}}\n"
        "condense: {interval: 1}\n"
        "run: {dir: 'runs/{variant}-seed{seed}'}\n"
    )
    (folder / "question.yaml").write_text(
        f"base: base.yaml\nseeds: {seeds}\nvary: {{arms: {{{arms}}}}}\ncompare: {compare}\n"
    )


def study_results(folder: Path) -> Any:
    """Return what the study in `folder` has found, without what is measured by the clock."""
    return _without_measured(json.loads((folder / "runs/studies/question/study.json").read_text()))


def _without_measured(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_measured(item) for key, item in value.items() if not any(word in key for word in MEASURED)
        }
    return [_without_measured(item) for item in value] if isinstance(value, list) else value


class CommandHere:
    """Takes the place of a command's process: runs it in this one, which has torch loaded, before it is asked."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        folder: Path,
        log: Path,
        aloud: bool = False,
        variables: Mapping[str, str] | None = None,
        when_ended: Callable[[], None] = lambda: None,
    ) -> None:
        result = run_command(*words)
        log.write_text(result.output)
        self.ended = Ended.of(result.exit_code, result.output.splitlines())
        when_ended()

    def wait(self, seconds: float | None = None) -> Ended:
        return self.ended

    def ask_to_end(self) -> None:
        """Do nothing: it has ended."""

    def stop(self) -> None:
        """Do nothing: it has ended."""
