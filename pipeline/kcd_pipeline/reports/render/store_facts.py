"""The facts of stores as text, side by side: one row for each fact, one cell for each store."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from kcd_pipeline.reports.compute.stores import StoreUse
from kcd_pipeline.reports.wording import MISSING, duration, percent, shortened
from kcd_stores import human_bytes
from kcd_stores.knowledge import flatten


def store_facts(stores: Sequence[StoreUse]) -> dict[str, list[str]]:
    """Return, for each fact, its text for each of `stores`, or a dash where a store lacks it."""
    columns = [_column(store.facts) for store in stores]
    keys = dict.fromkeys(chain.from_iterable(columns))
    return {key: [column.get(key, MISSING) for column in columns] for key in keys}


def _column(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts of one store: its own first, then those of everything that it was made from."""
    own = {
        "path": str(facts["path"]),
        "identity": facts["identity"],
        "views": f"{facts['views']:,}",
        "rows": f"{facts['rows']:,}",
        "encoding": facts["encoding"],
        "size on disk": human_bytes(facts["bytes"]),
        "bytes per row": f"{facts['bytes'] / facts['rows']:.1f}",
        "teacher's time": duration(facts["seconds"]),
    }
    made_from = dict(facts["made_from"])
    dataset = dict(made_from.pop("dataset"))
    names = dataset.pop("label_names", dataset["classes"])
    dataset["classes"] = f"{len(names)}: {', '.join(names)}"
    return own | {
        key.replace(".", ": ", 1).replace("_", " "): _text(key, value)
        for key, value in flatten({"dataset": dataset, **made_from}).items()
    }


def _text(key: str, value: Any) -> str:
    if key.endswith("accuracy") and isinstance(value, float):
        return percent(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else shortened(value)
