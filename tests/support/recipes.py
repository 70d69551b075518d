"""Recipes without files behind them, for tests of single modules."""

from collections.abc import Mapping
from typing import Any

from kcd_pipeline.config import Config, parse_config


def small_recipe(**sections: dict[str, Any]) -> Config:
    """Return a recipe of CIFAR-10 with a small student, two epochs on a CPU, and `sections` put over it."""
    tree: dict[str, dict[str, Any]] = {
        "data": {"name": "cifar10"},
        "teacher": {"model": "resnet8", "weights": "none.safetensors"},
        "store": {"path": "none.zarr", "views": 1},
        "student": {"model": "resnet8"},
        "distill": {"epochs": 2},
        "run": {"device": "cpu"},
    }
    for name, keys in sections.items():
        tree[name] = tree.get(name, {}) | keys
    return parse_config(tree, source="the test")


def as_overrides(settings: Mapping[str, Any], **more: Any) -> list[str]:
    """Return settings as `key=value`, with `more` put over them; `distill__epochs` stands for `distill.epochs`."""
    chosen = {**settings, **{key.replace("__", "."): value for key, value in more.items()}}
    return [f"{key}={value}" for key, value in chosen.items()]
