"""Studies from their file to their report, with real students on digits; their commands run in this process."""

import shutil
import threading
from pathlib import Path

import pytest
from tests.support.commands import run_command, succeed
from tests.support.runs import run_facts
from tests.support.studies import CommandHere, study_results, write_study

from kcd_pipeline.study import other_writers, places, stores
from kcd_pipeline.study.other_writers import OtherWriters
from kcd_stores import one_writer

ROWS = "[[kcd, kd], {arms: [kcd, kd], budget: rows}]"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (places, stores):
        monkeypatch.setattr(module, "Command", CommandHere)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a finished study, and what its command printed."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for module in (places, stores):
            patch.setattr(module, "Command", CommandHere)
        write_study(folder, compare=ROWS)
        return folder, succeed("study", "question.yaml", "--jobs", 2)


@pytest.fixture
def copied(finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, in which the command is called."""
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    monkeypatch.chdir(folder)
    return folder


def times(folder: Path) -> dict[Path, int]:
    """Return when each file of the runs was last written."""
    return {file: file.stat().st_mtime_ns for file in (folder / "runs").glob("*-seed*/**/*") if file.is_file()}


def test_one_command_makes_teacher_store_runs_results_and_report(finished: tuple[Path, str]) -> None:
    folder, said = finished
    assert said.index("train-teacher, for the store") < said.index("extract-teacher, for the store")
    assert "6 of 6: " in said
    found = study_results(folder)
    assert found["study"]["failed"] == {}
    assert [(arm["name"], arm["seeds"]) for arm in found["arms"]] == [
        ("kd", [0, 1]), ("kcd", [0, 1]), ("kd at the rows of kcd", [0, 1])
    ]  # fmt: skip
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == [
        ("kcd", "kd"), ("kcd", "kd at the rows of kcd")
    ]  # fmt: skip
    assert "</html>" in (folder / "runs/studies/question/report.html").read_text()


def test_an_arm_at_equal_rows_is_taught_as_many_as_its_counterpart(finished: tuple[Path, str]) -> None:
    """100 samples; kcd keeps all of them in the first of two stages of one epoch, and 70% in the second."""
    runs = study_results(finished[0])["runs"]
    rows = {(run["arm"], run["seed"]): run["rows_trained"] for run in runs}
    for seed in (0, 1):
        assert rows["kcd", seed] == rows["kd at the rows of kcd", seed] == 170
        assert rows["kd", seed] == 200


def test_called_again_it_makes_nothing_and_finds_the_same(finished: tuple[Path, str], copied: Path) -> None:
    before = times(copied)
    said = succeed("study", "question.yaml")
    assert "at a time" not in said
    assert times(copied) == before
    assert study_results(copied) == study_results(finished[0])


def test_an_arm_and_a_seed_that_are_added_are_all_that_is_trained(copied: Path) -> None:
    before = times(copied)
    write_study(copied, seeds=3, arms="kd: {distill.method: kd}, kcd: {}, long: {distill.epochs: 3}")
    succeed("study", "question.yaml")
    assert {file: time for file, time in times(copied).items() if file in before} == before
    added = {file.parts[file.parts.index("runs") + 1] for file in times(copied).keys() - before.keys()}
    assert {name.rpartition("-")[2] for name in added} == {"seed0", "seed1", "seed2"}
    assert len(added) == 2 + 3  # the third seed of two arms, and three of the new arm
    assert [(arm["name"], arm["seeds"]) for arm in study_results(copied)["arms"]] == [
        (name, [0, 1, 2]) for name in ("kd", "kcd", "long")
    ]


def test_a_run_that_fails_is_one_line_and_stops_no_other(copied: Path) -> None:
    """One arm follows the plans of a run that is not there; another is stopped at its rows."""
    arms = "kd: {distill.method: kd}, kcd: {}, lost: {condense.plans_from: runs/nowhere}"
    write_study(copied, seeds=1, arms=arms, compare="[[kcd, kd], {arms: [lost, kd], budget: rows}]")
    for _ in range(2):  # the next call tries it again
        ended = run_command("study", "question.yaml", "--jobs", 1)
        assert ended.exit_code == 1
        lines = [line for line in ended.output.splitlines() if line.startswith("lost, seed 0 failed: ")]
        assert len(lines) == 1, ended.output
        assert "there is no run at runs/nowhere" in lines[0]
        assert "Log: runs/studies/question/logs/lost-seed-0.log. By itself: kcd-pipeline distill base.yaml" in lines[0]
        assert "kd at the rows of lost, seed 0 failed: it is stopped at the rows of lost, seed 0, which" in ended.output
        assert "2 of 4 runs have failed: lost, seed 0; kd at the rows of lost, seed 0." in ended.output
        assert set(study_results(copied)["study"]["failed"]) == {"lost, seed 0", "kd at the rows of lost, seed 0"}


def test_a_store_that_cannot_be_made_fails_its_runs_by_name(copied: Path) -> None:
    arms = "kd: {distill.method: kd}, other: {teacher.model: no-such, store.path: o.zarr}"
    write_study(copied, seeds=1, arms=arms, compare="[]")
    ended = run_command("study", "question.yaml")
    assert ended.exit_code == 1
    line = next(line for line in ended.output.splitlines() if line.startswith("other, seed 0 failed: "))
    assert "there is no store o.zarr, because" in line
    assert "no-such" in line
    assert "no-such" in (copied / "runs/studies/question/logs/extract-teacher.log").read_text()
    assert [arm["name"] for arm in study_results(copied)["arms"] if arm["seeds"]] == ["kd"]


def test_runs_of_a_store_that_was_made_anew_from_another_teacher_are_refused(copied: Path) -> None:
    for place in ("store.zarr", "teacher.training"):
        shutil.rmtree(copied / place)
    (copied / "teacher.safetensors").unlink()
    succeed("train-teacher", "base.yaml", "--set", "seed=7")
    succeed("extract-teacher", "base.yaml", "--set", "seed=7")
    ended = run_command("study", "question.yaml")
    assert ended.exit_code == 1
    assert "kd, seed 0 failed: runs/kd-seed0 was taught from the store " in ended.output
    assert "Put the former store back, or repeat the run. By itself: kcd-pipeline distill" in ended.output
    assert "--overwrite" in ended.output


def test_a_second_call_at_once_is_refused(copied: Path) -> None:
    with one_writer(copied / "runs/studies/question"):
        ended = run_command("study", "question.yaml")
    assert ended.exit_code == 2
    assert f"another process is writing {copied / 'runs/studies/question'} at this moment" in ended.output


def test_what_a_killed_study_has_left_is_waited_for(
    copied: Path, finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread writes the folder of a run until the study says that it waits."""
    shutil.rmtree(copied / "runs/kd-seed0")
    begun, waited, said = threading.Event(), threading.Event(), []

    def hold() -> None:
        with one_writer(copied / "runs/kd-seed0"):
            begun.set()
            waited.wait(60)

    def note(message: str) -> None:
        said.append(message)
        waited.set()

    monkeypatch.setattr(other_writers, "say", note)
    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait(60)
    succeed("study", "question.yaml")
    holder.join()
    assert said == ["another process is writing runs/kd-seed0: waiting for it to end"]
    assert run_facts(copied / "runs/kd-seed0") == run_facts(finished[0] / "runs/kd-seed0")


def test_a_process_that_goes_on_writing_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = OtherWriters()
    with one_writer(tmp_path / "run"):
        assert others.hold(tmp_path / "run")
        monkeypatch.setattr(others, "_until", 0.0)
        assert not others.hold(tmp_path / "run")
