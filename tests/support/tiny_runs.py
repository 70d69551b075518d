"""Commands of reports and inspections, and the settings of the tiny runs that they are given."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from kcd_pipeline.cli import main

TINY = ("teacher.epochs=1", "distill.epochs=2", "condense.interval=1", "data.limit_per_class=20", "store.views=2")

SECTIONS = ("results", "pairs", "epochs", "samples", "stores", "settings", "runs")

ODD_NAME = "kd <b>$x$ & co"


def kcd(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def report_json(*words: object) -> dict[str, Any]:
    result = kcd("report", *words, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
