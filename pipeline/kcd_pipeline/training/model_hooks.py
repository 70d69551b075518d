"""Hooks by which accelerate puts models into checkpoints and fills them from there."""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from kcd_pipeline.models import fill_model


def part_neighbours(models: list[nn.Module], states: list[dict[str, Tensor]], folder: str) -> None:
    """Give tensors of a state dict that lie side by side in one memory, as an LSTM's on a GPU, memory of their own.

    accelerate takes all that is in one memory for one tensor, and checkpoints the first of them alone. That is right
    for a tied parameter, which keeps its first name; `fill_model` gives it all of them.
    """
    for state in states:
        first: dict[int, int] = {}
        for name, tensor in list(state.items()):
            place, memory = tensor.data_ptr(), tensor.untyped_storage().data_ptr()
            if memory not in first:
                first[memory] = place
            elif first[memory] == place:
                del state[name]
            else:
                state[name] = tensor.clone()


def load_models(models: list[nn.Module], folder: str) -> None:
    """Fill each of the `models` from a checkpoint, and take it from the list: accelerate loads what is left there.

    The loader that accelerate uses refuses a model with a tensor that is a part of a larger one.
    """
    while models:
        path = Path(folder) / "model.safetensors"
        fill_model(models.pop(), load_file(path), source=path, name="model of this run")
