"""Charts of the results on the test set, class by class: accuracy of each class, and confusion of a chosen run."""

from collections.abc import Sequence

import numpy as np

from kcd_pipeline.reports.collect.details import RunDetails
from kcd_pipeline.reports.collect.outcomes import Outcome
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.render.charts.chart import Chart, Choice, Numbers
from kcd_pipeline.reports.render.charts.heat import heat_cells
from kcd_pipeline.reports.render.charts.series import MOST_POINTS
from kcd_pipeline.reports.render.charts.spec import NAME, Look, Part, Rows, across, hints, one_arm, overlay
from kcd_pipeline.reports.wording import listing

CLASS_HEIGHT = 22  # pixels
MOST_CELLS = 30_000  # of all confusions together, so that a page of many runs stays small
MOST_WITH_TEXTS = 12  # classes; the cells of more have no room for a number


def outcomes_charts(arms: Sequence[Arm], details: Sequence[RunDetails]) -> list[Chart]:
    """Return the charts of those arms whose first run kept its predictions; none if no arm has them."""
    outcomes = {number: each.outcome for number, each in enumerate(details) if each.outcome is not None}
    if not outcomes:
        return []
    names = {outcome.classes for outcome in outcomes.values()}
    by_class = [_accuracy_by_class(arms, outcomes)] if len(names) == 1 else []  # classes of one data set
    return [*by_class, _confusion(arms, outcomes)]


def _accuracy_by_class(arms: Sequence[Arm], outcomes: dict[int, Outcome]) -> Chart:
    classes = next(iter(outcomes.values())).classes
    means = np.mean([outcome.per_class for outcome in outcomes.values()], axis=0)
    tested = [place for place in np.argsort(means, kind="stable") if not np.isnan(means[place])]
    shown = tested[: max(1, MOST_POINTS // len(outcomes))]  # the hardest, if they are too many
    rows: Rows = [
        {"arm": number, "class": classes[place], "accuracy": round(100 * float(outcome.per_class[place]), 1)}
        for number, outcome in outcomes.items()
        for place in shown
    ]
    look, x = Look(arms), across("accuracy", "test accuracy of the class (%)")
    y = {"field": "class", "type": "nominal", "title": None, "sort": [classes[place] for place in shown]}
    seen = (("name", "arm"), ("class", "class"), ("accuracy", "test accuracy (%)"))
    layers: list[Part] = [
        {
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.85},
            "transform": [NAME],
            "encoding": {
                "x": x, "y": y | {"axis": {"grid": True}}, "color": look.colour, "shape": look.shape,
                "tooltip": hints(seen),
            },
        }
    ]  # fmt: skip
    hard, easy = tested[0], tested[-1]
    part = "" if len(shown) == len(tested) else f" Only the {len(shown)} hardest of {len(tested)} classes are shown."
    return Chart(
        name="class-accuracy",
        heading="Accuracy by class",
        finding=(
            f"Averaged over the first runs of {listing([arms[number].name for number in outcomes], most=3)}, "
            f"{classes[hard]} is the hardest class ({100 * means[hard]:.0f}% right) and {classes[easy]} the easiest "
            f"({100 * means[easy]:.0f}%).{part}"
        ),
        spec=overlay(layers, arms, {"class-accuracy": rows}, height={"step": CLASS_HEIGHT}),
        numbers=Numbers(
            headings=("arm", "class", "test accuracy (%)"),
            rows=tuple((arms[row["arm"]].name, row["class"], f"{row['accuracy']:.1f}") for row in rows),
        ),
    )


def _confusion(arms: Sequence[Arm], outcomes: dict[int, Outcome]) -> Chart:
    rows: Rows = []
    choices: list[Choice] = []
    for number, outcome in outcomes.items():
        # where cells have texts, those without an image are 0; elsewhere, the ground is coloured as a cell of 0
        least = 0 if len(outcome.classes) <= MOST_WITH_TEXTS else 1
        images = outcome.confusion.sum(axis=1)
        cells = np.argwhere((outcome.confusion >= least) & (images[:, np.newaxis] > 0))
        if choices and len(rows) + len(cells) > MOST_CELLS:
            break
        choices.append(Choice(number=number, name=arms[number].name, finding=_mix_up(arms[number], outcome)))
        rows += [
            {
                "arm": number,
                "true": outcome.classes[true],
                "found": outcome.classes[found],
                "images": int(outcome.confusion[true, found]),
                "share": round(100 * float(outcome.confusion[true, found] / images[true]), 1),
            }
            for true, found in cells
        ]
    classes = list(outcomes[choices[0].number].classes)
    x = {
        "field": "found", "type": "nominal", "title": "class found", "sort": classes,
        "axis": {"labelAngle": -90, "labelOverlap": True},
    }  # fmt: skip
    y = {"field": "true", "type": "nominal", "title": "true class", "sort": classes}
    seen = (("true", "true class"), ("found", "class found"), ("images", "images"), ("share", "of the class (%)"))
    layers = heat_cells(x, y, hints(seen), legend="of the true class (%)", texts=len(classes) <= MOST_WITH_TEXTS)
    step = CLASS_HEIGHT if len(classes) <= MOST_WITH_TEXTS else CLASS_HEIGHT // 2
    return Chart(
        name="confusion",
        heading="Confusion",
        finding=choices[0].finding,
        spec=one_arm(layers, arms, {"confusion": rows}, first=choices[0].number, height={"step": step}),
        numbers=Numbers(
            headings=("arm", "true class", "class found", "images", "of the true class (%)"),
            rows=tuple(
                (arms[row["arm"]].name, row["true"], row["found"], str(row["images"]), f"{row['share']:.1f}")
                for row in rows
            ),
        ),
        choices=tuple(choices),
    )


def _mix_up(arm: Arm, outcome: Outcome) -> str:
    wrong = outcome.confusion.copy()
    np.fill_diagonal(wrong, 0)
    start = f"{arm.name}, seed {arm.first.seed}: {100 * outcome.accuracy:.1f}% of the test images are found right"
    if not wrong.any():
        return f"{start}."
    true, found = np.unravel_index(wrong.argmax(), wrong.shape)
    return (
        f"{start}; most often, {outcome.classes[true]} is taken for {outcome.classes[found]}, "
        f"{wrong[true, found]} of {outcome.confusion[true].sum()} times."
    )
