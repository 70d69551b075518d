"""The comparison as tables on the terminal."""

from collections.abc import Callable, Collection

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kcd_pipeline.report.collect.runs import RunRecord
from kcd_pipeline.report.compute.comparison import Comparison
from kcd_pipeline.report.compute.groups import seeds_told
from kcd_pipeline.report.compute.stores import StoreUse, saving
from kcd_pipeline.report.wording import NOTHING, count, duration, kept, mean_and_spread, percent, rounded
from kcd_stores import human_bytes

SPARE = ("epochs", "seed", "student", "store", "time", "kept")  # given up in this order on a narrow terminal
ROOMY = 10_000  # characters: nothing is folded


def print_comparison(comparison: Comparison) -> None:
    """Runs, means over seeds, what each store saved, and warnings, on standard output."""
    print_line("Runs: test accuracy after the last epoch (the result) and of the best epoch", style="bold")
    print_table(fitting_run_table(comparison, Console()))
    print_line("Over seeds: mean ± sample standard deviation of the last epoch", style="bold")
    print_table(group_table(comparison))
    print_line(seeds_told(comparison.groups))
    for store in comparison.stores:
        print_line(store_line(store))
    for warning in comparison.warnings:
        print_line(f"Warning: {warning}", style="yellow")


def fitting_run_table(comparison: Comparison, console: Console) -> Table:
    """The table of runs, on a narrow terminal without its least needed columns, which are named below it."""
    left_out: tuple[str, ...] = ()
    table = run_table(comparison)
    for column in SPARE if console.is_terminal else ():
        if _natural_width(console, table) <= console.width:
            break
        left_out = (*left_out, column)
        table = run_table(comparison, left_out)
    if left_out:
        table.caption = Text(f"no room here for: {', '.join(left_out)}; --json has them", justify="left")
    return table


def run_table(comparison: Comparison, left_out: Collection[str] = ()) -> Table:
    """One line a run, in the order in which they were given."""
    table = new_table()
    cells = {heading: cell for heading, cell in _cells(comparison).items() if heading not in left_out}
    for heading in cells:
        words = heading in ("run", "method", "student")
        table.add_column(heading, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for run in comparison.runs:
        table.add_row(*(cell(run) for cell in cells.values()))
    return table


def _cells(comparison: Comparison) -> dict[str, Callable[[RunRecord], Text]]:
    return {
        "run": lambda run: Text(run.label),
        "method": lambda run: Text(run.method_in_words),
        "student": lambda run: Text(run.student),
        "seed": lambda run: Text(str(run.seed)),
        "epochs": lambda run: Text(str(run.epochs)),
        "last": lambda run: Text(percent(run.test_accuracy), style="bold"),
        "best": lambda run: Text(percent(run.best_test_accuracy)),
        "rows trained": lambda run: Text(f"{run.rows_trained:,}"),
        "kept": lambda run: Text(kept(run.kept_fraction)),
        "time": lambda run: Text(duration(run.seconds)),
        "store": lambda run: Text(comparison.store_letter(run) or NOTHING),
    }


def group_table(comparison: Comparison) -> Table:
    """One line for the runs that differ only by seed, means over them; the best mean is marked with a star."""
    table = new_table()
    table.add_column("experiment", overflow="fold")
    for heading in ("n", "last", "", "best epoch", "samples", "steps", "store read", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for group in comparison.groups:
        best = group in comparison.best
        table.add_row(
            Text(group.label, style="bold" if best else ""),
            str(len(group.runs)),
            Text(mean_and_spread(group.mean, group.deviation), style="bold" if best else ""),
            "★" if best else "",
            percent(group.mean_best),
            rounded(group.mean_samples),
            rounded(group.mean_steps),
            NOTHING if group.mean_bytes_read is None else human_bytes(round(group.mean_bytes_read)),
            duration(group.mean_seconds),
        )
    return table


def store_line(store: StoreUse) -> str:
    """What the store cost, whose cost it was, and whether it has paid for itself."""
    cost = store.economics
    start = f"Store {store.letter} ({store.facts['path']}): {duration(cost.seconds)} of teacher"
    if cost.share is None:
        return f"{start}; {saving(store)}."
    live = sum(cost.live_seconds) / cost.students
    return (
        f"{start} over {count(cost.students, 'student')} = {duration(cost.share)} each; a live teacher would have cost "
        f"{duration(live)} each (estimated); {saving(store)}."
    )


def new_table() -> Table:
    """An empty table in the style of this program."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def print_table(table: Table) -> None:
    """To standard output: as wide as the terminal, or as the table where a file or a pipe takes it."""
    console = Console(highlight=False)
    if not console.is_terminal:  # else rich cuts to 80 columns, and a machine or a log gets half of each line
        console = Console(highlight=False, width=ROOMY)
    console.print(table)


def _natural_width(console: Console, table: Table) -> int:
    """Characters that `table` takes when nothing is cut or folded."""
    return Measurement.get(console, console.options.update(width=ROOMY), table).maximum


def print_line(text: str, style: str = "") -> None:
    """One line to standard output, wrapped by the terminal only."""
    Console(highlight=False).print(Text(text, style=style), soft_wrap=True)
