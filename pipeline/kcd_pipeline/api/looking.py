"""Looking at runs and stores from Python; nothing here loads torch, unless a page or figures are asked for."""

import html as markup
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kcd_pipeline.api.runs import Place, Run, open_run
from kcd_pipeline.config import is_study, load_study
from kcd_pipeline.errors import UserError
from kcd_pipeline.inspection.facts import read_facts
from kcd_pipeline.inspection.printing import print_facts
from kcd_pipeline.reports import compare_runs, comparison_data, drawn_charts
from kcd_pipeline.reports.compute import Comparison, StudyFrame
from kcd_pipeline.terminal import printed


class Facts(Mapping[str, Any]):
    """The facts of a store or a run: a mapping of plain data, which shows itself as `kcd-pipeline inspect` does."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = dict(facts)

    def __getitem__(self, key: str) -> Any:
        return self._facts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def __repr__(self) -> str:
        return printed(lambda: print_facts(self._facts))

    def _repr_html_(self) -> str:
        return _preformatted(repr(self))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart as SVG, which a notebook shows.

    Attributes
    ----------
    name
        Among the charts of a report.
    svg
        The text of the file.
    """

    name: str
    svg: str = field(repr=False)

    def _repr_svg_(self) -> str:
        return self.svg


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """A comparison of runs, which shows itself as `kcd-pipeline report` does.

    Attributes
    ----------
    html, figures
        The page and the folder of charts that were written, if they were asked for.
    """

    comparison: Comparison = field(repr=False)
    html: Path | None = None
    figures: Path | None = None

    @cached_property
    def data(self) -> dict[str, Any]:
        """Everything that the report says, as plain data: what `kcd-pipeline report --json` prints."""
        return comparison_data(self.comparison)

    @property
    def finding(self) -> tuple[str, ...]:
        """The result, in sentences."""
        return tuple(self.comparison.finding)

    @property
    def arms(self) -> list[dict[str, Any]]:
        """The arms, runs that differ only by seed: name, seeds, mean accuracy and spread, cost."""
        return list(self.data["arms"])

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """The pairs of arms: difference in points, its 95% interval, and p."""
        return list(self.data["pairs"])

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The finished runs."""
        return list(self.data["runs"])

    @cached_property
    def charts(self) -> dict[str, Figure]:
        """The charts of the page by their names, such as `accuracy-epoch` or `values-end`."""
        return {name: Figure(name=name, svg=svg) for name, svg in drawn_charts(self.comparison).items()}

    def __repr__(self) -> str:
        from kcd_pipeline.reports.render.table import print_comparison

        return printed(lambda: print_comparison(self.comparison))

    def _repr_html_(self) -> str:
        return _preformatted(repr(self))


def inspect(where: Place) -> Facts:
    """Return the facts of a store or a run: shape, encoding, bytes, completeness, accuracy, and its origin.

    Parameters
    ----------
    where
        A path or the URL of a remote store.

    Raises
    ------
    UserError
        If it is neither a knowledge store nor the folder of a run.
    StoreError
        If it is a store that cannot be read.
    """
    return Facts(read_facts(os.fspath(where)))


def report(
    runs: Place | Run | Sequence[Place | Run], *, html: Place | None = None, figures: Place | None = None
) -> Report:
    """Compare runs: accuracy, cost, what was kept, and what the store saved.

    Parameters
    ----------
    runs
        Runs, or paths of runs or of folders that have some below them; or one study, whose arms and pairs are compared.
    html
        Write a page with plots to this file.
    figures
        Write the charts to this folder, as SVG and PDF.

    Raises
    ------
    UserError
        If a path is no run of a student and has none below it, or none of the runs is finished.
    """
    several = [runs] if isinstance(runs, str | os.PathLike | Run) else list(runs)
    folders, frame = _framed([_path(run) for run in several])
    page, pictures = (None if place is None else Path(place) for place in (html, figures))
    comparison = compare_runs(folders, frame=frame, html=page, figures=pictures)
    return Report(comparison=comparison, html=page, figures=pictures)


def _path(run: Place | Run) -> Path:
    if isinstance(run, Run):
        return run.path
    text = os.fspath(run)
    return open_run(text).path if "://" in text else Path(text)


def _framed(paths: list[Path]) -> tuple[list[Path], StudyFrame | None]:
    """Return the folders of the runs, and the frame of the study if the paths are one study."""
    if not any(is_study(path) for path in paths):
        return paths, None
    if len(paths) > 1:
        raise UserError("runs: a study has all its runs: give one study alone, or folders of runs")
    from kcd_pipeline.study import plan_study, require_begun, study_frame

    plan = plan_study(load_study(str(paths[0])))
    folders, frame = study_frame(plan)
    require_begun(plan, folders)
    return folders, frame


def _preformatted(text: str) -> str:
    return f'<pre style="line-height: 1.2; overflow-x: auto">{markup.escape(text)}</pre>'
