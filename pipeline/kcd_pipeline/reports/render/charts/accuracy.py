"""Charts of the test accuracy of arms: after the last epoch, against cost, and by epoch."""

from collections.abc import Sequence

from kcd_pipeline.reports.collect import RunRecord, UnfinishedRun
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.render.charts.chart import Chart, Numbers
from kcd_pipeline.reports.render.charts.series import going_on, mean_and_ends
from kcd_pipeline.reports.render.charts.spec import (
    NAME,
    SWITCHED,
    Look,
    Part,
    Rows,
    across,
    band,
    band_words,
    end,
    epochs,
    hints,
    interval_text,
    measured,
    overlay,
)
from kcd_pipeline.reports.render.charts.texts import interval_cell, percentage
from kcd_pipeline.reports.wording import counted

ARM_HEIGHT = 34  # pixels: a name and, below it, its points
ACCURACY = "test accuracy (%)"
INTERVAL = interval_text("accuracy_low", "accuracy_high", 2)
HINTS = (("accuracy", "mean test accuracy (%)"), ("interval", "95% interval"), ("seeds", "seeds"))


def accuracy_of_arms(arms: Sequence[Arm], ahead: Arm | None) -> Chart:
    """Chart the mean test accuracy of each arm after its last epoch, its 95% interval, and each of its runs.

    Parameters
    ----------
    arms
        The arms, in the order of the report; the chart has them by accuracy.
    ahead
        The arm that is ahead of every other, if there is one.
    """
    rows = results(arms)
    runs: Rows = [
        {"arm": number, "seed": run.seed, "accuracy": round(100 * run.test_accuracy, 2)}
        for number, arm in enumerate(arms)
        for run in arm.runs
    ]
    order = sorted(range(len(arms)), key=lambda number: -arms[number].mean_accuracy)
    look, x = Look(arms), across("accuracy", ACCURACY)
    y: Part = {"field": "arm", "type": "nominal", "sort": order, "axis": None}
    one: Part = {"x": x, "y": y, "color": look.colour}
    layers: list[Part] = [
        {
            "mark": {"type": "text", "align": "left", "baseline": "bottom", "dy": -6},
            "transform": [NAME],
            "encoding": {"x": {"value": 0}, "y": y, "text": {"field": "name"}},
        },
        {
            "data": {"name": "runs"},
            "mark": {"type": "tick", "thickness": 2, "size": 10, "opacity": 0.55, "yOffset": 5},
            "transform": [SWITCHED, NAME],
            "encoding": one | {"tooltip": hints((("name", "arm"), ("seed", "seed"), ("accuracy", ACCURACY)))},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 2, "yOffset": 5},
            "encoding": {"x": x | {"field": "accuracy_low"}, "x2": end("accuracy_high"), "y": y, "color": look.colour},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1, "yOffset": 5},
            "transform": [NAME, INTERVAL],
            "encoding": one | {"shape": look.shape, "tooltip": hints((("name", "arm"), *HINTS))},
        },
    ]
    best, last = arms[order[0]], arms[order[-1]]
    finding = f"{best.name} has a mean test accuracy of {percentage(best)} after the last epoch."
    if len(arms) > 1:
        order_words = "it is ahead of every other arm" if ahead is best else "no arm is ahead of every other"
        finding = (
            f"After the last epoch, {best.name} has the highest mean test accuracy of {len(arms)} arms, "
            f"{percentage(best)}, and {last.name} the lowest, {percentage(last)}; {order_words}."
        )
    return Chart(
        name="accuracy-arms",
        heading="Accuracy after the last epoch",
        finding=finding,
        spec=overlay(layers, arms, {"results": rows, "runs": runs}, height={"step": ARM_HEIGHT}),
        numbers=Numbers(
            headings=("arm", ACCURACY, "95% interval", "seeds"),
            rows=tuple(_result_cells(arms, rows[number]) for number in order),
        ),
    )


def results(arms: Sequence[Arm]) -> Rows:
    """Return a row for each arm: `accuracy` in percent, `rows` and `seconds`, means over its runs with their intervals.

    An arm that is taught by labels alone has its samples as rows.
    """
    return [
        {"arm": number, "seeds": len(arm.runs)}
        | mean_and_ends("accuracy", [100 * run.test_accuracy for run in arm.runs], digits=2)
        | mean_and_ends("rows", [run.rows_trained or run.samples_trained for run in arm.runs], digits=0)
        | mean_and_ends("seconds", [run.seconds for run in arm.runs], digits=1)
        for number, arm in enumerate(arms)
    ]


def _result_cells(arms: Sequence[Arm], row: dict[str, float]) -> tuple[str, ...]:
    cells = (f"{row['accuracy']:.2f}", interval_cell(row, "accuracy", 2), f"{row['seeds']}")
    return (arms[int(row["arm"])].name, *cells)


