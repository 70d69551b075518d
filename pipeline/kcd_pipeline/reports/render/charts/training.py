"""Charts of the training: its loss by epoch, and the share of the samples that was taught."""

from collections.abc import Sequence

import numpy as np

from kcd_pipeline.reports.collect.details import RunDetails
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.render.charts.accuracy import few_marks, lines_with_bands
from kcd_pipeline.reports.render.charts.chart import Chart, Choice, Numbers
from kcd_pipeline.reports.render.charts.heat import heat_cells
from kcd_pipeline.reports.render.charts.series import spread
from kcd_pipeline.reports.render.charts.spec import (
    NAME,
    Look,
    Part,
    Rows,
    epochs,
    hints,
    measured,
    one_arm,
    overlay,
)
from kcd_pipeline.reports.render.charts.texts import interval_cell

MOST_STAGES = 24  # columns of a chart
CLASS_HEIGHT = 22  # pixels
LOSS = "mean training loss"
TAUGHT = "samples taught (%)"


def loss_by_epoch(arms: Sequence[Arm], courses: Rows) -> Chart:
    """Chart the mean training loss of each epoch with its 95% interval."""
    rows = [row for row in courses if "loss" in row]
    ends = {row["arm"]: row["loss"] for row in rows}
    low, high = min(ends, key=lambda arm: ends[arm]), max(ends, key=lambda arm: ends[arm])
    finding = f"{arms[low].name} ends with a mean training loss of {ends[low]:.3g}."
    if low != high:
        finding = (
            f"Training loss by epoch: in the last one, it is lowest for {arms[low].name} ({ends[low]:.3g}) and highest "
            f"for {arms[high].name} ({ends[high]:.3g}). Losses that are made of different terms cannot be compared."
        )
    return Chart(
        name="loss-epoch",
        heading="Training loss by epoch",
        finding=finding,
        spec=overlay(lines_with_bands(arms, "loss", LOSS, digits=4), arms, {"epochs": courses}),
        numbers=Numbers(
            headings=("arm", "epoch", LOSS, "95% interval", "seeds"),
            rows=tuple(
                (
                    arms[row["arm"]].name, str(row["epoch"]), f"{row['loss']:.4f}", interval_cell(row, "loss", 4),
                    str(row["seeds"]),
                )
                for row in rows
            ),
        ),
    )  # fmt: skip


def kept_by_epoch(arms: Sequence[Arm], courses: Rows) -> Chart:
    """Chart the share of the training samples that is taught in each epoch, which changes where a stage begins."""
    look, x, y = Look(arms), epochs(), measured("kept", TAUGHT, zero=True)
    layers: list[Part] = [
        {
            "mark": {"type": "line", "interpolate": "step"},
            "encoding": {"x": x, "y": y, "color": look.colour, "strokeDash": look.dash},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 50},
            "transform": [NAME],
            "encoding": {
                "x": x, "y": y, "color": look.colour, "shape": look.shape, "opacity": few_marks(),
                "tooltip": hints((("name", "arm"), ("epoch", "epoch"), ("kept", TAUGHT), ("seeds", "seeds"))),
            },
        },
    ]  # fmt: skip
    last = {row["arm"]: row["kept"] for row in courses}
    least = min(last, key=lambda arm: last[arm])
    if last[least] < 100:
        whole = sum(kept >= 100 for kept in last.values())
        finding = f"In the last epoch, {arms[least].name} is taught the fewest samples, {last[least]:.0f}%"
        finding += f"; {whole} of {len(arms)} arms are taught all of them." if whole else "."
    else:
        finding = "In the last epoch, every arm is taught all samples."
    return Chart(
        name="kept-epoch",
        heading="Share of the samples taught",
        finding=finding,
        spec=overlay(layers, arms, {"epochs": courses}, height=260),
        numbers=Numbers(
            headings=("arm", "epoch", TAUGHT),
            rows=tuple((arms[row["arm"]].name, str(row["epoch"]), f"{row['kept']:.2f}") for row in courses),
        ),
    )


def kept_by_class(arms: Sequence[Arm], details: Sequence[RunDetails]) -> Chart | None:
    """Chart the share of each class that the stages of an arm's first run kept; None if no arm dropped any sample."""
    rows: Rows = []
    choices = []
    for number, (arm, found) in enumerate(zip(arms, details, strict=True)):
        kept = found.kept_by_class
        if kept is None or not np.nanmin(kept, initial=1.0) < 1:
            continue
        choices.append(Choice(number=number, name=arm.name, finding=_class_finding(arm, kept, found.classes)))
        rows += [
            {"arm": number, "stage": stage + 1, "class": name, "share": round(100 * float(share), 1)}
            for stage in spread(len(kept), MOST_STAGES)
            for name, share in zip(found.classes, kept[stage], strict=True)
            if not np.isnan(share)
        ]
    if not choices:
        return None
    classes = list(dict.fromkeys(row["class"] for row in rows))
    x = {"field": "stage", "type": "ordinal", "title": "stage", "axis": {"labelAngle": 0}}
    y = {"field": "class", "type": "nominal", "title": None, "sort": classes}
    seen = hints((("class", "class"), ("stage", "stage"), ("share", "kept (%)")))
    columns = len({row["stage"] for row in rows})
    layers = heat_cells(x, y, seen, legend="kept (%)", texts=columns <= MOST_STAGES // 2)
    return Chart(
        name="kept-class",
        heading="Share of each class kept, by stage",
        finding=choices[0].finding,
        spec=one_arm(layers, arms, {"kept-class": rows}, first=choices[0].number, height={"step": CLASS_HEIGHT}),
        numbers=Numbers(
            headings=("arm", "stage", "class", "kept (%)"),
            rows=tuple((arms[row["arm"]].name, str(row["stage"]), row["class"], f"{row['share']:.1f}") for row in rows),
        ),
        choices=tuple(choices),
    )


def _class_finding(arm: Arm, kept: np.ndarray, classes: Sequence[str]) -> str:
    stage = int(np.nanmean(kept, axis=1).argmin())  # the one that keeps the fewest
    share = kept[stage]
    low, high = int(np.nanargmin(share)), int(np.nanargmax(share))
    return (
        f"{arm.name}, seed {arm.first.seed}: stage {stage + 1}, which keeps the fewest samples, keeps the least of "
        f"{classes[low]}, {100 * share[low]:.0f}%, and the most of {classes[high]}, {100 * share[high]:.0f}%."
    )
