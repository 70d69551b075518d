"""Charts of the test accuracy against what it cost, with the efficient frontier."""

from collections.abc import Sequence

from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.render.charts.accuracy import ACCURACY, HINTS, INTERVAL
from kcd_pipeline.reports.render.charts.chart import Chart, Numbers
from kcd_pipeline.reports.render.charts.spec import (
    NAME,
    Look,
    Part,
    Rows,
    across,
    end,
    hints,
    interval_text,
    measured,
    overlay,
)
from kcd_pipeline.reports.render.charts.texts import interval_cell
from kcd_pipeline.reports.wording import duration, listing

MOST_NAMED = 5  # efficient arms in a sentence


def frontier(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Return the places of the efficient arms, in ascending order of cost.

    An arm is efficient if no other is at least as accurate for at most its cost, and better in one of both (Pareto
    optimality). Of arms that are equal in both, the first is taken.
    """
    order = sorted(range(len(costs)), key=lambda place: (costs[place], -accuracies[place], place))
    found: list[int] = []
    for place in order:
        if not found or accuracies[place] > accuracies[found[-1]]:
            found.append(place)
    return found


def accuracy_against_rows(arms: Sequence[Arm], results: Rows) -> Chart:
    """Chart the accuracy against the rows that an arm was trained on; samples for arms taught by labels alone."""
    return _against("rows", "Accuracy against rows", "rows trained on", arms, results)


def accuracy_against_seconds(arms: Sequence[Arm], results: Rows) -> Chart:
    """Chart the accuracy against the time of training."""
    return _against("seconds", "Accuracy against time", "seconds of training", arms, results)


def _against(field: str, heading: str, title: str, arms: Sequence[Arm], results: Rows) -> Chart:
    efficient = frontier([row[field] for row in results], [row["accuracy"] for row in results])
    line = [{key: results[number][key] for key in ("arm", "accuracy", field)} for number in efficient]
    look, y = Look(arms), measured("accuracy", ACCURACY)
    x = across(field, title, format="~s" if field == "rows" else ",d", labelFlush=True)
    cost_text = interval_text(f"{field}_low", f"{field}_high", 0) | {"as": "cost_interval"}
    seen = (("name", "arm"), *HINTS, (field, title), ("cost_interval", "95% interval of the cost"))
    layers: list[Part] = [
        {
            "data": {"name": f"frontier-{field}"},
            "mark": {"type": "line", "interpolate": "step-after", "style": "quiet", "strokeDash": [4, 3]},
            "encoding": {"x": x, "y": y},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 1.5},
            "transform": [{"filter": "isValid(datum.accuracy_low)"}],
            "encoding": {"x": x, "y": y | {"field": "accuracy_low"}, "y2": end("accuracy_high"), "color": look.colour},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 1.5},
            "transform": [{"filter": f"isValid(datum.{field}_low)"}],
            "encoding": {"x": x | {"field": f"{field}_low"}, "x2": end(f"{field}_high"), "y": y, "color": look.colour},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
            "transform": [NAME, INTERVAL, cost_text],
            "encoding": {"x": x, "y": y, "color": look.colour, "shape": look.shape, "tooltip": hints(seen)},
        },
    ]
    return Chart(
        name=f"accuracy-{field}",
        heading=heading,
        finding=_finding(field, arms, results, efficient),
        spec=overlay(layers, arms, {"results": results, f"frontier-{field}": line}),
        numbers=Numbers(
            headings=("arm", title, "95% interval of the cost", ACCURACY, "95% interval", "efficient"),
            rows=tuple(
                (
                    arms[number].name,
                    f"{row[field]:,.0f}",
                    interval_cell(row, field, 0),
                    f"{row['accuracy']:.2f}",
                    interval_cell(row, "accuracy", 2),
                    "yes" if number in efficient else "no",
                )
                for number, row in enumerate(results)
            ),
        ),
    )


def _finding(field: str, arms: Sequence[Arm], results: Rows, efficient: Sequence[int]) -> str:
    def words(number: int) -> str:
        row = results[number]
        cost = f"{row['rows']:,.0f} rows" if field == "rows" else duration(row["seconds"])
        return f"{arms[number].name} ({row['accuracy']:.1f}%, {cost})"

    alone = [arm.name for arm in arms if not arm.first.taught]
    samples = (
        f" For {listing(alone)}, taught by labels alone, samples count as rows." if alone and field == "rows" else ""
    )
    named = listing([words(number) for number in efficient], most=MOST_NAMED)
    cost = "rows" if field == "rows" else "time"
    if len(efficient) == 1:
        few = f"{named} is the most accurate arm and needs the least {cost}." if len(arms) > 1 else f"{named}."
        return f"{few}{samples}"
    return f"On the efficient frontier, by mean accuracy and {cost}, are {named}; the dashed line joins them.{samples}"