def accuracy_by_epoch(
    arms: Sequence[Arm], courses: Rows, teacher: float | None, unfinished: Sequence[UnfinishedRun]
) -> Chart:
    """Chart the mean accuracy after each epoch with its 95% interval, and runs that are not finished.

    It is that on the images by which the best epoch is chosen: the test set, or validation images.

    Parameters
    ----------
    arms, courses
        The arms, and their rows as `by_epoch` returns them.
    teacher
        The teacher's test accuracy, 0..1, if all runs share one.
    unfinished
        Runs that are drawn one by one, in grey.
    """
    chosen_by = _chosen_by(arms, unfinished)
    title = f"{chosen_by} accuracy (%)"
    layers = lines_with_bands(arms, "accuracy", title, digits=2)
    datasets: dict[str, Rows] = {"epochs": courses}
    if any(run.metrics for run in unfinished):
        datasets["going-on"] = going_on(unfinished)
        layers.append(_unfinished_lines(title))
    if teacher is not None:
        on_test = "" if chosen_by == "test" else " on the test set"
        datasets["teacher"] = [{"accuracy": round(100 * teacher, 2), "text": f"teacher{on_test}, {100 * teacher:.2f}%"}]
        layers += _teacher_line()
    return Chart(
        name="accuracy-epoch",
        heading="Accuracy by epoch",
        finding=_course_finding(arms, teacher, unfinished, chosen_by),
        spec=overlay(layers, arms, datasets),
        numbers=Numbers(
            headings=("arm", "epoch", title, "95% interval", "seeds"),
            rows=tuple(
                (
                    arms[row["arm"]].name, str(row["epoch"]), f"{row['accuracy']:.2f}",
                    interval_cell(row, "accuracy", 2), str(row["seeds"]),
                )
                for row in courses
            )
            + tuple(
                (f"{row['run']} (not finished)", str(row["epoch"]), f"{row['accuracy']:.2f}", "–", "1")
                for row in datasets.get("going-on", [])
            ),
        ),
    )  # fmt: skip


def lines_with_bands(arms: Sequence[Arm], field: str, title: str, *, digits: int) -> list[Part]:
    """Return the layers of a mean by epoch: a band for its interval, a line, and points with what is pointed at."""
    look, x, y = Look(arms), epochs(), measured(field, title)
    seen = ((field, title), ("interval", "95% interval"), ("seeds", "seeds"))
    valid = {"filter": f"isValid(datum.{field})"}
    return [
        {
            "mark": band(0.15, arms),
            "transform": [{"filter": f"isValid(datum.{field}_low)"}],
            "encoding": {"x": x, "y": y | {"field": f"{field}_low"}, "y2": end(f"{field}_high"), "color": look.colour},
        },
        {
            "mark": "line",
            "transform": [valid],
            "encoding": {"x": x, "y": y, "color": look.colour, "strokeDash": look.dash},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 50},
            "transform": [valid, NAME, interval_text(f"{field}_low", f"{field}_high", digits)],
            "encoding": {
                "x": x, "y": y, "color": look.colour, "shape": look.shape, "opacity": few_marks(),
                "tooltip": hints((("name", "arm"), ("epoch", "epoch"), *seen)),
            },
        },
    ]  # fmt: skip


def few_marks() -> Part:
    """Return an opacity that shows only the points that are `marked`; all of them can be pointed at."""
    return {"condition": {"test": "datum.marked", "value": 1}, "value": 0}


def _chosen_by(arms: Sequence[Arm], unfinished: Sequence[UnfinishedRun]) -> str:
    """Return `test`, `validation` or, where runs differ, both: the images that curves are of."""
    runs: list[RunRecord | UnfinishedRun] = [run for arm in arms for run in arm.runs]
    runs += [run for run in unfinished if run.metrics]
    return " or ".join(sorted({run.chosen_by for run in runs})) or "test"


def _unfinished_lines(title: str) -> Part:
    return {
        "data": {"name": "going-on"},
        "mark": {"type": "line", "point": {"size": 30}, "strokeWidth": 1, "style": "quiet"},
        "encoding": {
            "x": epochs(), "y": measured("accuracy", title), "detail": {"field": "run", "type": "nominal"},
            "tooltip": hints((("run", "not finished"), ("epoch", "epoch"), ("accuracy", title))),
        },
    }  # fmt: skip


def _teacher_line() -> list[Part]:
    y = {"field": "accuracy", "type": "quantitative"}
    return [
        {"data": {"name": "teacher"}, "mark": {"type": "rule", "strokeDash": [2, 2]}, "encoding": {"y": y}},
        {
            "data": {"name": "teacher"},
            "mark": {"type": "text", "align": "left", "baseline": "bottom", "dx": 4, "dy": -2},
            "encoding": {"x": {"value": 0}, "y": y, "text": {"field": "text"}},
        },
    ]


def _course_finding(
    arms: Sequence[Arm], teacher: float | None, unfinished: Sequence[UnfinishedRun], chosen_by: str
) -> str:
    going = [run for run in unfinished if run.metrics]
    if not arms:
        return f"{chosen_by.capitalize()} accuracy by epoch of {counted(len(going), 'run')} not finished."
    best = max(arms, key=lambda arm: arm.mean_accuracy)
    bands = f"with bands for 95% intervals over seeds{band_words(arms)}"
    seeds = bands if any(len(arm.runs) > 1 for arm in arms) else "one seed each"
    words = [f"{chosen_by.capitalize()} accuracy by epoch of {counted(len(arms), 'arm')}, {seeds}"]
    of_test = "" if chosen_by == "test" else "on the test set, "
    words.append(f"{of_test}{best.name} ends with the highest mean, {percentage(best)}")
    if teacher is not None:
        words.append(f"the teacher has {100 * teacher:.1f}%")
    if going:
        words.append(f"{counted(len(going), 'run')} not finished drawn in grey")
    return f"{'; '.join(words)}."
