"""The comparison as tables on the terminal."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kcd_pipeline.reports.collect import RunRecord, UnfinishedRun
from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.compute.pairs import PairResult
from kcd_pipeline.reports.compute.stores import StoreUse, saving_words
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
    whole_number,
)
from kcd_pipeline.terminal import natural_width, new_table, print_line, print_table
from kcd_stores import human_bytes

# Columns left out on a narrow terminal, one after the other in this order until the table fits
SPARE_COLUMNS = ("epochs", "seed", "student", "store", "time", "kept")


def print_comparison(comparison: Comparison) -> None:
    """Print the runs, the arms, the pairs, the finding, what each store saved, and the warnings."""
    print_line(
        f"Runs: test accuracy after the last epoch (the result) and of the best epoch{_chosen(comparison)}",
        style="bold",
    )
    print_table(fitting_run_table(comparison, Console()))
    if comparison.unfinished:
        so_far = " or ".join(dict.fromkeys(run.chosen_by for run in comparison.unfinished))
        print_line(f"Not finished, so not compared: {so_far} accuracy so far", style="bold")
        print_table(unfinished_table(comparison.unfinished))
    print_line(
        "Arms: mean ± standard deviation of the last epoch over seeds, and the 95% interval of the mean", style="bold"
    )
    print_table(arm_table(comparison))
    if comparison.pairs:
        print_line("Pairs: first - second in points, with the seeds that both have", style="bold")
        print_table(pair_table(comparison.pairs))
    for sentence in comparison.finding:
        print_line(sentence)
    for store in comparison.stores:
        print_line(store_sentence(store))
    for warning in comparison.warnings:
        print_line(f"Warning: {warning}", style="yellow")


def fitting_run_table(comparison: Comparison, console: Console) -> Table:
    """Return the table of runs; on a narrow terminal, leave out spare columns and name them below the table."""
    left_out: tuple[str, ...] = ()
    table = run_table(comparison)
    for column in SPARE_COLUMNS if console.is_terminal else ():
        if natural_width(console, table) <= console.width:
            break
        left_out = (*left_out, column)
        table = run_table(comparison, left_out)
    if left_out:
        table.caption = Text(f"too narrow for: {', '.join(left_out)}; --json shows them", justify="left")
    return table


def run_table(comparison: Comparison, left_out: Collection[str] = ()) -> Table:
    """Return a table with one line for each run, in the order in which they were given."""
    table = new_table()
    cells = {heading: cell for heading, cell in _run_cells(comparison).items() if heading not in left_out}
    for heading in cells:
        words = heading in ("run", "method", "student")
        table.add_column(Text(heading), justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for run in comparison.runs:
        table.add_text_row(*(cell(run) for cell in cells.values()))
    return table


def _run_cells(comparison: Comparison) -> dict[str, Callable[[RunRecord], Text]]:
    """Return, for each heading, the function that makes a run's cell."""
    return {
        "run": lambda run: Text(run.label),
        "method": lambda run: Text(run.method_in_words),
        "student": lambda run: Text(run.student),
        "seed": lambda run: Text(str(run.seed)),
        "epochs": lambda run: Text(str(run.epochs)),
        "last": lambda run: Text(percent(run.test_accuracy), style="bold"),
        "best": lambda run: Text(percent(run.best_test_accuracy)),
        **{heading: partial(_metric, name) for name, heading in comparison.metric_headings.items()},
        **({"average": _averaged} if any(run.averaged_test_accuracy is not None for run in comparison.runs) else {}),
        "rows trained": lambda run: Text(f"{run.rows_trained:,}"),
        "kept": lambda run: Text(kept_range(run.kept_fraction)),
        "time": lambda run: Text(duration(run.seconds)),
        "store": lambda run: Text(comparison.store_letter(run) or MISSING),
    }


def _metric(name: str, run: RunRecord) -> Text:
    value = run.own_metrics.get(name)
    return Text(MISSING if value is None else measured(value))


def _averaged(run: RunRecord) -> Text:
    return Text(MISSING if run.averaged_test_accuracy is None else percent(run.averaged_test_accuracy))


def _chosen(comparison: Comparison) -> str:
    """Return words that tell how the best epochs were chosen, unless all of them were by the test set."""
    if comparison.chosen_by == ("test",):
        return ""
    by = "validation images" if comparison.chosen_by == ("validation",) else "validation images where a run has them"
    return f", chosen by {by}"


