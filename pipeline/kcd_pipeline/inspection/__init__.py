"""Inspection of a knowledge store or a run, finished or not: its facts, for people and for machines."""

import json
from pathlib import Path

import click

from kcd_pipeline.inspection.facts import read_facts
from kcd_pipeline.inspection.printing import print_facts

__all__ = ["inspect"]


def inspect(where: str | Path, *, as_json: bool) -> None:
    """Print the facts of the store or run at `where`, a path or the URL of a remote store, on standard output.

    Raises
    ------
    UserError
        If it is neither a knowledge store nor the folder of a run.
    StoreError
        If it is a store that cannot be read.
    """
    facts = read_facts(where)
    if as_json:
        click.echo(json.dumps(facts, indent=2, allow_nan=False))
    else:
        print_facts(facts)
