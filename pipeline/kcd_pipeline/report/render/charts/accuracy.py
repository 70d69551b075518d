"""Charts of the test accuracy of arms."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from kcd_pipeline.report.compute.arms import Arm
from kcd_pipeline.report.render.charts.chart import Chart, Numbers
from kcd_pipeline.report.render.charts.spec import arm_colour, arm_dash, arm_shape, measured, shown, specification
from kcd_pipeline.report.wording import counted


def accuracy_by_epoch(arms: Sequence[Arm], teacher: float | None) -> Chart:
    """Chart the mean test accuracy after each epoch, and that of the `teacher`, 0..1, if all runs share one."""
    rows: list[dict[str, Any]] = []
    for number, arm in enumerate(arms):
        for epoch, lines in enumerate(zip(*(run.metrics for run in arm.runs), strict=True), start=1):
            mean = 100 * fmean(line["test_accuracy"] for line in lines)
            rows.append({"arm": number, "epoch": epoch, "accuracy": round(mean, 2)})
    colour = arm_colour(len(arms))
    names = [{"arm": number, "name": arm.name} for number, arm in enumerate(arms)]
    x = measured("epoch", "epoch")
    y = measured("accuracy", "test accuracy (%)")
    lookup = [{"lookup": "arm", "from": {"data": {"name": "arms"}, "key": "arm", "fields": ["name"]}}]
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "line"}, "encoding": {"x": x, "y": y, "color": colour, "strokeDash": arm_dash(len(arms))}},
        {
            "mark": {"type": "point", "filled": True, "size": 36},
            "transform": lookup,
            "encoding": {
                "x": x, "y": y, "color": colour, "shape": arm_shape(len(arms)),
                "tooltip": shown(name="arm", epoch="epoch", accuracy="test accuracy (%)"),
            },
        },
    ]  # fmt: skip
    if teacher is not None:
        layers.append(
            {
                "data": {"values": [{"y": round(100 * teacher, 2)}]},
                "mark": "rule",
                "encoding": {"y": {"field": "y", "type": "quantitative"}},
            }
        )
    best = max(arms, key=lambda arm: arm.mean_accuracy)
    return Chart(
        name="accuracy-epoch",
        heading="Accuracy by epoch",
        finding=(
            f"Test accuracy of {counted(len(arms), 'arm')} after each epoch; after the last one, {best.name} has the "
            f"highest mean, {100 * best.mean_accuracy:.1f}%."
        ),
        spec=specification(layers, {"arms": names, "by-epoch": rows}, main="by-epoch"),
        numbers=Numbers(
            headings=("arm", "epoch", "test accuracy (%)"),
            rows=tuple((arms[row["arm"]].name, str(row["epoch"]), f"{row['accuracy']:.2f}") for row in rows),
        ),
    )
