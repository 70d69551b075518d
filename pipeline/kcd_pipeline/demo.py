"""The main job from end to end on real digits: teacher, store, three students, report."""

import time
from pathlib import Path

from kcd_pipeline.config import load_config
from kcd_pipeline.config.schema import METHODS
from kcd_pipeline.distillation import distill
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.progress import say
from kcd_pipeline.report import report
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.teacher import train_teacher

RECIPE = "digits"


def demo(folder: Path) -> None:
    """Run the digits recipe into `folder`, saying each step as the command it stands for; goes on where it stopped.

    Raises
    ------
    UserError, FailedError, StoreError
        As the commands do.
    """
    started = time.perf_counter()
    settings = [
        f"teacher.weights={folder / 'teacher.safetensors'}",
        f"store.path={folder / 'store.zarr'}",
        f"run.dir={folder / '{method}'}",
    ]
    config = load_config(RECIPE, settings)
    _step("train-teacher", settings)
    teacher = train_teacher(config)
    say(f"teacher {config.teacher.model}: {teacher.test_accuracy:.2%} on the test set")
    _step("extract-teacher", settings)
    store = extract_teacher(config).store
    size = store.inventory.bytes_on_disk()
    say(f"store: {store.layout.views} views of {store.layout.samples:,} samples in {size:,} bytes")
    runs = []
    for method in METHODS:
        chosen = load_config(RECIPE, [*settings, f"distill.method={method}"])
        _step(f"distill --method {method}", settings)
        distill(chosen, resume=RunFolder(chosen.run_dir).exists)
        runs.append(chosen.run_dir)
    page = folder / "report.html"
    say(f"\n$ kcd-pipeline report {' '.join(map(str, runs))} --html {page}")
    report(runs, html=page, as_json=False)
    say(f"\nDone in {time.perf_counter() - started:.0f} s. The report: {page.resolve()}")


def _step(command: str, settings: list[str]) -> None:
    name, _, options = command.partition(" ")
    overrides = " ".join(f"--set {setting}" for setting in settings)
    say(f"\n$ kcd-pipeline {name} {RECIPE} {f'{options} ' if options else ''}{overrides}")
