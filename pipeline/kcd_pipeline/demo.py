"""The main job from end to end on images of real digits: a teacher, its store, three students, a report."""

import time
from pathlib import Path

from kcd_pipeline.config import METHODS, as_override, load_config
from kcd_pipeline.distillation import distill
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.progress import say
from kcd_pipeline.reports import report
from kcd_pipeline.teacher import train_teacher

RECIPE = "digits"

# fewer epochs than the recipe's, so that the whole takes half a minute; six stages of condensation, as there. Layers on
# 8 x 8 pixels are too small to be shared out: with two threads it takes a fifth longer
SHORTER = ("teacher.epochs=10", "distill.epochs=12", "condense.interval=2", "run.threads=1")


def demo(folder: Path) -> None:
    """Run the digits recipe into `folder`, printing each step as the command that it stands for.

    Called again, it goes on from where it was stopped.

    Raises
    ------
    UserError, FailedError, StoreError
        The errors of the commands.
    """
    started = time.perf_counter()
    settings = [
        as_override("teacher.weights", folder / "teacher.safetensors"),
        as_override("store.path", folder / "store.zarr"),
        as_override("run.dir", folder / "{method}"),
        *SHORTER,
    ]
    _make_store(settings)
    runs = [_distill(settings, method) for method in METHODS]
    page = folder / "report.html"
    say(f"\n$ kcd-pipeline report {' '.join(map(str, runs))} --html {page}")
    report(runs, html=page)
    say(f"\nDone in {time.perf_counter() - started:.0f} s. The report: {page.resolve()}")


def _make_store(settings: list[str]) -> None:
    """Train the teacher and extract its knowledge."""
    config = load_config(RECIPE, settings)
    _say_command("train-teacher", settings)
    teacher = train_teacher(config)
    say(f"teacher {config.teacher.model}: {teacher.test_accuracy:.2%} on the test set")
    _say_command("extract-teacher", settings)
    store = extract_teacher(config).store
    size = store.inventory.bytes_on_disk()
    say(f"store: {store.layout.views} views of {store.layout.samples:,} samples in {size:,} bytes")


def _distill(settings: list[str], method: str) -> Path:
    """Train the student of one method, and return the folder of its run."""
    config = load_config(RECIPE, [*settings, f"distill.method={method}"])
    _say_command("distill", settings, f"--method {method}")
    distill(config)
    return config.run_dir


def _say_command(name: str, settings: list[str], options: str = "") -> None:
    overrides = " ".join(f"--set {setting}" for setting in settings)
    say(f"\n$ kcd-pipeline {name} {RECIPE} {f'{options} ' if options else ''}{overrides}")
