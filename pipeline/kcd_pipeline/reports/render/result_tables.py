"""The tables of the page: arms, every run, unfinished runs, and what stores saved."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kcd_pipeline.reports.collect.details import RunDetails
from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.compute.pairs import PairResult
from kcd_pipeline.reports.compute.stage_tables import finished_stages
from kcd_pipeline.reports.compute.stores import StoreUse
from kcd_pipeline.reports.render.page_tables import Cell, Column, PageTable, Row, number, whole, word
from kcd_pipeline.reports.wording import (
    MISSING,
    counted,
    duration,
    interval_ends,
    kept_range,
    mean_and_spread,
    measured,
    p_value,
    percent,
    percent_interval,
    points,
)
from kcd_pipeline.statistics import Interval
from kcd_stores import human_bytes

WORDS = {"arm", "run", "pair", "budget", "method", "student", "store"}  # headings of columns without numbers


def arm_table(comparison: Comparison, details: Sequence[RunDetails]) -> PageTable:
    """Return the table of arms, and of the teacher below them; `details` are those of the first run of each arm."""
    rows = [
        Row(
            cells=tuple(_arm_cells(arm, found, comparison.metric_headings).values()),
            key=arm.name,
            tag="ahead of all" if arm is comparison.best else "",
        )
        for arm, found in zip(comparison.arms, details, strict=True)
    ]
    headings = list(_arm_cells(comparison.arms[0], details[0], comparison.metric_headings)) if rows else []
    table = PageTable(
        caption="Arms: test accuracy after the last epoch, and what it cost",
        columns=tuple(_column(heading) for heading in headings),
        rows=tuple(rows),
        last=tuple(_teacher_rows(comparison, headings)),
    )
    return table.without_empty_columns()


def _column(heading: str) -> Column:
    return Column(heading=heading, number=heading not in WORDS)


def _arm_cells(arm: Arm, details: RunDetails, metrics: Mapping[str, str]) -> dict[str, Cell]:
    summary = arm.first.summary
    return {
        "arm": word(arm.name),
        "seeds": whole(len(arm.runs)),
        "test accuracy": Cell(text=mean_and_spread(arm.mean_accuracy, arm.deviation), value=arm.mean_accuracy),
        "95% interval": interval(arm.interval, percent_interval(arm.interval)),
        "top-5": number(details.outcome.top5 if details.outcome else None, percent),
        "best epoch": number(arm.mean_best_accuracy, percent),
        **{heading: number(arm.mean_of_metric(name), measured) for name, heading in metrics.items()},
        "knowledge rows": whole(arm.mean_rows),
        "kept": Cell(text=kept_range(arm.first.kept_fraction), value=arm.first.kept_fraction[-1]),
        "parameters": whole(summary.get("parameters")),
        "multiply-adds": whole(summary.get("multiply_adds")),
        "training time": number(arm.mean_seconds, duration),
        "steps": whole(arm.mean_steps),
        "store read": number(arm.mean_bytes_read, lambda size: human_bytes(round(size))),
        "blends judged": whole(arm.mean_teacher_rows or None),
    }


def _teacher_rows(comparison: Comparison, headings: Sequence[str]) -> list[Row]:
    """Return a row for each different teacher of the runs, as far as it is known."""
    found: dict[str, dict[str, Cell]] = {}
    for store in comparison.stores:
        teacher = store.facts["made_from"]["teacher"]
        cost = next((run.summary.get("teacher_multiply_adds") for run in store.runs), None)
        found.setdefault(
            str(teacher.get("weights_sha256")),
            {
                "arm": word(f"teacher: {teacher.get('model', MISSING)}"),
                "test accuracy": number(teacher.get("test_accuracy"), percent),
                "parameters": whole(teacher.get("parameters")),
                "multiply-adds": whole(cost),
            },
        )
    return [Row(cells=tuple(cells.get(heading, word(None)) for heading in headings)) for cells in found.values()]


def pair_table(pairs: Sequence[PairResult]) -> PageTable:
    """Return the table of compared pairs; differences are those of the first arm less the second, in points."""
    table = _table("Pairs: differences in points of accuracy, by seed", [_pair_cells(pair) for pair in pairs])
    rows = [replace(row, tag=_place(pair)) for row, pair in zip(table.rows, pairs, strict=True)]
    return replace(table, rows=tuple(rows))


def _pair_cells(pair: PairResult) -> dict[str, Cell]:
    difference, bootstrap = pair.difference, pair.bootstrap
    return {
        "pair": word(f"{pair.first.name} − {pair.second.name}"),
        "budget": word(f"equal {pair.budget}"),
        "seeds": whole(len(pair.seeds)),
        "difference": number(None if difference is None else difference.mean, points),
        "95% interval": interval(difference, None if difference is None else interval_ends(difference)),
        "95% by bootstrap": interval(bootstrap, None if bootstrap is None else interval_ends(bootstrap)),
        "p": number(pair.p, p_value),
        "p (Holm)": number(pair.p_holm, p_value),
        "seeds needed": whole(pair.seeds_needed),
        "samples trained": number(pair.rows_ratio, lambda ratio: f"{100 * ratio:.0f}%"),
    }


def _place(pair: PairResult) -> str:
    """Return the word that tells which arm of a pair is ahead; empty where neither is."""
    return "first ahead" if pair.ahead else "second ahead" if pair.behind else ""


def interval(found: Interval | None, text: str | None) -> Cell:
    """Return a cell of an interval, which sorts by its lower end; a missing one if it has no ends."""
    return Cell(text=MISSING) if found is None or text is None else Cell(text=text, value=found.low)


def run_table(comparison: Comparison) -> PageTable:
    """Return the table of all finished runs."""
    averaged = any(run.averaged_test_accuracy is not None for run in comparison.runs)
    rows = [
        {
            "run": word(run.label),
            "method": word(run.method_in_words),
            "student": word(run.student),
            "seed": whole(run.seed),
            "epochs": whole(run.epochs),
            "test accuracy": number(run.test_accuracy, percent),
            "best epoch": number(run.best_test_accuracy, percent),
            **(
                {"validation, best epoch": number(run.best_validation_accuracy, percent)}
                if "validation" in comparison.chosen_by
                else {}
            ),
            **{
                heading: number(run.own_metrics.get(name), measured)
                for name, heading in comparison.metric_headings.items()
            },
            **({"averaged weights": number(run.averaged_test_accuracy, percent)} if averaged else {}),
            "knowledge rows": whole(run.rows_trained),
            "samples trained": whole(run.samples_trained),
            "time": number(run.seconds, duration),
            "store": word(comparison.store_letter(run)),
        }
        for run in comparison.runs
    ]
    table = _table("Finished runs: test accuracy after the last epoch (the result) and of the best epoch", rows)
    keyed = [replace(row, key=run.label) for row, run in zip(table.rows, comparison.runs, strict=True)]
    return replace(table, rows=tuple(keyed))


def unfinished_table(comparison: Comparison) -> PageTable:
    """Return the table of runs that are not finished."""
    rows = [
        {
            "run": word(run.label),
            "method": word(run.method_in_words),
            "student": word(run.student),
            "seed": whole(run.seed),
            "epochs done": Cell(text=f"{run.epochs_done} of {run.epochs}", value=run.epochs_done / run.epochs),
            "accuracy so far": number(run.accuracy, percent),
            "measured on": word(f"{run.chosen_by} images"),
        }
        for run in comparison.unfinished
    ]
    return _table("Runs that are not finished, so not compared", rows)


def economics_table(stores: Sequence[StoreUse]) -> PageTable:
    """Return the table of what each of `stores` cost and saved."""
    return _table("Teacher time of each store", [_economics_cells(store) for store in stores])


def _economics_cells(store: StoreUse) -> dict[str, Cell]:
    cost = store.economics
    taught = cost.student_count > 0
    pays_off = word(None) if cost.pays_off_at is None else number(cost.pays_off_at, _students)
    saved = number(cost.saved_seconds, duration) if cost.paid_off else Cell(text="not yet" if taught else MISSING)
    return {
        "store": word(f"{store.letter} {store.facts['path']}"),
        "teacher's time": number(cost.seconds, duration),
        "per thousand rows": number(1000 * cost.seconds_per_row, duration),
        "students": whole(cost.student_count),
        "share per student": number(cost.seconds_per_student, duration),
        "live teacher per student, mean": number(cost.mean_live_seconds, duration),
        "pays off at": pays_off,
        "saved so far": saved,
    }


def _students(count: float) -> str:
    return counted(round(count), "student")


def stage_table(arm: str, run: str, stage_facts: Sequence[dict[str, Any]]) -> PageTable | None:
    """Return the table of the stages of the `run` that stands for an `arm`; None if it has only one stage."""
    stages = finished_stages(stage_facts)
    if len(stages.rows) < 2:
        return None
    return PageTable(
        caption=f"{arm}: each stage of {run}",
        columns=tuple(Column(heading=heading) for heading in stages.headings),
        rows=tuple(Row(cells=tuple(word(text) for text in row)) for row in stages.rows),
    )


def _table(caption: str, rows: Sequence[Mapping[str, Cell]]) -> PageTable:
    headings = list(rows[0]) if rows else []
    return PageTable(
        caption=caption,
        columns=tuple(_column(heading) for heading in headings),
        rows=tuple(Row(cells=tuple(row.values())) for row in rows),
    )
