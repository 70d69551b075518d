"""Damage to what a run has written is found when the run goes on or is read; a run falls back to what is sound.

The loops try some of all damages; more with KCD_TRIES=1000 in the environment. The runs are those of the committed
recipe (tests/data/format-1), whose student takes a moment to train.
"""

import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.commands import run_command
from tests.support.files import file_contents
from tests.support.runs import damages, flipped, put, run_facts

from kcd_pipeline.reports.collect.details import collect_details
from kcd_pipeline.reports.collect.runs import RunRecord, read_run
from kcd_pipeline.training import checkpoint, recorder

COMMITTED = Path(__file__).parents[1] / "data" / "format-1"
TRIES = int(os.environ.get("KCD_TRIES", "20"))
STOPPED = 4  # the run is stopped after its fourth epoch, the second of its second stage
NEWEST, BEFORE = "checkpoint/epoch-00003", "checkpoint/epoch-00002"


def distill(run: str) -> Any:
    return run_command("distill", "recipe.yaml", "--no-check", "--set", f"run.dir={run}")


class StoppedError(KeyboardInterrupt):
    """The run is stopped as by Ctrl-C."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder: the recipe and its store, a run `whole`, and a run `stopped` after some of its epochs."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(COMMITTED, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("finished", "unfinished"))
    save, saved = checkpoint.save_checkpoint, 0

    def stop_after(*args: Any, **kwargs: Any) -> None:
        nonlocal saved
        save(*args, **kwargs)
        saved += 1
        if saved == STOPPED:
            raise StoppedError

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.delitem(sys.modules, "tiny_student", raising=False)
        assert distill("whole").exit_code == 0
        with pytest.MonkeyPatch.context() as stopping:
            stopping.setattr(recorder, "save_checkpoint", stop_after)
            assert distill("stopped").exit_code == 130
        assert sorted(entry.name for entry in Path("stopped/checkpoint").iterdir()) == ["epoch-00002", "epoch-00003"]
        yield folder


@pytest.fixture(scope="module")
def whole(place: Path) -> dict[str, Any]:
    return run_facts(place / "whole")


@pytest.fixture
def stopped(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place / "stopped", tmp_path / "run"))


@pytest.fixture
def finished(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place / "whole", tmp_path / "run"))


def flip(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(flipped(content, len(content) // 2, 3))


def cut(file: Path) -> int:
    """Keep half of a file; return its bytes."""
    content = file.read_bytes()
    return file.write_bytes(content[: len(content) // 2])


def lose_lines(file: Path, number: int) -> None:
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-number]))


Damage = Callable[[Path], object]


# --- a run goes on ------------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_and_is_the_run_never_stopped(stopped: Path, whole: dict[str, Any]) -> None:
    ended = distill(str(stopped))
    assert ended.exit_code == 0, ended.output
    assert "going on from epoch 5 of 6" in ended.output
    assert run_facts(stopped) == whole


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: flip(run / NEWEST / "model.safetensors"), "model.safetensors is damaged: its SHA-256"),
        (lambda run: flip(run / NEWEST / "random_states_0.pkl"), "random_states_0.pkl is damaged: its SHA-256"),
        (lambda run: (run / NEWEST / "manifest.json").unlink(), "epoch-00003 is damaged: it has no manifest.json"),
        (lambda run: shutil.copyfile(run / BEFORE / "manifest.json", run / NEWEST / "manifest.json"), "not that of"),
        (lambda run: (run / "values.zarr/latest/c/3/0").unlink(), "latest/c/3/0: it is missing"),
        (
            lambda run: shutil.copyfile(run / "values.zarr/value/c/1/0", run / "values.zarr/value/c/3/0"),
            "value/c/3/0: it is not the chunk that was written there",
        ),
        (lambda run: lose_lines(run / "metrics.jsonl", 1), "it has 3 whole lines, expected 4"),
    ],
)
def test_a_run_goes_on_from_the_checkpoint_before_the_damaged_one_and_says_so(
    stopped: Path, whole: dict[str, Any], damage: Damage, said: str
) -> None:
    damage(stopped)
    ended = distill(str(stopped))
    assert ended.exit_code == 0, ended.output
    assert said in ended.output
    assert f"Going on from the checkpoint before, which is sound: {stopped / BEFORE}" in ended.output
    assert "going on from epoch 4 of 6" in ended.output
    assert run_facts(stopped) == whole


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: [cut(run / at / "optimizer.bin") for at in (NEWEST, BEFORE)], "3/optimizer.bin is damaged"),
        (lambda run: flip(run / "values.zarr/value/c/1/0"), "value/c/1/0: its checksum is wrong"),
        (lambda run: shutil.rmtree(run / "values.zarr"), "values.zarr: it is missing"),
        (lambda run: (run / "plans.zarr/stage-001/epsilon/c/0").unlink(), "stage-001/epsilon/c/0: it is missing"),
        (lambda run: shutil.rmtree(run / "plans.zarr/stage-000"), "stage-000: it is missing"),
        (lambda run: lose_lines(run / "metrics.jsonl", 2), "it has 2 whole lines, expected 4"),
        (lambda run: shutil.rmtree(run / "checkpoint"), "something was deleted"),
    ],
)
def test_a_run_that_no_checkpoint_fits_is_not_gone_on_with(stopped: Path, damage: Damage, said: str) -> None:
    damage(stopped)
    before = file_contents(stopped)
    ended = distill(str(stopped))
    assert ended.exit_code == 1
    assert said in ended.output
    assert "--overwrite" in ended.output
    assert file_contents(stopped) == before


def test_best_weights_that_a_later_epoch_replaced_or_that_are_lost_are_put_back(
    stopped: Path, whole: dict[str, Any]
) -> None:
    (stopped / "best.safetensors").write_bytes(b"those of an epoch that no checkpoint completed")
    assert distill(str(stopped)).exit_code == 0
    assert run_facts(stopped) == whole


def test_a_line_of_metrics_that_no_checkpoint_completed_is_written_again(stopped: Path, whole: dict[str, Any]) -> None:
    with (stopped / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "loss": 0.5}\n{"epoch": 5, "lo')
    assert distill(str(stopped)).exit_code == 0
    assert run_facts(stopped) == whole


# --- a finished run is read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: flip(run / "summary.json"), "summary.json is damaged"),
        (lambda run: (run / "summary.json").write_text("{"), "summary.json is damaged: it cannot be read as JSON"),
        (lambda run: flip(run / "metrics.jsonl"), "metrics.jsonl is damaged"),
        (lambda run: lose_lines(run / "metrics.jsonl", 1), "it has 5 whole lines, expected 6"),
        (lambda run: replace(run / "config.yaml", "lr: 0.05", "lr: 0.06"), "config.yaml is damaged: it is not what"),
        (lambda run: flip(run / "origin.json"), "origin.json"),
        (lambda run: flip(run / "plans.zarr/stage-002/kept/c/0"), "stage-002/kept/c/0: its checksum is wrong"),
        (lambda run: (run / "plans.zarr/stage-002/epsilon/c/0").unlink(), "stage-002/epsilon/c/0: it is missing"),
        (lambda run: shutil.rmtree(run / "plans.zarr"), "stage-000: it is missing"),
    ],
)
def test_a_report_and_an_inspection_name_what_is_damaged(finished: Path, damage: Damage, said: str) -> None:
    damage(finished)
    for command in ("report", "inspect"):
        ended = run_command(command, finished, "--json")
        assert ended.exit_code == 1, ended.output
        assert said in ended.output
        assert ended.stdout == ""


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_settings_that_say_where_a_run_takes_place_may_be_changed(finished: Path) -> None:
    replace(finished / "config.yaml", "threads: 1", "threads: 2")
    assert run_command("report", finished).exit_code == 0


def test_neither_the_record_nor_the_checksum_can_be_lost_alone(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    for key in ("record", "checksum"):
        (finished / "summary.json").write_text(json.dumps({name: summary[name] for name in summary if name != key}))
        ended = run_command("report", finished)
        assert ended.exit_code == 1
        assert "does not fit the checksum in it" in ended.output


def test_an_unfinished_run_is_told_up_to_its_newest_sound_checkpoint(stopped: Path) -> None:
    told = json.loads(run_command("inspect", stopped, "--json").stdout)
    assert (told["epochs_done"], told["values"]["after_epoch"], len(told["plans"])) == (4, 4, 2)
    cut(stopped / NEWEST / "manifest.json")
    told = json.loads(run_command("inspect", stopped, "--json").stdout)
    assert (told["epochs_done"], told["values"]["after_epoch"], len(told["plans"])) == (3, 3, 2)
    cut(stopped / BEFORE / "manifest.json")
    ended = run_command("inspect", stopped, "--json")
    assert ended.exit_code == 1
    assert f"{stopped / NEWEST / 'manifest.json'} is damaged" in ended.output


# --- loops --------------------------------------------------------------------------------------------------------


def outcome(run: Path, attempt: Callable[[], Any], same: Callable[[], bool]) -> str:
    """Return how a command on a damaged run ended: `same` results, the damage `said`, or something that must not be."""
    ended = attempt()
    if "not foreseen" in ended.output or (ended.exception and not isinstance(ended.exception, SystemExit)):
        return "not foreseen"
    if ended.exit_code:
        return "said" if str(run) in ended.output else "unnamed"
    return "same" if same() else "silent"


def every_damage(run: Path, *, flips: int) -> list[tuple[Path, str, bytes | None]]:
    files = [file for file in sorted(run.rglob("*")) if file.is_file() and "tensorboard" not in file.parts]
    return [
        (file, name, content)
        for number, file in enumerate(files)
        for name, content in damages(file.read_bytes(), flips=flips, seed=number)
    ]


def readings(run: Path) -> Any:
    """Return all that a report and an inspection tell of a finished run, but for the sizes of its files."""
    record = read_run(run)
    assert isinstance(record, RunRecord)
    (details,) = collect_details([record])
    report, inspected = (json.loads(run_command(command, run, "--json").stdout) for command in ("report", "inspect"))
    about_files = ("files", "bytes", "holds")
    told = {key: value for key, value in inspected.items() if key not in about_files}
    return details.values.tobytes(), details.stage_values, details.stage_facts, report, told


@pytest.mark.loops
def test_whatever_is_damaged_in_a_stopped_run_it_ends_as_the_whole_one_or_says_what_is_damaged(
    place: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    run, found = tmp_path / "run", Counter[str]()
    chosen = every_damage(place / "stopped", flips=3)
    for original, name, content in random.Random(0).sample(chosen, min(TRIES, len(chosen))):
        shutil.copytree(place / "stopped", run)
        put(run / original.relative_to(place / "stopped"), content)
        how = outcome(run, lambda: distill(str(run)), lambda: run_facts(run) == whole)
        assert how in ("same", "said"), f"{how}: {original}, {name}"
        found[how] += 1
        shutil.rmtree(run)
    print(f"{found.total()} tries: {dict(found)}")
    assert found["same"] > 0 < found["said"]


@pytest.mark.loops
def test_whatever_is_damaged_in_a_finished_run_its_report_is_the_same_or_says_what_is_damaged(
    finished: Path,
) -> None:
    expected, found = readings(finished), Counter[str]()
    page = ["--html", finished.parent / "page.html"]  # it alone shows values
    chosen = every_damage(finished, flips=3)
    for file, name, content in random.Random(0).sample(chosen, min(3 * TRIES, len(chosen))):
        before = file.read_bytes()
        put(file, content)
        how = outcome(
            finished,
            partial(run_command, "report", finished, *(page if "values.zarr" in file.parts else ["--json"])),
            lambda: readings(finished) == expected,
        )
        assert how in ("same", "said"), f"{how}: {file}, {name}"
        found[how] += 1
        file.write_bytes(before)
    print(f"{found.total()} tries: {dict(found)}")
    assert found["same"] > 0 < found["said"]
