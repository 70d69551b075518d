"""Charts of hand-made arms: their numbers, what their sentences say, looks that differ, and data for a page."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kcd_pipeline.reports.collect import RunRecord, UnfinishedRun
from kcd_pipeline.reports.collect.details import RunDetails
from kcd_pipeline.reports.collect.outcomes import Outcome
from kcd_pipeline.reports.collect.samples import ShownSamples
from kcd_pipeline.reports.collect.values import StageValues
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.render.charts import Chart, charts, charts_json, styles
from kcd_pipeline.reports.render.charts.cost import frontier
from kcd_pipeline.reports.render.charts.series import MOST_POINTS, by_epoch, spread
from kcd_pipeline.reports.render.charts.styles import DARK_COLOURS, LIGHT_COLOURS
from kcd_pipeline.reports.render.charts.values import bins
from kcd_pipeline.reports.render.figures_folder import figure_specs, write_figures


def run(label: str, *, seed: int = 0, accuracy: float = 0.5, epochs: int = 2, rows: int = 10) -> RunRecord:
    summary = {
        "method": "kcd" if rows else "none", "student": "resnet8", "seed": seed, "epochs": epochs,
        "test_accuracy": accuracy, "best_test_accuracy": accuracy, "rows_trained": rows * epochs,
        "samples_trained": 12 * epochs, "kept_fraction": [1.0], "seconds": 2.0 * epochs,
        "dataset": {"test_fingerprint": "t"}, "store": None,
    }  # fmt: skip
    metrics = [
        {"test_accuracy": accuracy, "loss": 2.0 / (epoch + 1), "rows": rows, "samples": 12, "kept_fraction": 0.75}
        for epoch in range(epochs)
    ]
    return RunRecord(label=label, path=Path(label), config={}, summary=summary, metrics=metrics)


def details(measure: str = "entropy", *, kept: float = 0.5) -> RunDetails:
    stages = tuple(
        StageValues(
            stage=s, epochs=(s + 1, s + 1), visited=4, never_visited=0, mean=0.2, quantiles=(0.1, 0.2, 0.3, 0.4, 0.5)
        )
        for s in range(2)
    )  # fmt: skip
    outcome = Outcome(
        accuracy=0.6, top5=1.0, per_class=np.array([0.5, 0.75]), confusion=np.array([[1, 1], [1, 3]]),
        classes=("cat", "dog"),
    )  # fmt: skip
    return RunDetails(
        measure=measure, values=np.array([0.1, 0.2, np.nan, 0.4]), stage_values=stages, stage_facts=(),
        samples=ShownSamples(), losses=(2.0, 1.0), outcome=outcome,
        kept_by_class=np.array([[1.0, 1.0], [kept, 0.9]]), classes=("cat", "dog"),
    )  # fmt: skip


KCD = Arm(
    name="kcd <b>", runs=(run("a0", accuracy=0.50), run("a1", seed=1, accuracy=0.52), run("a2", seed=2, accuracy=0.54))
)
NONE = Arm(name="none", runs=(run("n0", accuracy=0.40, rows=0),))


@pytest.fixture(scope="module")
def sixty() -> list[Arm]:
    return [Arm(name=f"</script>{number}", runs=(run(str(number), epochs=100),)) for number in range(60)]


def drawn(
    *arms: Arm, found: list[RunDetails] | None = None, unfinished: tuple[UnfinishedRun, ...] = ()
) -> dict[str, Chart]:
    comparison: Any = SimpleNamespace(arms=arms, best=None, teacher_accuracy=0.8, unfinished=unfinished)
    return {chart.name: chart for chart in charts(comparison, found or [details() for _ in arms])}


def test_the_interval_of_an_arm_is_that_of_its_seeds() -> None:
    """50, 52, 54: mean 52, s = 2, t(2) = 4.3027, so 52 +- 4.3027 * 2 / sqrt(3) = 52 +- 4.97."""
    chart = drawn(KCD, NONE)["accuracy-arms"]
    assert chart.numbers.rows == (("kcd <b>", "52.00", "47.03 to 56.97", "3"), ("none", "40.00", "–", "1"))
    assert "kcd <b> has the highest mean test accuracy of 2 arms, 52.0%" in chart.finding
    assert "no arm is ahead of every other" in chart.finding


def test_all_charts_are_there_and_say_what_is_seen() -> None:
    found = drawn(KCD, NONE)
    assert list(found) == [
        "accuracy-arms", "accuracy-rows", "accuracy-seconds", "accuracy-epoch", "loss-epoch", "kept-epoch",
        "kept-class", "values-stage", "values-end", "class-accuracy", "confusion",
    ]  # fmt: skip
    assert all(chart.finding.endswith(".") and chart.numbers.rows for chart in found.values())
    assert (
        "stage 2, which keeps the fewest samples, keeps the least of cat, 50%, and the most of dog, 90%"
        in found["kept-class"].finding
    )
    assert "most often, cat is taken for dog, 1 of 2 times" in found["confusion"].finding
    assert "cat is the hardest class (50% right)" in found["class-accuracy"].finding


def test_runs_that_lack_something_lack_its_chart_and_a_run_that_goes_on_is_drawn_alone() -> None:
    bare = RunDetails(
        measure="entropy", values=np.full(3, np.nan), stage_values=(), stage_facts=(),
        samples=ShownSamples(problem="gone"),
    )  # fmt: skip
    assert set(drawn(NONE, found=[bare])) == {
        "accuracy-arms", "accuracy-rows", "accuracy-seconds", "accuracy-epoch", "loss-epoch", "kept-epoch",
    }  # fmt: skip
    going = UnfinishedRun(
        label="kd-seed3", path=Path("r"), method_in_words="kd", student="resnet8", seed=3, epochs=9,
        metrics=[{"test_accuracy": 0.25}],
    )  # fmt: skip
    alone = drawn(found=[], unfinished=(going,))
    assert alone["accuracy-epoch"].numbers.rows == (("kd-seed3 (not finished)", "1", "25.00", "–", "1"),)
    assert drawn(found=[]) == {}


def test_measures_of_values_are_chosen_and_not_mixed() -> None:
    chart = drawn(KCD, NONE, found=[details(), details("aum")])["values-stage"]
    assert [choice.name for choice in chart.choices] == ["entropy", "aum"]
    assert {(row["choice"], row["arm"]) for row in chart.spec["datasets"]["values-stage"]} == {(0, 0), (1, 1)}
    assert not drawn(KCD, NONE)["values-stage"].choices


def test_the_frontier_by_hand() -> None:
    """The second is beaten by the first, the fourth is as accurate as the third but dearer, the last two are equal."""
    assert frontier([1, 2, 3, 4, 5, 5], [50, 40, 60, 60, 70, 70]) == [0, 2, 4]
    assert frontier([3, 1], [1, 1]) == [1]


def test_labels_alone_are_charted_by_their_samples() -> None:
    rows = {row[0]: row[1] for row in drawn(KCD, NONE)["accuracy-rows"].numbers.rows}
    assert rows == {"kcd <b>": "20", "none": "24"}


def test_no_two_of_sixty_arms_look_alike_and_the_first_seven_differ_in_colour_and_shape() -> None:
    looks = styles(range(60))
    assert len({(look.colour, look.dash, look.shape) for look in looks}) == 60
    assert len({look.colour for look in looks[:7]}) == len({look.shape for look in looks[:7]}) == 7


@pytest.mark.parametrize(("colours", "page"), [(LIGHT_COLOURS, "#ffffff"), (DARK_COLOURS, "#1a2027")])
def test_colours_stand_out_from_the_page_and_from_each_other(colours: tuple[str, ...], page: str) -> None:
    """Contrast is WCAG's (L1 + 0.05) / (L2 + 0.05), with the relative luminance L of sRGB."""

    def luminance(colour: str) -> float:
        channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    for colour in colours:
        low, high = sorted((luminance(colour), luminance(page)))
        assert (high + 0.05) / (low + 0.05) >= 3, colour
    assert all(one != other for one, other in itertools.combinations(colours, 2))


