"""The page of runs whose best epochs were chosen by validation images: its curves and sentences say so."""

from dataclasses import replace

from tests.support.reports import made_details, made_run

from kcd_pipeline.reports.collect import RunRecord, UnfinishedRun
from kcd_pipeline.reports.compute import compare
from kcd_pipeline.reports.render.page import render_page
from kcd_pipeline.reports.render.plain_data import plain_data


def by_validation(run: RunRecord) -> RunRecord:
    """Return a run whose epochs were measured on validation images, each 5 points below its test accuracy."""
    metrics = [
        {key: value for key, value in line.items() if key != "test_accuracy"}
        | {"validation_accuracy": line["test_accuracy"] - 0.05}
        for line in run.metrics
    ]
    best = max(line["validation_accuracy"] for line in metrics)
    return replace(run, metrics=metrics, summary={**run.summary, "best_validation_accuracy": best})


def page_of(runs: list[RunRecord]) -> str:
    """Return the page of runs as text in one line."""
    html = render_page(compare(runs), [made_details(run) for run in runs], command="kcd-pipeline report")
    return " ".join(html.split())


def test_a_page_says_that_validation_images_chose_the_best_epochs() -> None:
    page = page_of([by_validation(made_run("kd")), by_validation(made_run("kcd"))])
    assert "Validation accuracy by epoch of 2 arms" in page
    assert (
        "on the test set, resnet8 kd" in page or "on the test set, kd resnet8" in page or "on the test set, kcd" in page
    )
    assert "the best epoch was chosen by validation images, and the test set was looked at only after the last" in page
    assert "not a result" not in page
    assert "validation, best epoch" in page
    assert "teacher on the test set, 81.00%" in page


def test_a_page_of_both_kinds_tells_them_apart() -> None:
    page = page_of([made_run("kd"), by_validation(made_run("kcd"))])
    assert "Test or validation accuracy by epoch" in page
    assert "Where a run has validation images, they chose the best epoch" in page


def test_a_page_without_validation_is_as_before() -> None:
    page = page_of([made_run("kd"), made_run("kcd")])
    assert "Test accuracy by epoch of 2 arms" in page
    assert "but is not a result, because the best epoch was chosen on the test set" in page
    assert "validation" not in page


def test_an_unfinished_run_tells_its_validation_accuracy() -> None:
    begun = by_validation(made_run("kd"))
    run = UnfinishedRun(
        label="begun", path=begun.path, method_in_words="kd", student="resnet8", seed=0, epochs=9, metrics=begun.metrics
    )
    (told,) = plain_data(compare([], [run]))["unfinished"]
    assert told["chosen_by"] == "validation"
    assert told["validation_accuracy"] == begun.metrics[-1]["validation_accuracy"]
    assert "test_accuracy" not in told
