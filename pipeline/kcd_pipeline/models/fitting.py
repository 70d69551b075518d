"""Filling a model with a state dict, which must be the model's own in every entry."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from kcd_pipeline.errors import UserError
from kcd_pipeline.models.wrappers import fitting_prefixes, without_holders

MAX_LISTED = 4  # parameters named in a message before "and n more"
BATCH_COUNTER = "num_batches_tracked"  # the entry in which a batch norm counts batches


def fill_model(model: nn.Module, state: Mapping[str, Tensor], *, source: Path, name: str) -> tuple[str, ...]:
    """Load `state` into `model`, in place: every entry of the model is replaced, and every entry of `state` is used.

    Returns
    -------
    tuple[str, ...]
        Prefixes that were taken off the names in `state`, as words for the user.

    Raises
    ------
    UserError
        If entries are missing, unknown, of another shape or of another type. The message lists them, and says which
        prefix would make them fit, or else which known architecture the weights are closest to.
    """
    expected = model.state_dict()
    peeled, prefixes = without_holders(state, expected)
    state = _with_batch_counters(_with_tied(peeled, expected), expected)
    differences = _differences(state, expected)
    if any(differences.values()):
        found = "; ".join(f"{len(keys)} {what}: {_first_few(keys)}" for what, keys in differences.items() if keys)
        raise UserError(
            f"the weights in {source} are not those of a {name}: {found}.{_hint(state, expected, source)} Name the "
            f"model that they belong to, or other weights."
        )
    model.load_state_dict(state)
    return prefixes


def _differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Return the entries that differ, by the kind of their difference."""
    both = [key for key in expected if key in state]
    return {
        "missing from the file": [key for key in expected if key not in state],
        "unknown to the model": [key for key in state if key not in expected],
        "of another shape": [
            f"{key} {list(state[key].shape)} for {list(expected[key].shape)}"
            for key in both
            if state[key].shape != expected[key].shape
        ],
        "of another type, as quantised weights are": [
            f"{key} {_type(state[key])} for {_type(expected[key])}"
            for key in both
            if not _is_castable(state[key], expected[key])
        ],
        "one parameter of the model but different in the file": [
            f"{first} and {second}"
            for first, second in _tied(expected)
            if first in state and second in state and not _equal(state[first], state[second])
        ],
    }


def _is_castable(found: Tensor, expected: Tensor) -> bool:
    """Return True if numbers of `found` are those that `expected` means, in another precision at most.

    Integers in the place of real numbers are quantised: without their scales they are other numbers. So are real
    numbers of 8 bits.
    """
    if found.is_quantized or found.layout != torch.strided:
        return False
    if expected.is_floating_point():
        return found.is_floating_point() and found.itemsize > 1
    return not found.is_floating_point() and found.is_complex() == expected.is_complex()


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype if tensor.layout == torch.strided else tensor.layout).removeprefix("torch.")


def _equal(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and bool(torch.equal(first, second))


def _tied(expected: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Return pairs of names under which the model has one and the same parameter, the first name first."""
    first: dict[tuple[int, torch.Size], str] = {}
    pairs = []
    for name, tensor in expected.items():
        if tensor.numel():
            known = first.setdefault((tensor.data_ptr(), tensor.shape), name)
            if known != name:
                pairs.append((known, name))
    return pairs


def _with_tied(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give a parameter of several names all of them, where the file has it under one, as safetensors' savers write.

    They leave out tensors without numbers, too.
    """
    full = {name: tensor for name, tensor in expected.items() if not tensor.numel()} | dict(state)
    for first, second in _tied(expected):
        if (first in full) != (second in full):
            full[first] = full[second] = full[first] if first in full else full[second]
    return full


def _with_batch_counters(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add zeros for the batch counters of `expected` if `state` has none.

    Batch norms count batches since torch 0.4.1. Older checkpoints lack the counters, and nothing here depends on them.
    """
    if any(key.endswith(BATCH_COUNTER) for key in state):
        return dict(state)
    return {key: torch.zeros_like(expected[key]) for key in expected if key.endswith(BATCH_COUNTER)} | dict(state)


def _hint(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: Path) -> str:
    """Return a sentence on the prefix that would make `state` fit, or else on the architecture it is closest to."""
    if {name: t.shape for name, t in state.items()} == {name: t.shape for name, t in expected.items()}:
        return ""  # the architecture is right, and its numbers are not
    names = [name for name in expected if not name.endswith(BATCH_COUNTER)]
    inside = fitting_prefixes(state, names)
    if inside:
        prefix = inside[0]
        others = f", and so do those under {', '.join(map(repr, inside[1:]))}" if inside[1:] else ""
        return (
            f" The entries whose names begin with '{prefix}' have all its names{others}. To take those, save them "
            f"alone: torch.save({{k.removeprefix('{prefix}'): v for k, v in state.items() if k.startswith("
            f"'{prefix}')}}, '{source.stem}-alone.pth')."
        )
    held = fitting_prefixes(expected, [name for name in state if not name.endswith(BATCH_COUNTER)])
    if held:
        return f" The model has all names of the file under '{held[0]}': put that before each."
    from kcd_pipeline.models.recognition import closest_architecture  # it builds every known model

    closest = closest_architecture(state)
    return f" {closest}." if closest else ""


def _first_few(keys: list[str]) -> str:
    more = f" and {len(keys) - MAX_LISTED} more" if len(keys) > MAX_LISTED else ""
    return ", ".join(keys[:MAX_LISTED]) + more