def test_many_epochs_of_many_arms_are_thinned_and_keep_both_ends(sixty: list[Arm]) -> None:
    rows = by_epoch(sixty)
    assert len(rows) <= MOST_POINTS
    assert {row["epoch"] for row in rows} >= {1, 100}
    assert spread(0, 5) == []
    assert spread(9, 3) == [0, 4, 8]


def test_a_page_of_sixty_runs_has_little_data_and_no_name_ends_its_script(sixty: list[Arm]) -> None:
    text = charts_json(tuple(drawn(*sixty).values()))
    assert len(text) < 600_000
    assert "<" not in text
    page = json.loads(text)
    assert page["datasets"]["arms"]["name"][0] == "</script>0"
    assert set(page["specs"]) == set(page["used"])


@pytest.mark.parametrize(
    ("values", "edges"),
    [([0.0, 2.0], (0, 0.99 * 2)), ([-1.0, 0.0], (-0.99, 0)), ([-1.0, 1.0], (-0.98, 0.98)), ([0.0, 0.0], (0, 1))],
)
def test_bins_begin_and_end_where_the_values_do(values: list[float], edges: tuple[float, float]) -> None:
    found = bins([np.array(values)])
    assert (found[0], found[-1]) == pytest.approx(edges)


def test_a_cell_of_a_confusion_without_images_is_0() -> None:
    """No cat of two is taken for a dog; with many classes, such cells are left to the ground of the chart."""
    outcome = details().outcome
    assert outcome is not None
    clear = replace(outcome, confusion=np.array([[2, 0], [1, 3]]))
    rows = drawn(KCD, found=[replace(details(), outcome=clear)])["confusion"].spec["datasets"]["confusion"]
    assert [(row["true"], row["found"], row["share"]) for row in rows] == [
        ("cat", "cat", 100.0), ("cat", "dog", 0.0), ("dog", "cat", 25.0), ("dog", "dog", 75.0),
    ]  # fmt: skip


