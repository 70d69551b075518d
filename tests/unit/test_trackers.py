"""Trackers of experiments: found again by a resumed run, refused in words, and never worth a training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from kcd_pipeline.config import load_config
from kcd_pipeline.config.schema import TrackerName
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.training.trackers import KINDS, Trackers, require_trackers


class Told:
    """A tracker of accelerate's kind that keeps what it is told in `log`; its class is made anew for each test."""

    log_: list[tuple[str, Any]]
    fails_at: str

    def __init__(self, project: str, **arguments: Any) -> None:
        self._told("made", (project, arguments))

    def start(self) -> None:
        self._told("start", None)

    def store_init_configuration(self, settings: Mapping[str, Any]) -> None:
        self._told("settings", settings)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._told("log", (step, numbers))

    def finish(self) -> None:
        self._told("finish", None)

    @property
    def tracker(self) -> Any:
        return self

    def _told(self, what: str, value: Any) -> None:
        if what == self.fails_at:
            raise RuntimeError("the line is dead\nand more")
        self.log_.append((what, value))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> type[Told]:
    """The class that stands for trackio."""
    kind = type("TrackioTold", (Told,), {"log_": [], "fails_at": ""})
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "trackio", kind)
    return kind


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def test_every_name_is_one_of_accelerates() -> None:
    assert set(get_args(TrackerName)) == set(KINDS) <= set(LOGGER_TYPE_TO_CLASS)


def test_a_resumed_run_is_found_again_and_its_settings_are_told_once(told: type[Told], folder: RunFolder) -> None:
    for epoch in (0, 1):
        with Trackers(["trackio", "trackio"], folder, {"distill.lr": 0.1, "data.mean": [0.5]}) as found:
            found.log(epoch, {"loss": 2.0})
    identity = json.loads(folder.trackers.read_text())["trackio"]
    made = ("kcd-pipeline", {"name": f"run-{identity[:8]}", "resume": "allow"})
    assert told.log_ == [
        ("made", made),
        ("start", None),
        ("settings", {"distill.lr": 0.1, "data.mean": "[0.5]"}),
        ("log", (0, {"loss": 2.0})),
        ("finish", None),
        ("made", made),
        ("start", None),
        ("log", (1, {"loss": 2.0})),
        ("finish", None),
    ]


@pytest.mark.parametrize("fails_at", ["log", "finish"])
def test_one_that_fails_is_left_behind_and_the_user_is_told(
    told: type[Told], folder: RunFolder, fails_at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told.fails_at = fails_at
    with Trackers(["trackio"], folder, {}) as found:
        for epoch in range(3):
            found.log(epoch, {})
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("run.trackers: trackio has failed (RuntimeError: the line is dead)") == 1
    assert "Training goes on; its numbers are in" in said
    assert [what for what, _ in told.log_].count("log") == (0 if fails_at == "log" else 3)


@pytest.mark.parametrize("fails_at", ["start", "settings"])
def test_one_that_cannot_be_started_ends_the_run_before_it_begins(
    told: type[Told], folder: RunFolder, fails_at: str
) -> None:
    told.fails_at = fails_at
    with pytest.raises(FailedError) as refusal, Trackers(["trackio"], folder, {}):
        pass
    said = str(refusal.value)
    assert "run.trackers: trackio could not be started (RuntimeError: the line is dead)" in said
    assert "leave trackio out of run.trackers" in said
    assert not folder.trackers.exists()


def test_one_that_has_lost_the_run_says_how_to_begin_another(told: type[Told], folder: RunFolder) -> None:
    folder.trackers.write_text('{"trackio": "1234"}')
    told.fails_at = "start"
    with (
        pytest.raises(FailedError, match=r"If it has lost this run, remove .*trackers\.json"),
        Trackers(["trackio"], folder, {}),
    ):
        pass


@pytest.mark.parametrize("content", ["{", "[]", '{"trackio": 1}'])
def test_a_damaged_list_of_runs_is_refused(told: type[Told], folder: RunFolder, content: str) -> None:
    folder.trackers.write_text(content)
    with (
        pytest.raises(UserError, match=r"trackers\.json cannot be read .* remove it to begin another run"),
        Trackers(["trackio"], folder, {}),
    ):
        pass
    assert folder.trackers.read_text() == content


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(UserError, match=r"run\.trackers names comet_ml, .* `pip install comet_ml`"):
        require_trackers(["comet_ml"])


def test_a_folder_that_a_tracker_made_is_not_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trackers write below the working folder into folders of their names, which Python takes for packages."""
    (tmp_path / "swanlab").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="the package swanlab is not installed"):
        require_trackers(["swanlab"])


def test_trackers_are_no_part_of_what_a_run_is() -> None:
    with_trackers = load_config("digits", ["run.trackers=[wandb, mlflow]"])
    assert with_trackers.run.trackers == ("wandb", "mlflow")
    assert with_trackers.run_dir == load_config("digits", []).run_dir
    with pytest.raises(UserError, match=r"run\.trackers\.0: found 'tensorboard', expected one of wandb, mlflow"):
        load_config("digits", ["run.trackers=[tensorboard]"])
