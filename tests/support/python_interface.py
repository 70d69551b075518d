"""A small recipe for tests of the Python interface."""

from pathlib import Path
from typing import Any


def few_digits(folder: Path) -> dict[str, Any]:
    """Return a recipe of 120 digits with a small teacher, two views and three epochs, whose files are in `folder`."""
    return {
        "extends": "digits",
        "data": {"limit_per_class": 12, "test_limit_per_class": 5},
        "teacher": {"model": "resnet8", "epochs": 2, "weights": folder / "teacher.safetensors"},
        "store": {"path": str(folder / "store.zarr"), "views": 2},
        "distill": {"epochs": 3},
        "condense": {"interval": 1},
        "run": {"dir": folder / "{student}-{variant}", "device": "cpu", "threads": 1},
    }
