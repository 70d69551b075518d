"""The comparison as one HTML file that needs no other file: its figures and pictures are inside."""

import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
from markupsafe import Markup

from kcd_pipeline import __version__
from kcd_pipeline.config import ValueWords, value_words
from kcd_pipeline.files import write_whole
from kcd_pipeline.plain_text import escaped
from kcd_pipeline.report import wording
from kcd_pipeline.report.collect.details import RunDetails
from kcd_pipeline.report.collect.samples import ShownSamples
from kcd_pipeline.report.compute import Comparison
from kcd_pipeline.report.compute.arms import Arm
from kcd_pipeline.report.compute.stage_tables import StageTable, finished_stages
from kcd_pipeline.report.compute.stores import saving_words
from kcd_pipeline.report.render import figures
from kcd_pipeline.report.render.pictures import png_uri
from kcd_pipeline.report.render.store_facts import store_facts
from kcd_stores import human_bytes

MOST_OPEN = 3  # with more arms than this, the pictures of all but the first are folded away


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownArm:
    """An arm as the page shows it.

    Attributes
    ----------
    arm
        The arm.
    colour
        The colour of its lines.
    stages
        The facts of each stage of its first run.
    samples
        The most and the least valued samples of its first run.
    measure
        Words about the values of its first run.
    """

    arm: Arm
    colour: str
    stages: StageTable
    samples: ShownSamples
    measure: ValueWords

    @property
    def accuracy(self) -> str:
        """Mean and spread of the test accuracy after the last epoch."""
        return wording.mean_and_spread(self.arm.mean_accuracy, self.arm.deviation)

    @property
    def any_dropped(self) -> bool:
        """True if a sample is shown whose knowledge was dropped."""
        return any(sample.dropped for sample in (*self.samples.most, *self.samples.least))


def write_page(comparison: Comparison, details: Sequence[RunDetails], html: Path) -> None:
    """Write the page of `comparison` to `html`; `details` are those of the first run of each arm."""
    command = ["kcd-pipeline", "report", *(str(run.path) for run in comparison.runs), "--html", str(html)]
    write_whole(html, render_page(comparison, details, command=shlex.join(command)))


def render_page(comparison: Comparison, details: Sequence[RunDetails], *, command: str) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    comparison
        The runs and what they say together.
    details
        The details of the first run of each arm.
    command
        The command that the foot of the page names.
    """
    shown = _shown_arms(comparison.arms, details)
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            comparison=comparison,
            shown=shown,
            run_colours={run.label: item.colour for item in shown for run in item.arm.runs},
            measures={item.measure.name: item.measure for item in shown}.values(),
            labels_only=[arm.name for arm in comparison.arms if not arm.first.taught],
            plots=_plots(comparison, details),
            all_open=len(shown) <= MOST_OPEN,
            any_dropped=any(item.any_dropped for item in shown),
            saving_words=saving_words,
            blends_judged=any(arm.mean_teacher_rows for arm in comparison.arms),
            saved_seconds=sum(max(store.economics.saved_seconds, 0) for store in comparison.stores if store.students),
            store_facts=store_facts(comparison.stores),
            missing=wording.MISSING,
            versions=_versions(),
            command=command,
        )
    )
    return escaped(page)  # its facts have no secrets left


def _environment() -> jinja2.Environment:
    """Return the environment of the template, with the filters that it uses."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kcd_pipeline.report.render", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "duration": wording.duration,
        "kept_range": wording.kept_range,
        "shortened": wording.shortened,
        "listing": wording.listing,
        "whole_number": wording.whole_number,
        "human_bytes": human_bytes,
        "png_uri": png_uri,
    }
    return environment


def _shown_arms(arms: Sequence[Arm], details: Sequence[RunDetails]) -> list[ShownArm]:
    styles = figures.line_styles(arms)
    return [
        ShownArm(
            arm=arm,
            colour=style.colour,
            stages=finished_stages(found.stage_facts),
            samples=found.samples,
            measure=value_words(found.measure),
        )
        for arm, style, found in zip(arms, styles, details, strict=True)
    ]


def _plots(comparison: Comparison, details: Sequence[RunDetails]) -> dict[str, Markup]:
    """Return the figures by name, marked as markup that must not be escaped: this program made it."""
    arms, teacher = comparison.arms, comparison.teacher_accuracy
    measures = [value_words(found.measure) for found in details]
    plots = {
        "epochs": figures.accuracy_by_epoch(arms, teacher),
        "rows": figures.accuracy_by_rows(arms, teacher),
        "kept": figures.kept_by_stage(arms),
        "stages": figures.values_by_stage(arms, [found.stage_values for found in details], measures),
        "end": figures.values_at_the_end(arms, [found.values for found in details], measures),
    }
    return {name: Markup(svg) for name, svg in plots.items()}


def _versions() -> dict[str, str]:
    return {
        "kcd-pipeline": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "matplotlib": matplotlib.__version__,
    }
