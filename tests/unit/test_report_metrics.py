"""Metrics of the user's own in reports: a column of runs and of arms, and numbers in JSON."""

import csv
import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from tests.support.reports import made_run

from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.compute import FramedArm, StudyFrame, compare
from kcd_pipeline.reports.render.exports import EXPORTS
from kcd_pipeline.reports.render.plain_data import plain_data
from kcd_pipeline.reports.render.result_tables import run_table as page_table
from kcd_pipeline.reports.render.table import arm_table, run_table

TOP = "own_parts.metrics:top_k_accuracy(k=2)"
BALANCED = "own_parts.metrics:balanced_accuracy"


def with_metrics(run: RunRecord, **metrics: float | None) -> RunRecord:
    named = {"top": TOP, "balanced": BALANCED}
    own: dict[str, Any] = {named.get(name, name): value for name, value in metrics.items()}
    return replace(run, summary={**run.summary, "metrics": own})


def lines(table: Table) -> list[list[str]]:
    output = io.StringIO()
    Console(file=output, width=400).print(table)
    return [line.split() for line in output.getvalue().splitlines() if line.strip()]


def test_each_metric_has_a_column_of_runs_and_its_mean_one_of_arms() -> None:
    runs = [
        with_metrics(made_run("kd", seed=0), top=0.75, balanced=0.5),
        with_metrics(made_run("kd", seed=1), top=0.5, balanced=None),
        made_run("none"),
    ]
    comparison = compare(runs)
    assert list(comparison.metric_headings.values()) == ["top_k_accuracy(k=2)", "balanced_accuracy"]
    shown = lines(run_table(comparison))
    places = [shown[0].index(heading) for heading in comparison.metric_headings.values()]
    assert [[row[place] for place in places] for row in shown[2:]] == [["0.75", "0.5"], ["0.5", "–"], ["–", "–"]]
    kd, none = lines(arm_table(comparison))[2:]
    assert "0.625" in kd  # the mean of 0.75 and 0.5; of balanced accuracy one seed has no number
    assert "0.625" not in none
    page = page_table(comparison)
    place = [column.heading for column in page.columns].index("top_k_accuracy(k=2)")
    assert [row.cells[place].value for row in page.rows] == [0.75, 0.5, None]
    data = plain_data(comparison)
    assert data["runs"][1]["metrics"] == {TOP: 0.5, BALANCED: None}
    assert data["arms"][0]["mean_metrics"] == {TOP: 0.625, BALANCED: None}


def test_functions_of_one_name_are_told_apart_by_their_modules() -> None:
    runs = [with_metrics(made_run("kd"), **{"mine:top[/]": 0.1, "theirs:top[/]": 0.2})]
    shown = lines(run_table(compare(runs)))
    assert {"mine:top[/]", "theirs:top[/]"} <= set(shown[0])


def test_without_metrics_tables_have_no_column_of_them() -> None:
    comparison = compare([made_run("kd")])
    assert comparison.metric_headings == {}
    assert "metrics" not in " ".join(map(str, lines(run_table(comparison))))


@pytest.mark.parametrize(("value", "text"), [(0.934217, "0.9342"), (123456.0, "1.235e+05"), (0.0, "0")])
def test_a_number_has_four_digits(value: float, text: str) -> None:
    shown = lines(run_table(compare([with_metrics(made_run("kd"), top=value)])))
    assert text in shown[2]


def test_exports_have_a_column_of_means_for_each_metric() -> None:
    """An arm of two pairs: CSV repeats its means, 0.625 of 0.75 and 0.5; LaTeX and Markdown leave them blank."""
    runs = [
        *(with_metrics(made_run("kd", seed=seed), top=top) for seed, top in enumerate((0.75, 0.5))),
        *(with_metrics(made_run(other, seed=0), top=1e-5, balanced=0.25) for other in ("none", "kcd")),
    ]
    arms = tuple(
        FramedArm(name=name, folders=tuple(run.path for run in runs if run.method == name), planned=1)
        for name in ("kd", "none", "kcd")
    )
    pairs: Any = (("kd", "none", "epochs"), ("kd", "kcd", "epochs"))
    comparison = compare(runs, (), StudyFrame(title="?", arms=arms, pairs=pairs))
    rows = list(csv.DictReader(io.StringIO(EXPORTS["csv"](comparison))))
    assert [(row["arm"], row[TOP], row[BALANCED]) for row in rows] == [
        ("kd", "0.625", ""),
        ("kd", "0.625", ""),
        ("none", "1e-05", "0.25"),
        ("kcd", "1e-05", "0.25"),
    ]
    exported = EXPORTS["latex"](comparison).splitlines()
    head, *latex = [line.removesuffix(r" \\").split(" & ") for line in exported if line.endswith(r" \\")]
    place = head.index(r"top\_k\_accuracy(k=2)")
    shown = [["0.625", r"\textendash{}"], ["", ""], ["1e$-$05", "0.25"], ["1e$-$05", "0.25"]]
    assert [line[place : place + 2] for line in latex] == shown
    head, _, *markdown = [line.split(" | ") for line in EXPORTS["markdown"](comparison).splitlines() if "|" in line]
    place = head.index(r"top\_k\_accuracy(k=2)")
    shown = [["0.625", "–"], ["", ""], ["1e−05", "0.25"], ["1e−05", "0.25"]]  # a true minus sign
    assert [line[place : place + 2] for line in markdown] == shown


def test_a_metric_that_is_called_as_another_column_stands_beside_it() -> None:
    comparison = compare([with_metrics(made_run("kd"), **{"mine:rows": 0.5})])
    head, _, cells = [line.split(" | ") for line in EXPORTS["markdown"](comparison).splitlines() if "|" in line]
    assert [cell for heading, cell in zip(head, cells, strict=True) if heading == "rows"] == ["0.5", "800"]
