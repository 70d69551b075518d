"""A page says how far the runs are before any of them is finished."""

import re
from pathlib import Path

import pytest

from kcd_pipeline.reports.collect import UnfinishedRun
from kcd_pipeline.reports.compute import FramedArm, StudyFrame, compare
from kcd_pipeline.reports.render.page import render_page


def begun(seed: int, epochs_done: int) -> UnfinishedRun:
    return UnfinishedRun(
        label=f"kd-{seed}",
        path=Path(f"runs/kd-{seed}"),
        method_in_words="kd",
        student="resnet8",
        seed=seed,
        epochs=12,
        metrics=[{"epoch": epoch, "test_accuracy": 0.5} for epoch in range(epochs_done)],
    )


STUDY = StudyFrame(title="Is it?", arms=(FramedArm(name="kd", folders=(), planned=5),), pairs=())


@pytest.mark.parametrize(
    ("runs", "frame", "told"),
    [
        ([], None, "No run has been begun yet."),
        ([], STUDY, "No run of 5 has been begun yet."),
        (
            [begun(0, 7), begun(1, 0)],
            None,
            "No run is finished yet, so there is nothing to compare. 2 runs not finished: 7 of 24 epochs done.",
        ),
        (
            [begun(0, 7)],
            STUDY,
            "No run is finished yet, so there is nothing to compare. 1 run not finished: 7 of 12 epochs done. 4 runs "
            "not begun.",
        ),
    ],
)
def test_a_page_without_results_says_how_far_the_runs_are(
    runs: list[UnfinishedRun], frame: StudyFrame | None, told: str
) -> None:
    html = render_page(compare([], runs, frame), [], command="kcd-pipeline report runs --serve", live="")
    assert re.findall(r'<p class="quiet">(.*)</p>', html) == [told]
    assert "<tbody>" in html or not runs
    assert "Finished runs" not in html
    assert "Warning." not in html
    assert ("Runs are listed here once they have begun." in html) is (not runs)