def unfinished_table(runs: Sequence[UnfinishedRun]) -> Table:
    """Return a table with one line for each run that is not finished."""
    table = new_table()
    for heading in ("run", "method", "student", "seed", "epochs done", "so far"):
        words = heading in ("run", "method", "student")
        table.add_column(heading, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for run in runs:
        table.add_text_row(
            run.label,
            run.method_in_words,
            run.student,
            str(run.seed),
            f"{run.epochs_done} of {run.epochs}",
            MISSING if run.accuracy is None else percent(run.accuracy),
        )
    return table


def arm_table(comparison: Comparison) -> Table:
    """Return a table with one line of means for each arm; a star marks the arm that is ahead of every other."""
    table = new_table()
    table.add_column("arm", overflow="fold")
    judged = any(arm.mean_teacher_rows for arm in comparison.arms)
    asked = ("blends judged",) if judged else ()
    metrics = comparison.metric_headings
    before = ("seeds", "last", "", "95%", "best epoch", *metrics.values())
    for heading in (*before, "samples", "steps", "store read", *asked, "time"):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for arm in comparison.arms:
        table.add_text_row(*_arm_cells(arm, tuple(metrics), best=arm is comparison.best, judged=judged))
    return table


def _arm_cells(arm: Arm, metrics: Sequence[str], *, best: bool, judged: bool) -> list[str | Text]:
    style = "bold" if best else ""
    own = [arm.mean_of_metric(name) for name in metrics]
    return [
        Text(arm.name, style=style),
        str(len(arm.runs)),
        Text(mean_and_spread(arm.mean_accuracy, arm.deviation), style=style),
        "★" if best else "",
        percent_interval(arm.interval) or MISSING,
        percent(arm.mean_best_accuracy),
        *(MISSING if mean is None else measured(mean) for mean in own),
        whole_number(arm.mean_samples),
        whole_number(arm.mean_steps),
        MISSING if arm.mean_bytes_read is None else human_bytes(round(arm.mean_bytes_read)),
        *([whole_number(arm.mean_teacher_rows)] if judged else []),
        duration(arm.mean_seconds),
    ]


def pair_table(pairs: Sequence[PairResult]) -> Table:
    """Return a table with one line for each pair; a star and bold print mark where the first arm is ahead."""
    table = new_table()
    for heading in ("first", "second"):
        table.add_column(heading, overflow="fold")
    for heading in ("seeds", "difference", "", "95%", "p", "p (Holm)", "samples"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pair in pairs:
        difference = pair.difference
        table.add_text_row(
            pair.first.name,
            pair.second.name,
            str(len(pair.seeds)),
            Text(
                MISSING if pair.difference is None else points(pair.difference.mean), style="bold" if pair.ahead else ""
            ),
            "★" if pair.ahead else "",
            MISSING if difference is None else interval_ends(difference) or MISSING,
            MISSING if pair.p is None else p_value(pair.p),
            MISSING if pair.p_holm is None else p_value(pair.p_holm),
            MISSING if pair.rows_ratio is None else f"{100 * pair.rows_ratio:.0f}%",
        )
    return table


def store_sentence(store: StoreUse) -> str:
    """Return a sentence on what the store cost, how its students share that, and whether it has paid for itself."""
    cost = store.economics
    start = f"Store {store.letter} ({store.facts['path']}): {duration(cost.seconds)} of teacher time"
    if cost.seconds_per_student is None or cost.mean_live_seconds is None:
        return f"{start}; {saving_words(store)}."
    return (
        f"{start} for {counted(cost.student_count, 'student')}, {duration(cost.seconds_per_student)} each; a live "
        f"teacher would have taken {duration(cost.mean_live_seconds)} for each (estimated); {saving_words(store)}."
        f"{_judged_sentence(store)}"
    )


def _judged_sentence(store: StoreUse) -> str:
    """Return a sentence on the blends that the store's students had judged, after a space; empty without any."""
    if not store.economics.rows_judged:
        return ""
    seconds = sum(run.teacher_seconds for run in store.runs)
    return (
        f" Its students had the teacher judge {store.economics.rows_judged:,} rows of blended pictures, "
        f"{duration(seconds)} of teacher time."
    )
