"""Reports of real, tiny runs."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.runs import forget_record
from tests.support.tiny_runs import kcd, metrics, report_json

from kcd_stores import KnowledgeStore


def test_json_repeats_what_the_runs_wrote(play: SimpleNamespace) -> None:
    answer = report_json(*play.runs)
    assert [run["name"] for run in answer["runs"]] == ["kcd0", "kcd1", "kd", "none"]
    for run, folder in zip(answer["runs"], play.runs, strict=True):
        lines = metrics(folder)
        assert run["epochs"] == len(lines) == 2
        assert run["student"] == "resnet8"
        assert run["test_accuracy"] == lines[-1]["test_accuracy"]
        assert run["best_test_accuracy"] == max(line["test_accuracy"] for line in lines)
        assert run["rows_trained"] == sum(line["rows"] for line in lines)
        assert run["samples_trained"] == sum(line["samples"] for line in lines)
        assert run["seconds"] == pytest.approx(sum(line["seconds"] for line in lines))
    kcd0, kcd1, kd, none = answer["runs"]
    assert (kcd0["kept_fraction"], kd["kept_fraction"]) == ([1.0, 0.7], [1.0])
    assert (kcd0["rows_trained"], kd["rows_trained"], none["rows_trained"]) == (340, 400, 0)
    assert (kcd1["seed"], none["store"], kd["store"]) == (1, None, str(play.folder / "a.zarr"))
    assert [(stage["kept"], stage["steps"]) for stage in kcd0["stages"]] == [(200, 4), (140, 3)]
    assert (kcd0["steps"], kd["steps"], none["steps"]) == (7, 8, 8)
    assert none["bytes_read"] == 0
    assert kd["bytes_read"] > 400 * 10, "two views of 200 rows of 10 float16, compressed"
    assert answer["arms"][0]["mean_steps"] == 7


def test_json_has_arms_over_seeds_and_counts_the_store(play: SimpleNamespace) -> None:
    answer = report_json(*play.runs)
    both, alone, _ = answer["arms"]
    accuracies = [run["test_accuracy"] for run in answer["runs"][:2]]
    assert (both["runs"], both["seeds"]) == (["kcd0", "kcd1"], [0, 1])
    assert both["mean_test_accuracy"] == pytest.approx(sum(accuracies) / 2)
    assert both["standard_deviation"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5)
    assert (alone["seeds"], alone["standard_deviation"], alone["interval"]) == ([0], None, None)
    (store,) = answer["stores"]
    seconds = KnowledgeStore.open(play.folder / "a.zarr").seconds()
    # 2 views of 200 samples are 400 rows; three students were taught 340, 340 and 400
    assert (store["rows"], store["students"], store["pays_off_at"], store["paid_off"]) == (400, 3, 2, True)
    assert store["seconds"] == pytest.approx(seconds)
    assert store["seconds_per_student"] == pytest.approx(seconds / 3)
    assert store["live_seconds_per_student"] == pytest.approx(seconds * 360 / 400)
    assert store["saved_seconds"] == pytest.approx(seconds * 680 / 400)
    assert answer["warnings"] == []
    assert set(answer["settings"]) == {"seed", "distill.method", "store.path"}


def test_table_has_each_run_whole(play: SimpleNamespace) -> None:
    result = kcd("report", *play.runs)
    assert result.exit_code == 0, result.output
    runs, _, _ = result.stdout.partition("Arms:")
    for folder in play.runs:
        (line,) = [line for line in runs.splitlines() if re.match(rf"\s*{folder.name}\s", line)]
        last, best = metrics(folder)[-1]["test_accuracy"], max(line["test_accuracy"] for line in metrics(folder))
        assert f"{last:.2%}" in line
        assert f"{best:.2%}" in line
    assert "±" in result.stdout
    assert "paid for itself (at 2 students)" in result.stdout
    assert "Warning" not in result.stdout


def test_different_stores_are_compared_with_a_warning_that_names_the_difference(play: SimpleNamespace) -> None:
    (warning,) = report_json(play.folder / "kd", play.folder / "kd-b")["warnings"]
    assert "augmentation.padding (store A: 1; store B: 2)" in warning
    assert "views (store A: 2; store B: 1)" in warning
    assert "teacher" not in warning
    table = kcd("report", play.folder / "kd", play.folder / "kd-b").stdout
    assert "Warning: Runs on different stores are compared" in table
    assert "augmentation.padding" in table
    html = play.folder / "two-stores.html"
    assert kcd("report", play.folder / "kd", play.folder / "kd-b", "--html", html).exit_code == 0
    alert = re.findall(r'role="note">(.*?)</div>', html.read_text(), re.DOTALL)
    assert len(alert) == 1
    assert "augmentation.padding (store A: 1; store B: 2)" in alert[0]


def test_a_run_given_twice_counts_once(play: SimpleNamespace) -> None:
    kd = play.folder / "kd"
    answer = report_json(kd, play.folder / "none" / ".." / "kd")
    assert [run["name"] for run in answer["runs"]] == ["kd"]
    assert answer["warnings"] == []


def test_runs_of_the_same_name_are_told_apart(play: SimpleNamespace, tmp_path: Path) -> None:
    twin = shutil.copytree(play.folder / "none", tmp_path / "none")
    answer = report_json(play.folder / "none", twin)
    assert [run["name"] for run in answer["runs"]] == ["none", "none"]
    assert [run["label"] for run in answer["runs"]] == [str(play.folder / "none"), str(twin)]
    assert "same seed 0" in answer["warnings"][0]


def test_an_unfinished_run_is_marked_and_not_compared(play: SimpleNamespace, tmp_path: Path) -> None:
    cut = play.folder / "cut"
    answer = report_json(play.folder / "kd", cut)
    assert [run["label"] for run in answer["runs"]] == ["kd"]
    assert [arm["runs"] for arm in answer["arms"]] == [["kd"]]
    (unfinished,) = answer["unfinished"]
    so_far = metrics(cut)[0]["test_accuracy"]
    assert unfinished == {
        "label": "cut", "path": str(cut), "method": "kcd", "student": "resnet8", "seed": 0, "epochs_done": 1,
        "epochs": 2, "chosen_by": "test", "test_accuracy": so_far,
    }  # fmt: skip
    result = kcd("report", play.folder / "kd", cut, "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    _, _, marked = result.stdout.partition("Not finished, so not compared")
    assert re.search(rf"cut +kcd +resnet8 +0 +1 of 2 +{so_far:.2%}", marked)
    page = (tmp_path / "page.html").read_text()
    assert "<h3>Not finished, so not compared</h3>" in page
    assert re.search(rf'1 of 2</td><td class="number" data-value="[^"]+">{so_far:.2%}</td>', page)


@pytest.mark.parametrize("words", [["--json"], [], ["--html", "never.html"]])
def test_nothing_is_compared_where_no_run_is_finished(
    play: SimpleNamespace, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = kcd("report", play.folder / "cut", *words)
    assert result.exit_code == 2
    assert "1 of 2 epochs are done" in result.stderr
    assert f"kcd-pipeline distill {play.folder / 'cut' / 'config.yaml'} " in result.stderr
    assert result.stdout == ""
    assert not Path("never.html").exists()


def test_a_parent_folder_means_all_runs_below_it(play: SimpleNamespace, tmp_path: Path) -> None:
    """Runs at any depth, by name; what else is there is told in one line, and a run named beside it counts once."""
    parent = tmp_path / "all"
    for name in ("kd", "sweep/kcd1", "sweep/kcd0", "sweep/deeper/cut"):
        shutil.copytree(play.folder / name.rpartition("/")[2], parent / name)
    shutil.copytree(play.folder / "a.zarr", parent / "store.zarr")
    shutil.copytree(play.folder / "teacher.training", parent / "sweep" / "teacher.training")
    (parent / "other").mkdir()
    (parent / "other" / "config.yaml").write_text("model: {name: vit}\n")
    (parent / ".git").mkdir()
    (parent / "notes.txt").write_text("mine")
    result = kcd("report", parent / "sweep" / "kcd1", parent, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert [run["name"] for run in answer["runs"]] == ["kcd1", "kd", "kcd0"]
    assert [run["label"] for run in answer["unfinished"]] == ["cut"]
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Left out: ")]
    for name in ("store.zarr (no run)", "teacher.training (the training of a teacher)", "other (a config.yaml that"):
        assert name in line
    assert ".git" not in line


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: folder / "missing", "there is no run at"),
        (lambda folder: folder / "a.zarr", "a knowledge store"),
        (lambda folder: folder / "teacher.safetensors", "a file, not a folder"),
        (lambda folder: folder / "teacher.training", "the training of a teacher"),
        (lambda folder: folder / "kd" / "tensorboard", "it has no config.yaml"),
    ],
)
def test_what_is_not_a_run_is_refused(play: SimpleNamespace, make: Callable[[Path], Path], told: str) -> None:
    result = kcd("report", play.folder / "kd", make(play.folder))
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_a_damaged_run_is_refused(play: SimpleNamespace, tmp_path: Path) -> None:
    run = shutil.copytree(play.folder / "kd", tmp_path / "run")
    (run / "metrics.jsonl").write_text("{\n")
    assert "metrics.jsonl is damaged" in kcd("report", run).stderr
    (run / "config.yaml").write_text("- a list\n")
    result = kcd("report", run)
    assert result.exit_code == 1
    assert "config.yaml" in result.stderr
    forget_record(run)
    result = kcd("report", run)
    assert result.exit_code == 2
    assert "is not the folder of a run: no readable config.yaml" in result.stderr


def test_html_cannot_be_a_folder_or_below_a_file(play: SimpleNamespace) -> None:
    below = kcd("report", play.folder / "kd", "--html", play.folder / "teacher.safetensors" / "page.html")
    assert (below.exit_code, "is a file where a folder is needed" in below.stderr) == (2, True)
    assert kcd("report", play.folder / "kd", "--html", play.folder).exit_code == 2
