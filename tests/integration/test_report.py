"""Reports and inspections of real, tiny runs, made once for this file."""

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zarr
from click.testing import CliRunner, Result
from tests.support.runs import forget_record

from kcd_pipeline.cli import main
from kcd_stores import KnowledgeStore

TINY = ("teacher.epochs=1", "distill.epochs=2", "condense.interval=1", "data.limit_per_class=20", "store.views=2")
SECTIONS = ("results", "pairs", "epochs", "samples", "stores", "settings", "runs")
ODD_NAME = "kd <b>$x$ & co"


def kcd(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def report_json(*words: object) -> dict[str, Any]:
    result = kcd("report", *words, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two stores that differ in padding and views; kcd of two seeds, kd on each store, none without a store."""
    folder = tmp_path_factory.mktemp("report")

    def make(command: str, *settings: str) -> None:
        whole = [
            *TINY,
            f"teacher.weights={folder / 'teacher.safetensors'}",
            f"store.path={folder / 'a.zarr'}",
            *settings,
        ]
        result = kcd(command, "digits", *(part for setting in whole for part in ("--set", setting)))
        assert result.exit_code == 0, result.output

    other = (f"store.path={folder / 'b.zarr'}", "augmentation.padding=2", "store.views=1")
    make("train-teacher")
    make("extract-teacher")
    make("extract-teacher", *other)
    make("distill", "distill.method=kcd", f"run.dir={folder / 'kcd0'}")
    make("distill", "distill.method=kcd", f"run.dir={folder / 'kcd1'}", "seed=1")
    make("distill", "distill.method=kd", f"run.dir={folder / 'kd'}")
    make("distill", "distill.method=kd", f"run.dir={folder / 'kd-b'}", *other)
    make("distill", "distill.method=none", f"run.dir={folder / 'none'}", f"store.path={folder / 'no.zarr'}")
    shutil.copytree(folder / "kd", folder / ODD_NAME)
    shutil.copytree(folder / "kcd0", folder / "cut")
    (folder / "cut" / "summary.json").unlink()
    lines = (folder / "cut" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "cut" / "metrics.jsonl").write_text(lines[0])
    names = ("kcd0", "kcd1", "kd", "none")
    return SimpleNamespace(folder=folder, runs=[folder / name for name in names])


@pytest.fixture(scope="module")
def page(play: SimpleNamespace) -> Path:
    """The page of the runs on one store and of a run with an awkward name, in a folder that did not exist."""
    html: Path = play.folder / "pages" / "new" / "report.html"
    result = kcd("report", *play.runs, play.folder / ODD_NAME, "--html", html)
    assert result.exit_code == 0, result.output
    return html


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


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


class Loads(HTMLParser):
    """Collects the addresses that a page would fetch, its ids, and the ids that its `#` references name."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.named: set[str] = set()
        self.tags: list[str] = []
        self.style = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("src", "href", "xlink:href", "srcset", "data", "poster", "action"):
                if (value or "").startswith("#"):
                    self.named.add((value or "")[1:])
                else:
                    self.fetched.append(value or "")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "style":
            self.style += data


def test_page_holds_everything_and_may_fetch_nothing(page: Path) -> None:
    text = page.read_text()
    loads = Loads()
    loads.feed(text)
    assert loads.fetched == []
    assert not {"link", "iframe", "object", "base", "img"} & set(loads.tags)
    assert 'content="default-src &#39;none&#39;; script-src &#39;sha256-' in text
    assert all(target.startswith("data:image/webp;base64,") for target in re.findall(r"url\(([^)]*)\)", loads.style))
    assert "@import" not in loads.style
    assert len(loads.ids) == len(set(loads.ids))
    assert loads.named <= set(loads.ids)
    assert set(SECTIONS) <= set(loads.ids)
    assert text.count('class="picture p-') == 3 * 24  # 12 at either end of three arms


def test_page_names_its_runs_and_escapes_them(page: Path) -> None:
    text = page.read_text()
    for name in ("kcd0", "kcd1", "kd", "none"):
        assert f"</svg>{name}</th>" in text
    assert "kd &lt;b&gt;$x$ &amp; co" in text
    assert "<b>$x$" not in text
    assert "same seed 0" in text  # the copy is told


def test_the_same_runs_give_the_same_page(page: Path, play: SimpleNamespace) -> None:
    before = page.read_bytes()
    assert kcd("report", *play.runs, play.folder / ODD_NAME, "--html", page).exit_code == 0
    assert page.read_bytes() == before


def test_page_without_its_data_set_says_so(play: SimpleNamespace, tmp_path: Path) -> None:
    run = shutil.copytree(play.folder / "none", tmp_path / "moved")
    forget_record(run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(
        config.replace("name: digits\n", "name: fashion-mnist\n").replace("root: data\n", f"root: {tmp_path}\n")
    )
    html = tmp_path / "page.html"
    assert kcd("report", run, "--html", html).exit_code == 0
    assert "The pictures cannot be shown: fashion-mnist is not in" in html.read_text()
    assert 'class="picture' not in html.read_text()


def test_page_of_another_data_set_shows_no_wrong_pictures(play: SimpleNamespace, tmp_path: Path) -> None:
    run = shutil.copytree(play.folder / "none", tmp_path / "changed")
    forget_record(run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("limit_per_class: 20", "limit_per_class: 19"))
    html = tmp_path / "page.html"
    assert kcd("report", run, "--html", html).exit_code == 0
    assert "values of 200 samples, but 190 are found now" in html.read_text()


def test_inspect_a_store(play: SimpleNamespace) -> None:
    path = play.folder / "a.zarr"
    store = KnowledgeStore.open(path)
    facts = json.loads(kcd("inspect", path, "--json").stdout)
    assert (facts["kind"], facts["complete"], facts["shape"]) == ("knowledge store", True, [2, 200, 10])
    assert (facts["encoding"], facts["identity"], facts["made_from"]) == ("float16", store.identity, store.made_from)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert facts["bytes"] == size
    assert facts["bytes_per_row"] == pytest.approx(size / 400)
    assert facts["files"] == len([file for file in path.rglob("*") if file.is_file()])
    text = kcd("inspect", path).stdout
    assert "2 views x 200 samples x 10 classes" in text
    assert store.made_from["teacher"]["weights_sha256"] in text
    assert store.identity in text


def test_inspect_an_unfinished_store(play: SimpleNamespace, tmp_path: Path) -> None:
    path = shutil.copytree(play.folder / "a.zarr", tmp_path / "part.zarr")
    ledger: Any = zarr.open_group(path, mode="r+")["complete"]
    ledger[1, 0] = 0
    facts = json.loads(kcd("inspect", path, "--json").stdout)
    assert (facts["complete"], facts["rows_complete"], facts["rows"]) == (False, 200, 400)
    assert facts["blocks"]["complete_by_view"] == [1, 0]
    text = kcd("inspect", path).stdout
    assert "not finished: 1 of 2 blocks (50.00%)" in text
    assert re.search(r"view 1 +0 of 1", text)


def test_inspect_a_run(play: SimpleNamespace) -> None:
    facts = json.loads(kcd("inspect", play.folder / "kcd0", "--json").stdout)
    assert (facts["kind"], facts["finished"], facts["epochs_done"], facts["epochs"]) == ("run", True, 2, 2)
    assert (facts["method"], facts["model"], facts["rows_trained"]) == ("kcd", "resnet8", 340)
    assert facts["test_accuracy"] == metrics(play.folder / "kcd0")[-1]["test_accuracy"]
    first, second = facts["plans"]
    assert (first["kept"], first["perturbed"], first["came_back"]) == (200, 0, None)
    assert (second["kept"], second["perturbed"], second["newly_dropped"], second["came_back"]) == (140, 60, 60, 0)
    assert (first["overlap"], second["overlap"]) == (None, 1.0)
    lines = metrics(play.folder / "kcd0")
    for stage, line, steps in zip((first, second), lines, (4, 3), strict=True):  # 200 and 140 samples in batches of 64
        assert (stage["epochs"], stage["samples"], stage["steps"]) == (1, line["samples"], steps)
        assert (stage["seconds"], stage["bytes_read"]) == (line["seconds"], line["bytes_read"])
    assert (facts["steps"], facts["bytes_read"]) == (7, sum(line["bytes_read"] for line in lines))
    assert second["epsilon_max"] == pytest.approx(0.3)
    assert facts["values"]["never_visited"] == 0
    assert facts["values"]["visits"] == {"least": 1, "most": 2}
    text = kcd("inspect", play.folder / "kcd0").stdout
    assert "finished, 2 of 2 epochs" in text
    assert re.search(r"2 +2 +140 \(70.00%\) +80 +60 +0 +60", text)
    assert re.search(r"2 +1 +140 +3 ", text.partition("What each stage cost")[2])


def test_inspect_an_unfinished_run_and_a_teacher(play: SimpleNamespace) -> None:
    text = kcd("inspect", play.folder / "cut").stdout
    assert "not finished: 1 of 2 epochs are done" in text
    assert "To continue: `kcd-pipeline distill" in text
    facts = json.loads(kcd("inspect", play.folder / "cut", "--json").stdout)
    assert (facts["finished"], facts["epochs_done"], facts["values"]["after_epoch"]) == (False, 1, 1)
    teacher = json.loads(kcd("inspect", play.folder / "teacher.training", "--json").stdout)
    assert (teacher["kind"], teacher["model"], teacher["epochs"]) == ("training of a teacher", "resnet20", 1)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: folder / "missing", "there is nothing at"),
        (lambda folder: folder, "neither a knowledge store"),
        (lambda folder: folder / "teacher.safetensors", "neither a knowledge store"),
        (lambda folder: folder / "kd" / "values.zarr", "is a part of the run"),
    ],
)
def test_inspect_refuses_what_is_neither_store_nor_run(
    play: SimpleNamespace, make: Callable[[Path], Path], told: str
) -> None:
    result = kcd("inspect", make(play.folder))
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr
