"""Values by stage, the ends of the ranking, and how numbers are written: worked out by hand."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kcd_pipeline.reports import wording
from kcd_pipeline.reports.collect.samples import thumbnail
from kcd_pipeline.reports.collect.stages import stage_epochs
from kcd_pipeline.reports.collect.values import most_and_least_valued, read_stage_values, summarise_values
from kcd_pipeline.reports.render.pictures import data_uri
from kcd_pipeline.runs import RunFolder
from kcd_stores import PlanStore, ValueStore, keep_all

NAN = float("nan")


def test_stages_end_where_the_next_begins() -> None:
    assert stage_epochs([0, 4, 8], 10) == [(0, 3), (4, 7), (8, 9)]
    assert stage_epochs([0], 24) == [(0, 23)]


def test_of_many_stages_the_values_after_a_few_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of the stages 0 to 4, an epoch each, lie at even distances: 0, 2 and 4. The value in epoch e is e."""
    monkeypatch.setattr("kcd_pipeline.reports.collect.values.MOST_STAGES", 3)
    folder = RunFolder(tmp_path)
    folder.begin({}, {})
    values = ValueStore.create(folder.values, epochs=5, samples=4)
    for epoch in range(5):
        values.write(epoch, np.full(4, float(epoch)), np.ones(4, np.int32), np.full(4, epoch, np.float32))
        PlanStore(folder.plans).write(keep_all(4, stage=epoch, epoch=epoch))
    found = read_stage_values(folder, 5)
    assert [(stage.stage, stage.epochs, stage.mean) for stage in found] == [
        (0, (1, 1), 0.0),
        (2, (3, 3), 2.0),
        (4, (5, 5), 4.0),
    ]
    assert [stage.stage for stage in read_stage_values(folder, 1)] == [0]


def test_a_sample_never_visited_is_counted_and_left_out() -> None:
    found = summarise_values(np.array([0.0, 1.0, NAN, 2.0, 3.0, 4.0]), stage=0, epochs=(1, 2))
    assert (found.visited, found.never_visited, found.mean) == (5, 1, 2.0)
    assert found.quantiles == pytest.approx((0.2, 1.0, 2.0, 3.0, 3.8))  # linear between the five sorted values


def test_nothing_visited_has_no_distribution() -> None:
    found = summarise_values(np.full(3, NAN), stage=0, epochs=(1, 1))
    assert (found.visited, found.mean, found.quantiles) == (0, None, None)


def test_ends_of_the_ranking_with_ties_and_a_gap() -> None:
    most, least = most_and_least_valued(np.array([0.5, NAN, 0.1, 0.9, 0.5, 0.1]), 2)
    assert most.tolist() == [3, 0]  # 0.9, then the first of the two 0.5
    assert least.tolist() == [2, 5]  # the two 0.1, by index


def test_no_sample_is_among_both_the_most_and_the_least_valued() -> None:
    most, least = most_and_least_valued(np.array([0.3, 0.2, 0.1]), 12)
    assert (most.tolist(), least.tolist()) == ([0], [2])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_looks_like_its_pixels(channels: int) -> None:
    pixels = np.full((channels, 4, 5), 200, dtype=np.uint8)
    head, _, body = data_uri(thumbnail(pixels)).partition(",")
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
    assert head == "data:image/webp;base64"
    assert found.shape == (4, 5, 3)
    assert np.abs(found.astype(int) - 200).max() < 8


def test_a_large_picture_is_made_smaller() -> None:
    body = data_uri(thumbnail(np.zeros((3, 300, 200), dtype=np.uint8))).partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(body))).size == (64, 96)


def test_numbers_as_people_read_them() -> None:
    assert wording.percent(0.98888) == "98.89%"
    assert wording.mean_and_spread(0.98978, 0.0016) == "98.98 ± 0.16%"
    assert wording.mean_and_spread(0.5, None) == "50.00%"
    assert wording.kept_range([1.0]) == "100%"
    assert wording.kept_range([1.0, 0.85, 0.7]) == "100 → 70%"
    assert wording.kept_range([1.0, 0.62, 0.7, 1.0]) == "100 → 62 → 100%"
    assert [wording.duration(seconds) for seconds in (0.312, 4.81, 39.4, 7500)] == [
        "0.31 s",
        "4.8 s",
        "39 s",
        "2 h 05 min",
    ]
    assert wording.shortened("ab" * 32) == "ab" * 6
    assert wording.shortened_pair("x" * 60 + "1", "x" * 60 + "2") == ("x" * 60 + "1", "x" * 60 + "2")
    assert wording.listing(["a"]) == "a"
    assert wording.listing(["a", "b", "c"]) == "a, b and c"
    assert wording.listing(["a", "b", "c"], most=2) == "a, b and 1 more"
