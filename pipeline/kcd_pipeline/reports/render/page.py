"""The comparison as one HTML file that needs no other file: its charts, its data and its pictures are inside."""

import base64
import hashlib
import platform
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup, escape

from kcd_pipeline import __version__
from kcd_pipeline.config import ValueWords, value_words
from kcd_pipeline.files import write_whole
from kcd_pipeline.plain_text import escaped
from kcd_pipeline.reports import wording
from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.collect.details import RunDetails
from kcd_pipeline.reports.collect.samples import ShownSamples
from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.render import result_tables as tables
from kcd_pipeline.reports.render.charts import charts, charts_json, javascript, styles, swatch, swatch_css
from kcd_pipeline.reports.render.numbers import numbers_json
from kcd_pipeline.reports.render.page_tables import PageTable
from kcd_pipeline.reports.render.pictures import Pictures
from kcd_pipeline.reports.render.sections import sections
from kcd_pipeline.reports.render.store_facts import store_facts

MOST_OPEN = 3  # with more arms than this, the pictures of all but the first are folded away


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownArm:
    """One arm as the page shows it, by its run of the lowest seed.

    Attributes
    ----------
    name
        The arm's name.
    first
        Its run of the lowest seed.
    stages
        The facts of each stage of that run; None if it has only one.
    samples
        The most and the least valued samples of that run.
    measure
        Words about the values of that run.
    """

    name: str
    first: RunRecord
    stages: PageTable | None
    samples: ShownSamples
    measure: ValueWords

    @property
    def any_dropped(self) -> bool:
        """True if a sample is shown whose knowledge was dropped."""
        return any(sample.dropped for sample in (*self.samples.most, *self.samples.least))


def write_page(comparison: Comparison, details: Sequence[RunDetails], html: Path) -> None:
    """Write the page of `comparison` to `html`; `details` are those of the first run of each arm."""
    command = ["kcd-pipeline", "report", *(str(run.path) for run in comparison.runs), "--html", str(html)]
    write_whole(html, render_page(comparison, details, command=shlex.join(command)))


def render_page(comparison: Comparison, details: Sequence[RunDetails], *, command: str, live: str | None = None) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    comparison
        The runs and what they say together.
    details
        The details of the first run of each arm.
    command
        The command that the foot of the page names.
    live
        JavaScript of a page that is served: it may ask its server for news. None for a page that stands alone.
    """
    shown, drawn = _shown_arms(comparison, details), charts(comparison, details)
    pictures = Pictures(arm.samples for arm in shown)
    scripts = [javascript(), _asset("page.js"), *([] if live is None else [live])]
    signs = {arm.name: swatch(style) for arm, style in zip(shown, styles(shown), strict=True)}
    template = _environment().get_template("page.html.j2")
    page = template.render(
        comparison=comparison,
        title=comparison.title or _title(comparison),
        scope=_scope(comparison),
        sections=sections(comparison, drawn),
        arms=shown,
        signs={**signs, **{run.label: signs[arm.name] for arm in comparison.arms for run in arm.runs}},
        measures={arm.measure.name: arm.measure for arm in shown}.values(),
        labels_only=[arm.name for arm in comparison.arms if not arm.first.taught],
        all_open=len(shown) <= MOST_OPEN,
        pictures=pictures,
        any_dropped=any(arm.any_dropped for arm in shown),
        blends_judged=any(arm.mean_teacher_rows for arm in comparison.arms),
        tables=_tables(comparison, details),
        store_facts=store_facts(comparison.stores),
        charts_json=charts_json(drawn),
        numbers_json=numbers_json(drawn),
        style=Markup("\n".join([_asset("page.css"), swatch_css(), pictures.css])),
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts, served=live is not None),
        versions=_versions(),
        command=command,
    )
    return escaped(page)  # its facts have no secrets left


def _asset(name: str) -> str:
    return files("kcd_pipeline.reports.render").joinpath("assets", name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str], *, served: bool) -> str:
    """Return the Content Security Policy of a page: its own `scripts` run, and nothing is fetched.

    A served page may ask the server that it came from.
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    rules = ["default-src 'none'", f"script-src {hashes}", "style-src 'unsafe-inline'", "img-src data:"]
    rules += ["base-uri 'none'", "form-action 'none'", *(["connect-src 'self'"] if served else [])]
    return "; ".join(rules)


def _environment() -> jinja2.Environment:
    """Return the environment of the templates, with the filters that they use."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kcd_pipeline.reports.render", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": _breakable,
        "shortened": wording.shortened,
        "listing": wording.listing,
        "counted": wording.counted,
    }
    return environment


def _breakable(name: str) -> Markup:
    """Return a name that a line may also end in behind an equals sign or a comma, as in `dropped=new,perturb=pair`."""
    return Markup(re.sub("[=,](?=[^ ])", r"\g<0><wbr>", str(escape(name))))


def _title(comparison: Comparison) -> str:
    """Return the page's title: the students, the data set, and the teacher if there is one."""
    students = dict.fromkeys(run.student for run in comparison.runs)
    datasets = dict.fromkeys(run.summary["dataset"]["name"] for run in comparison.runs)
    teachers = dict.fromkeys(
        store.facts["made_from"]["teacher"].get("model") for store in comparison.stores if store.students
    )
    taught = f" taught by {wording.listing(map(str, teachers))}" if teachers else ""
    return f"{wording.listing(students)}{taught} on {wording.listing(datasets)}" if students else "Students in training"


def _scope(comparison: Comparison) -> str:
    """Return how many arms and runs the page compares, or, before any run is finished, how far the runs are."""
    begun, epochs = comparison.unfinished, ""
    if begun:
        epochs = f": {sum(run.epochs_done for run in begun)} of {sum(run.epochs for run in begun)} epochs done"
    going_on = [f"{wording.counted(len(begun), 'run')} not finished{epochs}"] if begun else []
    if comparison.not_begun and (begun or comparison.runs):
        going_on += [f"{wording.counted(comparison.not_begun, 'run')} not begun"]
    if comparison.runs:
        arms, runs = wording.counted(len(comparison.arms), "arm"), wording.counted(len(comparison.runs), "run")
        return ". ".join([f"{arms}, {runs}", *going_on]) + "."
    planned = f" of {comparison.planned}" if comparison.planned else ""
    first = "No run is finished yet, so there is nothing to compare" if begun else f"No run{planned} has been begun yet"
    return ". ".join([first, *going_on]) + "."


def _shown_arms(comparison: Comparison, details: Sequence[RunDetails]) -> list[ShownArm]:
    return [
        ShownArm(
            name=arm.name,
            first=arm.first,
            stages=tables.stage_table(arm.name, arm.first.label, found.stage_facts),
            samples=found.samples,
            measure=value_words(found.measure),
        )
        for arm, found in zip(comparison.arms, details, strict=True)
    ]


def _tables(comparison: Comparison, details: Sequence[RunDetails]) -> dict[str, PageTable]:
    return {
        "arms": tables.arm_table(comparison, details),
        "runs": tables.run_table(comparison),
        "unfinished": tables.unfinished_table(comparison),
        "pairs": tables.pair_table(comparison.pairs),
        "economics": tables.economics_table(comparison.stores),
    }


def _versions() -> dict[str, Any]:
    return {
        "kcd-pipeline": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "vl-convert": version("vl-convert-python"),
    }
