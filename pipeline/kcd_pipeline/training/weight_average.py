"""An exponential moving average of a model's weights, often more accurate than they are while the rate is high.

Polyak and Juditsky, *Acceleration of Stochastic Approximation by Averaging*, SIAM Journal on Control and Optimization
30(4), 1992; with decaying weights in Tarvainen and Valpola, *Mean teachers are better role models*, NeurIPS 2017.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from kcd_pipeline.models.weights import independent_tensors

FILE, UPDATES = "average.safetensors", "updates"  # in the folder of a checkpoint, and a key of the file's header


def decay_of(update: int, decay: float) -> float:
    """Return the decay of an update, counted from 0: `min(decay, (1 + t) / (10 + t))`, t the updates before it.

    Without the rise at the beginning, the random weights of the start would stay in the average for `1 / (1 - decay)`
    steps. It is that of TensorFlow's `ExponentialMovingAverage` with `num_updates`.
    """
    return min(decay, (1 + update) / (10 + update))


class WeightAverage:
    """The average of all that is in the state dict of `model`: after each step, `a <- d * a + (1 - d) * w`.

    Running statistics of batch norms are averaged as weights are; whole numbers are copied. Nothing waits for the
    device. It begins with the weights that the model has now.

    Parameters
    ----------
    decay
        d of all but the first updates, see `decay_of`; 0..1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._model, self._updates = model, 0
        self._average = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights that the model has now."""
        averaged: list[Tensor] = []
        current: list[Tensor] = []
        for name, tensor in self._model.state_dict().items():
            if tensor.is_floating_point() or tensor.is_complex():
                averaged.append(self._average[name])
                current.append(tensor)
            else:
                self._average[name].copy_(tensor)
        get_ema_multi_avg_fn(decay_of(self._updates, self.decay))(averaged, current, self._updates)
        self._updates += 1

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """Let the model have the averaged weights inside the block, and its own again after it."""
        own = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}
        self._model.load_state_dict(self._average)
        try:
            yield
        finally:
            self._model.load_state_dict(own)

    def buffers(self) -> list[Tensor]:
        """Return the averages of the model's buffers, such as the running statistics of batch norms."""
        parameters = {name for name, _ in self._model.named_parameters(remove_duplicate=False)}
        return [tensor for name, tensor in self._average.items() if name not in parameters]

    def state_dict(self) -> dict[str, Any]:
        """Return the average and the number of its updates."""
        return {UPDATES: self._updates, "average": dict(self._average)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, on the device of the model.

        Raises
        ------
        ValueError
            If it is the average of another model.
        """
        if state["average"].keys() != self._average.keys():
            raise ValueError("the averaged weights are those of another model")
        for name, tensor in state["average"].items():
            self._average[name].copy_(tensor)
        self._updates = int(state[UPDATES])

    def save(self, models: list[nn.Module], states: list[dict[str, Tensor]], folder: str) -> None:
        """Write the average into the folder of a checkpoint; a hook for accelerate, which writes the rest there."""
        told = {UPDATES: str(self._updates)}
        save_file(independent_tensors(self._average), Path(folder) / FILE, metadata=told)

    def load(self, models: list[nn.Module], folder: str) -> None:
        """Go on from the average in the folder of a checkpoint; a hook for accelerate, which loads the rest."""
        with safe_open(Path(folder) / FILE, framework="pt") as file:
            average = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # the file is no mapping
            self.load_state_dict({UPDATES: file.metadata()[UPDATES], "average": average})
