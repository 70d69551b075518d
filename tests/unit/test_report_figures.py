"""Inline SVG: nothing shared between figures, nothing loaded, the same bytes for the same runs."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from kcd_pipeline.config import value_words
from kcd_pipeline.report.collect import RunRecord
from kcd_pipeline.report.collect.values import StageValues
from kcd_pipeline.report.compute.arms import Arm
from kcd_pipeline.report.render import figures


def arm(label: str, *, method: str, epochs: int = 8, seeds: int = 1) -> Arm:
    summary = {
        "method": method,
        "student": "resnet8",
        "seed": 0,
        "epochs": epochs,
        "test_accuracy": 0.9,
        "best_test_accuracy": 0.9,
        "rows_trained": 0 if method == "none" else 10 * epochs,
        "samples_trained": 10 * epochs,
        "kept_fraction": [1.0],
        "seconds": 1.0,
        "dataset": {"test_fingerprint": "t"},
        "store": None,
    }
    metrics = [
        {"test_accuracy": 0.5 + 0.01 * epoch, "rows": 10, "samples": 10, "kept_fraction": 1 - 0.1 * (epoch // 4)}
        for epoch in range(epochs)
    ]
    run = RunRecord(label=label, path=Path(label), config={}, summary=summary, metrics=metrics)
    return Arm(name=label, runs=(run,) * seeds)


ARMS = [arm("kcd resnet8", method="kcd", seeds=2), arm("none $resnet8$ <b>", method="none")]
STAGES = [
    [
        StageValues(
            stage=stage, epochs=(1, 4), visited=10, never_visited=0, mean=0.2, quantiles=(0.1, 0.2, 0.3, 0.4, 0.5)
        )
        for stage in range(2)
    ]
] * 2
VALUES = [np.array([0.5, 0.1, np.nan, 2.0]), np.array([-3.0, -0.5, 0.25, np.nan])]
MEASURES = [value_words("entropy"), value_words("aum")]


def all_figures() -> list[str]:
    return [
        figures.accuracy_by_epoch(ARMS, 0.99),
        figures.accuracy_by_rows(ARMS, None),
        figures.kept_by_stage(ARMS),
        figures.values_by_stage(ARMS, STAGES, MEASURES),
        figures.values_at_the_end(ARMS, VALUES, MEASURES),
    ]


def test_figures_are_whole_share_no_id_and_load_nothing() -> None:
    ids: list[str] = []
    for svg in all_figures():
        root = ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        own = re.findall(r'\bid="([^"]+)"', svg)
        used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        assert used
        assert {one or other for one, other in used} <= set(own)
        assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]+"', "", svg)
        assert "<style" not in svg
        ids += own
    assert len(ids) == len(set(ids))


def test_the_same_runs_give_the_same_bytes() -> None:
    assert all_figures() == all_figures()


def test_the_same_student_and_method_share_a_colour_and_differ_in_dashes() -> None:
    styles = figures.line_styles([*ARMS, arm("kcd resnet8 (lr=0.1)", method="kcd")])
    assert styles[0].colour == styles[2].colour != styles[1].colour
    assert styles[0].dash != styles[2].dash


@pytest.mark.parametrize("number", [1, 30])
def test_one_run_or_many(number: int) -> None:
    many = [arm(f"kcd resnet8 (lr={index})", method="kcd", epochs=1) for index in range(number)]
    svg = figures.accuracy_by_epoch(many, None)
    height = float(re.findall(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)[0])
    assert height >= 72 * (3.4 + 0.21 * number / 5)  # the figure grows with the lines of its legend


def test_more_kinds_than_colours_still_look_different() -> None:
    many = [arm(f"{method} resnet8", method=method) for method in map(str, range(len(figures.COLOURS) + 1))]
    assert len({(style.colour, style.dash) for style in figures.line_styles(many)}) == len(many)


def test_values_of_one_measure_share_an_axis_and_values_of_two_do_not() -> None:
    """An axis is named once for all panels that share it, and on each panel where the measures differ."""
    same = figures.values_by_stage(ARMS, STAGES, [MEASURES[0]] * 2)
    different = figures.values_by_stage(ARMS, STAGES, MEASURES)
    assert same.count("value V (entropy, nats)") == 1
    assert (different.count("value V (entropy, nats)"), different.count("value V (aum)")) == (1, 1)
    ends = figures.values_at_the_end(ARMS, VALUES, MEASURES)
    assert (ends.count("value V (entropy, nats)"), ends.count("value V (aum)")) == (1, 1)


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ([[0.0, 2.0]], (0, 0.99 * 2)),
        ([[-1.0, 0.0]], (-0.99, 0)),  # the first percentile of -1 and 0
        ([[-1.0, 1.0]], (-0.98, 0.98)),
        ([[0.0, 0.0]], (0, 1)),
        ([[float("nan")]], (0, 1)),
    ],
)
def test_bins_begin_and_end_where_the_values_do(values: list[list[float]], edges: tuple[float, float]) -> None:
    found = figures._bins([np.array(value) for value in values])
    assert (found[0], found[-1]) == pytest.approx(edges)
