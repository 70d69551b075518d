"""Disks that are full, too small or read-only, and two writers at once: real mounts, real processes."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.files import knowledge_contents
from tests.support.forks import forks
from tests.support.runs import run_facts

from kcd_pipeline.cli import main
from kcd_pipeline.config import load_config
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.teacher import train_teacher
from kcd_stores import KnowledgeStore, verify_store

Disk = Callable[[str], Path]


def with_set(home: Path, store: Path, **more: Any) -> list[str]:
    chosen = {
        "data.limit_per_class": 30,
        "teacher.model": "resnet8",
        "teacher.weights": home / "teacher.safetensors",
        "teacher.epochs": 1,
        "store.path": store,
        "store.views": 4,
        "store.block_rows": 16,  # 19 shards a view; each takes a whole page of the disk
        "distill.epochs": 1,
        "run.dir": home / "run",
    } | {key.replace("__", "."): value for key, value in more.items()}
    return [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained teacher, and `whole.zarr`, a store that nothing disturbed."""
    folder = tmp_path_factory.mktemp("disks")
    options = with_set(folder, folder / "whole.zarr")[1::2]
    train_teacher(load_config("digits", options))
    extract_teacher(load_config("digits", options))
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount a disk in memory, of a size such as `256k`; a second call gives the same disk other options."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        change = ["-o", f"remount,{options}"] if place.is_mount() else ["-o", options]
        done = subprocess.run(["mount", "-t", "tmpfs", *change, "tmpfs", place], capture_output=True, check=False)
        if done.returncode and not place.is_mount():
            pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
        assert done.returncode == 0, done.stderr
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "--lazy", place], check=True)  # TensorBoard's file is open where its disk was full


def run(*arguments: str | Path) -> tuple[int, str]:
    ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return ended.exit_code, " ".join(ended.output.split())


def test_a_disk_that_fills_up_costs_nothing_that_was_complete_and_the_store_can_be_finished(
    home: Path, disk: Disk
) -> None:
    store = disk("size=200k") / "store.zarr"
    code, said = run("extract-teacher", "digits", *with_set(home, store))
    assert code == 1
    assert f"the disk is full: {store}" in said
    assert "What was complete before is kept" in said
    left = KnowledgeStore.open(store)
    assert 0 < left.complete().sum() < left.complete().size
    verdict = verify_store(store)
    assert not verdict.damage
    assert verdict.rows == left.inventory.complete_rows()
    assert (
        run("distill", "digits", "--method", "kd", *with_set(home, store))[0] == 2
    )  # the command says that it is not finished
    disk("size=8m")
    code, said = run("extract-teacher", "digits", *with_set(home, store))
    assert code == 0, said
    assert knowledge_contents(store) == knowledge_contents(home / "whole.zarr")


@pytest.mark.parametrize("size", ["1500k", "2700k"])
def test_a_disk_that_fills_up_under_a_run_costs_an_epoch_at_most(home: Path, disk: Disk, size: str) -> None:
    options = [*with_set(home, home / "whole.zarr", distill__epochs=3), "--no-check"]
    assert run("distill", "digits", *options, "--set", f"run.dir={home / 'undisturbed'}", "--overwrite")[0] == 0
    place = disk(f"size={size}")
    code, said = run("distill", "digits", *options, "--set", f"run.dir={place / 'run'}")
    assert code == 1
    assert f"the disk is full: {place / 'run'}" in said
    assert not list((place / "run" / "checkpoint").glob("*.partial")), "what was written in vain is removed"
    disk("size=32m")
    code, said = run("distill", "digits", *options, "--set", f"run.dir={place / 'run'}")
    assert code == 0, said
    assert run_facts(place / "run") == run_facts(home / "undisturbed")


def test_a_disk_that_is_too_small_is_refused_with_both_numbers_before_the_teacher_runs(home: Path, disk: Disk) -> None:
    place = disk("size=16k")
    code, said = run("extract-teacher", "digits", *with_set(home, place / "store.zarr"))
    assert code == 2
    assert f"the store needs up to 24,000 bytes, but {place} has" in said  # 4 views of 300 samples, 10 classes, 2 bytes
    assert not (place / "store.zarr").exists()


def test_a_read_only_disk_takes_no_store_and_gives_one_to_students(home: Path, disk: Disk) -> None:
    place = disk("size=8m")
    assert run("extract-teacher", "digits", *with_set(home, place / "store.zarr"))[0] == 0
    disk("ro")
    code, said = run("extract-teacher", "digits", *with_set(home, place / "another.zarr"))
    assert (code, "the file system is read-only" in said) == (2, True), said
    code, said = run("distill", "digits", "--method", "kd", *with_set(home, place / "store.zarr"))
    assert code == 0, said
    assert run("verify", place / "store.zarr")[0] == 0


def extract(options: list[str], answers: Any) -> None:
    answers.put(run("extract-teacher", "digits", *options))


def test_of_two_extractions_at_once_one_makes_the_store_and_the_other_says_so(home: Path) -> None:
    context = forks()
    answers = context.Queue()
    options = with_set(home, home / "contested.zarr", store__views=12)
    both = [context.Process(target=extract, args=(options, answers)) for _ in range(2)]
    for process in both:
        process.start()
    (code, said), (other, refusal) = sorted(answers.get(timeout=120) for _ in both)
    for process in both:
        process.join(30)
    assert code == 0, said
    assert verify_store(home / "contested.zarr").sound
    if other:  # otherwise the second started after the first, and found the store complete
        assert other == 2
        assert "another process is writing" in refusal
    else:
        assert "nothing to do" in said + refusal
