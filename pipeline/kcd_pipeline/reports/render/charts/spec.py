"""Parts of specifications that the charts share: arms that can be switched off, looks, axes, and what is pointed at."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.render.charts.styles import styles

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
ARMS = "arms"  # data set: the names of the arms by their numbers
HIDDEN = "hidden"  # parameter: the numbers of the arms that are switched off
CHOSEN = "chosen"  # parameter: the number of the arm that is shown, where one is shown at a time
NAME = {"lookup": "arm", "from": {"data": {"name": ARMS}, "key": "arm", "fields": ["name"]}}  # adds an arm's name
SWITCHED = {"filter": f"indexof({HIDDEN}, datum.arm) < 0"}

MOST_BANDS = 6  # arms; bands of more hide each other
PADDING = 10  # pixels between the first or last point of a scale and its end
TICK_ROOM = 80  # pixels of an axis for each label

Part = dict[str, Any]  # a part of a specification
Rows = list[dict[str, Any]]


def overlay(
    layers: Sequence[Part],
    arms: Sequence[Arm],
    datasets: Mapping[str, Rows],
    *,
    height: int | Part = 320,
    chosen: int | None = None,
) -> Part:
    """Return a chart that shows all arms in layers; the first data set is that of layers which name none.

    Arms can be switched off, except in layers of other data sets. If a number is `chosen`, only rows are shown whose
    field `choice` is equal to it, until another is chosen.
    """
    found = _specification(layers, arms, datasets, height=height)
    found["params"] = [{"name": HIDDEN, "value": []}]
    found["transform"] = [SWITCHED]
    if chosen is not None:
        found["params"].append({"name": CHOSEN, "value": chosen})
        found["transform"].append({"filter": f"datum.choice == {CHOSEN}"})
    return found


def one_arm(
    layers: Sequence[Part], arms: Sequence[Arm], datasets: Mapping[str, Rows], *, first: int, height: int | Part
) -> Part:
    """Return a chart that shows only the arm with the number `first`, until another is chosen."""
    return _specification(layers, arms, datasets, height=height) | {
        "params": [{"name": CHOSEN, "value": first}],
        "transform": [{"filter": f"datum.arm == {CHOSEN}"}],
        "view": {"fill": {"expr": "nothing"}},  # a cell that is not there is as one of 0
    }


def _specification(
    layers: Sequence[Part], arms: Sequence[Arm], datasets: Mapping[str, Rows], *, height: int | Part
) -> Part:
    names = [{"arm": number, "name": arm.name} for number, arm in enumerate(arms)]
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "datasets": {**datasets, ARMS: names},
        "data": {"name": next(iter(datasets))},
        "layer": list(layers),
    }


class Look:
    """The channels that tell arms apart: each by the field `arm`, without a legend, which the page has once."""

    def __init__(self, arms: Sequence[Arm]) -> None:
        looks = styles(arms)
        self.colour = _channel(len(arms))  # the theme's colours in turn
        self.dash = _channel(len(arms), [list(look.dash) for look in looks])
        self.shape = _channel(len(arms), [look.shape for look in looks])


def _channel(count: int, looks: Sequence[Any] | None = None) -> Part:
    scale = {"domain": list(range(count))} | ({} if looks is None else {"range": list(looks)})
    return {"field": "arm", "type": "nominal", "scale": scale, "legend": None}


def measured(field: str, title: str, *, zero: bool = False, **axis: Any) -> Part:
    """Return the position of the numbers of `field` on an axis with a title, with room beyond its ends."""
    scale = {"zero": True} if zero else {"zero": False, "padding": PADDING}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def across(field: str, title: str, **axis: Any) -> Part:
    """Return `measured` for an axis from left to right, on which labels stand beside each other."""
    return measured(field, title, tickCount={"expr": f"max(2, floor(width / {TICK_ROOM}))"}, **axis)


def epochs(title: str = "epoch") -> Part:
    """Return the position of the field `epoch` on an axis of whole numbers that ends where the epochs do."""
    return across("epoch", title, format="d", tickMinStep=1) | {"scale": {"zero": False, "nice": False}}


def band(opacity: float, arms: Sequence[Arm]) -> Part:
    """Return the mark of a band, which is seen only while few enough of `arms` are switched on."""
    return {"type": "area", "opacity": {"expr": f"{len(arms)} - length({HIDDEN}) <= {MOST_BANDS} ? {opacity} : 0"}}


def band_words(arms: Sequence[Arm]) -> str:
    """Return when bands are seen, as words in brackets; none if they always are."""
    return f" (seen while at most {MOST_BANDS} arms are switched on)" if len(arms) > MOST_BANDS else ""


def end(field: str) -> Part:
    """Return the second end of a line or an area whose first end has the axis."""
    return {"field": field}


def hints(titles: Iterable[tuple[str, str]]) -> list[Part]:
    """Return what is shown of a mark that is pointed at: fields with their titles."""
    return [{"field": field, "title": title} for field, title in titles]


def interval_text(low: str, high: str, digits: int) -> Part:
    """Return a transform that adds the field `interval`, the text of an interval, or a dash where there is none."""
    both = f"format(datum.{low}, '.{digits}f') + ' to ' + format(datum.{high}, '.{digits}f')"
    return {"calculate": f"isValid(datum.{low}) ? {both} : '–'", "as": "interval"}
