"""Several teachers in a recipe: `teacher` may be a list, which is read as a first teacher and others.

    teacher:
      - {model: resnet56, weights: a.safetensors, store: a.zarr, epochs: 100}
      - {model: wrn_40_2, weights: b.safetensors, store: b.zarr, weight: 2}

is read as `teacher` (the first), `store.path` (its store) and `other_teachers` (the rest), the keys that a resolved
config has. A list replaces all teachers of the recipe that is extended.
"""

from collections.abc import Mapping
from typing import Any

from kcd_pipeline.errors import UserError

FIRST, OTHERS, OWN_STORE = "teacher", "other_teachers", "store"


def names_teachers(tree: Mapping[str, Any]) -> bool:
    """Return True if `teacher` is a list in the keys of a recipe."""
    return isinstance(tree.get(FIRST), list | tuple)


def with_first_teacher(tree: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the keys of a recipe with a list of teachers read as a first one and others; else the keys as they are.

    Raises
    ------
    UserError
        If the list is empty or has an item that is no mapping of keys, or `other_teachers` is there as well.
    """
    if not names_teachers(tree):
        return dict(tree)
    teachers = list(tree[FIRST])
    if not teachers or not all(isinstance(teacher, Mapping) for teacher in teachers):
        raise UserError(
            f"{source}: 'teacher' is a section of keys, or a list of such sections for several teachers, found "
            f"{'an empty list' if not teachers else 'a list that holds something else'}"
        )
    if tree.get(OTHERS):
        raise UserError(f"{source}: 'teacher' is a list and '{OTHERS}' is there too. Name all teachers in the list.")
    first = {key: value for key, value in teachers[0].items() if key != OWN_STORE}
    split = {**tree, FIRST: first, OTHERS: teachers[1:]}
    if OWN_STORE in teachers[0]:
        stores = tree.get("store", {})
        split["store"] = {**stores, "path": teachers[0][OWN_STORE]} if isinstance(stores, Mapping) else stores
    return split


def without_teachers(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a recipe without its teachers, which a list of others replaces."""
    return {key: value for key, value in tree.items() if key not in (FIRST, OTHERS)}


def with_shared_training(tree: Mapping[str, Any], shared: frozenset[str]) -> dict[str, Any]:
    """Return the keys of a recipe in which each other teacher has those keys `shared` of the first that it lacks."""
    first, others = tree.get(FIRST), tree.get(OTHERS)
    if not (isinstance(first, Mapping) and isinstance(others, list | tuple)):
        return dict(tree)
    training = {key: value for key, value in first.items() if key in shared}
    return {**tree, OTHERS: [_completed(other, training) for other in others]}


def _completed(other: Any, training: Mapping[str, Any]) -> Any:
    """Return the keys of another teacher over those of `training`, without arguments of what it replaces."""
    if not isinstance(other, Mapping):
        return other
    replaced = {f"{key}_arguments" for key in ("optimizer", "schedule") if key in other}
    return {**{key: value for key, value in training.items() if key not in replaced}, **other}