def test_bands_of_many_arms_are_seen_while_few_are_switched_on() -> None:
    arms = [Arm(name=str(number), runs=(run(f"{number}a"), run(f"{number}b", seed=1))) for number in range(7)]
    assert "(seen while at most 6 arms are switched on)" in drawn(*arms)["accuracy-epoch"].finding
    assert drawn(*arms)["accuracy-epoch"].spec["layer"][0]["mark"]["opacity"] == {
        "expr": "7 - length(hidden) <= 6 ? 0.15 : 0"
    }
    assert "seen while" not in drawn(*arms[:6])["accuracy-epoch"].finding


def test_figures_are_files_with_a_legend_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chart = drawn(KCD, NONE)["confusion"]
    assert list(figure_specs(chart)) == ["confusion-1-kcd-b", "confusion-2-none"]
    comparison: Any = SimpleNamespace(arms=(KCD,), best=None, teacher_accuracy=None, unfinished=())
    bare = RunDetails(
        measure="entropy", values=np.full(3, np.nan), stage_values=(), stage_facts=(), samples=ShownSamples()
    )
    course = drawn(KCD, found=[bare])["accuracy-epoch"]
    monkeypatch.setattr("kcd_pipeline.reports.render.figures_folder.charts", lambda *_: (course,))  # one is enough
    files = write_figures(comparison, [bare], tmp_path / "figures")
    assert sorted(file.name for file in files) == sorted(file.name for file in (tmp_path / "figures").iterdir())
    svg = (tmp_path / "figures" / "accuracy-epoch.svg").read_text()
    assert svg.startswith("<svg")
    assert "kcd &lt;b&gt;" in svg  # the legend
    assert (tmp_path / "figures" / "accuracy-epoch.pdf").read_bytes().startswith(b"%PDF")
