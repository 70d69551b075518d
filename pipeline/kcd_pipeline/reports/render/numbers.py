"""The numbers of charts as JSON, from which the page makes a table when a reader asks for it.

As ready tables, the numbers of many runs would be most of the page.
"""

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from kcd_pipeline.reports.render.charts import Chart, Numbers


def numbers_json(charts: Sequence[Chart]) -> Markup:
    """Return the numbers of `charts` by name, for a script element of type application/json.

    A column is a list of its different texts and, for each row, a place in that list.
    """
    tables = {chart.name: [_column(chart.numbers, place) for place in _places(chart.numbers)] for chart in charts}
    text = json.dumps(tables, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c"))  # no name of an arm can end the element


def _places(numbers: Numbers) -> range:
    return range(len(numbers.headings))


def _column(numbers: Numbers, place: int) -> dict[str, Any]:
    different: dict[str, int] = {}
    rows = [different.setdefault(row[place], len(different)) for row in numbers.rows]
    return {"heading": numbers.headings[place], "texts": list(different), "rows": rows}
