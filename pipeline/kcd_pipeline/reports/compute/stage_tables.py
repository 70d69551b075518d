"""The stages of a run as rows of a table, the same on the terminal and on a page.

A policy may open a stage in every epoch. Of many stages, the first and the last ones have a row each, and all between
them share one: ranges of what their plans decided, totals of what they cost.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kcd_pipeline.reports.wording import MISSING, duration, percent
from kcd_stores import human_bytes

MOST_ROWS = 24
ENDS = 8  # stages with a row of their own at each end, if there are more

Stages = Sequence[Mapping[str, Any]]  # facts of neighbouring stages, as `read_stage_facts` returns them
Cells = Mapping[str, Callable[[Stages], str]]  # by heading, the text of a cell for some stages


def plan_cells(stages: Stages) -> Cells:
    """Return the cells of what the plans of `stages` decided; weights are among them if a stage has some."""
    cells: dict[str, Callable[[Stages], str]] = {
        "kept": _kept,
        "as stored": lambda span: _range(span, "taught_as_stored", _count),
        "perturbed": lambda span: _range(span, "perturbed", _count),
        "came back": lambda span: _range(span, "came_back", _count),
        "newly dropped": lambda span: _range(span, "newly_dropped", _count),
        "overlap": lambda span: _range(span, "overlap", percent),
        "score at the cut": lambda span: _range(span, "score_cut", _score),
        "largest ε": _largest_epsilon,
    }
    if any(stage["largest_weight"] is not None for stage in stages):
        cells["weights"] = _weights
    return cells


def cost_cells() -> Cells:
    """Return the cells of what stages cost: totals."""
    return {
        "samples": lambda span: _count(sum(stage["samples"] for stage in span)),
        "steps": lambda span: _total(span, "steps", _count),
        "store read": lambda span: _total(span, "bytes_read", human_bytes),
        "time": lambda span: duration(sum(stage["seconds"] for stage in span)),
    }


def stage_cell(span: Stages) -> str:
    """Return the number of a stage, or of the first and the last of several."""
    return _from_to(str(span[0]["stage"]), str(span[-1]["stage"]))


def first_epoch_cell(span: Stages) -> str:
    """Return the first epoch of a stage, or those of the first and the last of several."""
    return _from_to(str(span[0]["first_epoch"]), str(span[-1]["first_epoch"]))


def epochs_cell(span: Stages) -> str:
    """Return the first and the last epoch of finished stages."""
    return f"{span[0]['first_epoch']}–{span[-1]['first_epoch'] + span[-1]['epochs'] - 1}"


def epochs_done_cell(span: Stages) -> str:
    """Return the number of epochs that are done."""
    return _count(sum(stage["epochs"] for stage in span))


@dataclass(frozen=True, kw_only=True)
class StageTable:
    """The headings of a table of stages, and the texts of its rows."""

    headings: tuple[str, ...]
    rows: list[list[str]]


def finished_stages(stages: Stages) -> StageTable:
    """Return the table of all facts of the stages of a finished run."""
    cells = {"stage": stage_cell, "epochs": epochs_cell, **plan_cells(stages), **cost_cells()}
    return StageTable(headings=tuple(cells), rows=stage_rows(stages, cells))


def stage_rows(stages: Stages, cells: Cells) -> list[list[str]]:
    """Return the texts of each row, in the order of `cells`."""
    spans: list[Stages] = [[stage] for stage in stages]
    if len(stages) > MOST_ROWS:
        spans = [*spans[:ENDS], stages[ENDS:-ENDS], *spans[-ENDS:]]
    return [[cell(span) for cell in cells.values()] for span in spans]


def _kept(span: Stages) -> str:
    return f"{_range(span, 'kept', _count)} ({_range(span, 'kept_fraction', percent)})"


def _largest_epsilon(span: Stages) -> str:
    perturbed = [stage["epsilon_max"] for stage in span if stage["perturbed"]]
    return f"{max(perturbed):.2f}" if perturbed else MISSING


def _weights(span: Stages) -> str:
    weighted = [stage for stage in span if stage["largest_weight"] is not None]
    if not weighted:
        return MISSING
    smallest = min(stage["smallest_weight"] for stage in weighted)
    return _from_to(f"{smallest:.3g}", f"{max(stage['largest_weight'] for stage in weighted):.3g}")


def _range(span: Stages, key: str, text: Callable[[Any], str]) -> str:
    """Return the text of a number that stages have, or of the least and the most; a dash if none has it."""
    known = [stage[key] for stage in span if stage[key] is not None]
    return _from_to(text(min(known)), text(max(known))) if known else MISSING


def _total(span: Stages, key: str, text: Callable[[int], str]) -> str:
    """Return the text of a sum over stages; a dash if a stage lacks the number."""
    numbers = [stage[key] for stage in span]
    return MISSING if None in numbers else text(sum(numbers))


def _from_to(first: str, last: str) -> str:
    return first if first == last else f"{first}–{last}"


def _score(score: float) -> str:
    return f"{score:.4f}" if abs(score) < 1e6 else f"{score:.4g}"


def _count(number: int) -> str:
    return f"{number:,}"
