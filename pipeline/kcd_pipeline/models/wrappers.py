"""Names of a state dict's entries as wrappers of a model change them, and as the model itself has them.

Some wrappers leave marks that nothing else does; these are taken off whenever a file is read. Others are modules of a
training script that hold the model under a name of their own: that name is taken off where the model is known.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor

PARALLEL = "module."  # DataParallel, DistributedDataParallel and AveragedModel put it before every name
AVERAGED = "n_averaged"  # in which torch's AveragedModel counts the models that it has averaged
WITHIN = {  # parts of a name that only these put there
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "fully sharded data parallelism",
    "_checkpoint_wrapped_module": "activation checkpointing",
}
HOLDERS = ("model.", PARALLEL, "net.", "network.", "backbone.", "encoder.", "student.", "teacher.")


def without_wrappers(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return `state` under the names of the wrapped model, and what was taken off, as words for the user."""
    peeled, found = dict(state), []
    for part, wrapper in WITHIN.items():
        if any(part in name.split(".") for name in peeled):
            found.append(f"'{part}.' of {wrapper}")
            peeled = {_without(part, name): tensor for name, tensor in peeled.items()}
    if AVERAGED in peeled and len(peeled) > 1 and all(name.startswith(PARALLEL) for name in peeled if name != AVERAGED):
        found.append(f"'{AVERAGED}' of an averaged model")
        del peeled[AVERAGED]
    while peeled and all(name.startswith(PARALLEL) for name in peeled):
        found.append(f"'{PARALLEL}' of parallel training")
        peeled = {name.removeprefix(PARALLEL): tensor for name, tensor in peeled.items()}
    return peeled, tuple(found)


def without_holders(state: Mapping[str, Tensor], expected: Iterable[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return `state` without the prefixes of HOLDERS that all its names have but not all `expected` ones.

    The second is what was taken off, as words for the user.
    """
    peeled, found, wanted = dict(state), [], list(expected)
    foreign = [prefix for prefix in HOLDERS if not all(name.startswith(prefix) for name in wanted)]
    while prefix := next((p for p in foreign if peeled and all(name.startswith(p) for name in peeled)), None):
        found.append(f"'{prefix}'")
        peeled = {name.removeprefix(prefix): tensor for name, tensor in peeled.items()}
    return peeled, tuple(found)


def _without(part: str, name: str) -> str:
    return ".".join(word for word in name.split(".") if word != part)


def fitting_prefixes(names: Iterable[str], expected: Iterable[str]) -> list[str]:
    """Return every prefix under which `names` have all `expected` ones, and perhaps others beside."""
    found, wanted = set(names), list(expected)
    if not wanted:
        return []
    prefixes = sorted(name.removesuffix(wanted[0]) for name in found if name.endswith(f".{wanted[0]}"))
    return [prefix for prefix in prefixes if all(prefix + name in found for name in wanted)]
