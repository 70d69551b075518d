"""The stages of a run as rows: each of a few; of many, the first and the last ones, and what lies between in one."""

from typing import Any

from kcd_pipeline.reports.compute.stage_tables import (
    cost_cells,
    epochs_done_cell,
    finished_stages,
    first_epoch_cell,
    plan_cells,
    stage_cell,
    stage_rows,
)


def stage(number: int, **more: Any) -> dict[str, Any]:
    """Return the facts of stage `number`, from 1, which is one epoch and keeps 1,000 - number of 1,000 samples."""
    kept = 1000 - number
    return {
        "stage": number,
        "first_epoch": number,
        "kept": kept,
        "kept_fraction": kept / 1000,
        "taught_as_stored": kept,
        "perturbed": 0,
        "newly_dropped": number,
        "came_back": 2,
        "overlap": 0.5,
        "score_cut": None,
        "epsilon_max": 0.0,
        "smallest_weight": None,
        "largest_weight": None,
        "epochs": 1,
        "samples": kept,
        "steps": 10,
        "bytes_read": 1000,
        "seconds": 2.0,
    } | more


def rows(stages: list[dict[str, Any]]) -> list[dict[str, str]]:
    table = finished_stages(stages)
    return [dict(zip(table.headings, row, strict=True)) for row in table.rows]


def test_each_of_a_few_stages_has_a_row() -> None:
    found = rows([stage(number) for number in range(1, 25)])
    assert [row["stage"] for row in found] == [str(number) for number in range(1, 25)]
    assert found[1] == {
        "stage": "2", "epochs": "2–2", "kept": "998 (99.80%)", "as stored": "998", "perturbed": "0", "came back": "2",
        "newly dropped": "2", "overlap": "50.00%", "score at the cut": "–", "largest ε": "–", "samples": "998",
        "steps": "10", "store read": "1.0 kB", "time": "2.0 s",
    }  # fmt: skip


def test_what_lies_between_the_ends_of_many_is_one_row_of_ranges_and_totals() -> None:
    """240 stages: the 9th to the 232nd are 224; they keep 991 to 768, and train on 224 * (991 + 768) / 2 = 197,008."""
    found = rows([stage(number) for number in range(1, 241)])
    assert len(found) == 17
    assert [row["stage"] for row in found[7:10]] == ["8", "9–232", "233"]
    assert found[8] == {
        "stage": "9–232", "epochs": "9–232", "kept": "768–991 (76.80%–99.10%)", "as stored": "768–991",
        "perturbed": "0", "came back": "2", "newly dropped": "9–232", "overlap": "50.00%", "score at the cut": "–",
        "largest ε": "–", "samples": "197,008", "steps": "2,240", "store read": "224.0 kB", "time": "7 min",
    }  # fmt: skip


def test_weights_are_shown_where_a_stage_has_some() -> None:
    found = rows([stage(1), stage(2, smallest_weight=0.25, largest_weight=1.96312)])
    assert [row["weights"] for row in found] == ["–", "0.25–1.96"]
    assert "weights" not in plan_cells([stage(1)])


def test_a_number_that_a_stage_lacks_is_left_out_of_a_range_and_makes_a_total_unknown() -> None:
    stages = [stage(1, came_back=None), *(stage(number) for number in range(2, 30))]
    stages[12] = stage(13, came_back=None, steps=None, perturbed=3, epsilon_max=0.3)
    cells = {"stage": stage_cell, "from epoch": first_epoch_cell, "done": epochs_done_cell, **plan_cells(stages)}
    middle = dict(zip(cells, stage_rows(stages, cells)[8], strict=True))
    assert (middle["stage"], middle["from epoch"], middle["done"]) == ("9–21", "9–21", "13")
    assert (middle["came back"], middle["perturbed"], middle["largest ε"]) == ("2", "0–3", "0.30")
    assert stage_rows(stages, cost_cells())[8][1] == "–"
