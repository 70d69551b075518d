"""The comparison as one HTML file that needs nothing beside it: figures and pictures lie in it."""

import platform
import shlex
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from kcd_pipeline import __version__
from kcd_pipeline.files import write_whole
from kcd_pipeline.report import wording
from kcd_pipeline.report.collect.stages import StageValues, read_stages
from kcd_pipeline.report.compute.comparison import Comparison
from kcd_pipeline.report.compute.groups import Group, seeds_told
from kcd_pipeline.report.compute.stores import StoreUse, saving
from kcd_pipeline.report.render import figures
from kcd_pipeline.report.render.pictures import Datasets, Gallery, gallery
from kcd_stores import ValueStore, human_bytes
from kcd_stores.knowledge import flatten

OPEN_GALLERIES = 3  # more experiments than this: all but the first are folded away


def render(comparison: Comparison, html: Path) -> None:
    """Write the page of `comparison` to `html`, whole or not at all.

    Raises
    ------
    StoreError
        If the values or plans of a run cannot be read.
    """
    write_whole(html, page(comparison, command=_command(comparison, html)))


def page(comparison: Comparison, *, command: str) -> str:
    """The page; `command` is what its foot says that it was made with."""
    groups = comparison.groups
    values = [_last_values(group) for group in groups]
    stages = [read_stages(group.first.folder, group.first.epochs) for group in groups]
    datasets = Datasets()
    galleries = [gallery(group.first, value, datasets) for group, value in zip(groups, values, strict=True)]
    colours = {group.label: look.colour for group, look in zip(groups, figures.looks(groups), strict=True)}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kcd_pipeline.report.render", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent, "duration": wording.duration, "kept": wording.kept, "short": wording.short,
        "names": wording.names, "rounded": wording.rounded, "bytes": human_bytes,
        "thousands": lambda number: f"{number:,}",
    }  # fmt: skip
    return environment.get_template("page.html.j2").render(
        comparison=comparison,
        colours=colours,
        colour_of={run.label: colours[group.label] for group in groups for run in group.runs},
        result={group.label: wording.mean_and_spread(group.mean, group.deviation) for group in groups},
        seeds_told=seeds_told(groups),
        labels_only=[group.label for group in groups if not group.first.taught],
        plots=_plots(comparison, values, stages),
        stages=[(group, _stage_rows(group, found)) for group, found in zip(groups, stages, strict=True)],
        galleries=list(zip(groups, galleries, strict=True)),
        galleries_open=len(groups) <= OPEN_GALLERIES,
        any_dropped=_any_dropped(galleries),
        saving=saving,
        saved_seconds=sum(max(store.economics.saved_seconds, 0) for store in comparison.stores if store.students),
        stores=_store_facts(comparison.stores),
        nothing=wording.NOTHING,
        versions=_versions(),
        command=command,
    )


def _last_values(group: Group) -> NDArray[np.float64]:
    return ValueStore.open(group.first.folder.values).read(group.first.epochs - 1)[0]


def _plots(
    comparison: Comparison, values: Sequence[NDArray[np.float64]], stages: Sequence[Sequence[StageValues]]
) -> dict[str, Markup]:
    """The figures by name; their markup is our own, so it is not escaped."""
    groups, teacher = comparison.groups, _teacher_accuracy(comparison)
    plots = {
        "epochs": figures.accuracy_by_epoch(groups, teacher),
        "rows": figures.accuracy_by_rows(groups, teacher),
        "kept": figures.kept_by_stage(groups),
        "stages": figures.values_by_stage(groups, stages),
        "end": figures.values_at_the_end(groups, values),
    }
    return {name: Markup(svg) for name, svg in plots.items()}


def _teacher_accuracy(comparison: Comparison) -> float | None:
    """Of the teacher that all taught runs share; None where there is no such one, or it was not measured."""
    teachers = [store.facts["made_from"]["teacher"] for store in comparison.stores if store.students]
    hashes = {teacher.get("weights_sha256") for teacher in teachers}
    same_test = len({run.test_set for run in comparison.runs}) == 1
    return teachers[0].get("test_accuracy") if len(hashes) == 1 and same_test else None


def _stage_rows(group: Group, found: Sequence[StageValues]) -> list[tuple[dict[str, Any], StageValues]]:
    return list(zip(group.first.stages, found, strict=True))


def _any_dropped(galleries: Sequence[Gallery]) -> bool:
    return any(picture.dropped for found in galleries for picture in (*found.most, *found.least))


def _store_facts(stores: Sequence[StoreUse]) -> dict[str, list[str]]:
    """What each store holds and was made from: one row a fact, one cell a store."""
    columns = [_facts(store.facts) for store in stores]
    return {
        key: [column.get(key, wording.NOTHING) for column in columns]
        for key in dict.fromkeys(chain.from_iterable(columns))
    }


def _facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """One store's, in the order in which people ask."""
    own = {
        "path": str(facts["path"]),
        "identity": facts["identity"],
        "views": f"{facts['views']:,}",
        "rows": f"{facts['rows']:,}",
        "encoding": facts["encoding"],
        "size on disk": human_bytes(facts["bytes"]),
        "bytes a row": f"{facts['bytes'] / facts['rows']:.1f}",
        "teacher's time": wording.duration(facts["seconds"]),
    }
    made_from = dict(facts["made_from"])
    dataset = dict(made_from.pop("dataset"))
    names = dataset.pop("label_names", dataset["classes"])
    dataset["classes"] = f"{len(names)}: {', '.join(names)}"
    return own | {
        key.replace(".", ": ", 1).replace("_", " "): _fact(key, value)
        for key, value in flatten({"dataset": dataset, **made_from}).items()
    }


def _fact(key: str, value: Any) -> str:
    if key.endswith("accuracy") and isinstance(value, float):
        return wording.percent(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else wording.short(value)


def _versions() -> dict[str, str]:
    return {
        "kcd-pipeline": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "matplotlib": matplotlib.__version__,
    }


def _command(comparison: Comparison, html: Path) -> str:
    return shlex.join(["kcd-pipeline", "report", *(str(run.path) for run in comparison.runs), "--html", str(html)])
