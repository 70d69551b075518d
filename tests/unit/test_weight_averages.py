"""The average of a model's weights: by hand in numpy, in the model and out of it again, and through a checkpoint."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kcd_pipeline.training.weight_average import FILE, WeightAverage, decay_of


class Tied(nn.Module):
    """A network with a batch norm, a parameter of two names, and a buffer that no state dict has."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
        self.body[2].weight = self.body[0].weight
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x) * self.scale
        return logits


def model() -> Tied:
    torch.manual_seed(0)
    return Tied()


def change(net: nn.Module, seed: int) -> None:
    """Give every tensor of the state dict other numbers, as training does."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=random))
            else:
                tensor.add_(1)


def numbers(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy().copy() for name, tensor in net.state_dict().items()}


def test_the_decay_rises_as_in_tensorflow() -> None:
    """min(d, (1 + t) / (10 + t)): 1/10, 2/11, 3/12, ...; 91/100 at t = 90, and 0.9 is reached at t = 80."""
    assert [decay_of(t, 0.999) for t in range(3)] == pytest.approx([1 / 10, 2 / 11, 3 / 12])
    assert decay_of(90, 0.999) == pytest.approx(0.91)
    assert [decay_of(t, 0.9) for t in (79, 80, 81, 10**6)] == pytest.approx([80 / 89, 0.9, 0.9, 0.9])


@pytest.mark.parametrize("decay", [0.05, 0.15, 0.999])
def test_updates_by_hand(decay: float) -> None:
    net = model()
    average, expected = WeightAverage(net, decay), numbers(net)
    for update in range(4):
        change(net, update)
        average.update()
        kept = min(decay, (1 + update) / (10 + update))
        for name, now in numbers(net).items():
            counter = name.endswith("num_batches_tracked")
            expected[name] = now if counter else kept * expected[name] + (1 - kept) * now
    with average.in_model():
        found = numbers(net)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)
    assert not np.allclose(found["body.1.running_var"], numbers(net)["body.1.running_var"])


def test_the_model_has_its_own_weights_again_after_the_block_even_if_it_fails() -> None:
    net = model()
    average = WeightAverage(net, 0.5)
    change(net, 1)
    own, parameters = numbers(net), [id(parameter) for parameter in net.parameters()]
    with suppress(KeyError), average.in_model():
        assert not np.allclose(numbers(net)["body.0.bias"], own["body.0.bias"])
        raise KeyError
    for name, value in numbers(net).items():
        np.testing.assert_array_equal(value, own[name])
    assert [id(parameter) for parameter in net.parameters()] == parameters, "the optimizer holds these"


def test_an_average_goes_on_from_a_checkpoint_as_if_it_had_never_ended(tmp_path: Path) -> None:
    def moved(seeds: range, before: Path | None) -> tuple[WeightAverage, nn.Module]:
        net = model()
        average = WeightAverage(net, 0.999)
        if before is not None:
            average.load([net], str(before))
        for seed in seeds:
            change(net, seed)
            average.update()
        return average, net

    moved(range(2), None)[0].save([], [], str(tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    (whole, one), (resumed, other) = moved(range(5), None), moved(range(2, 5), tmp_path)
    with whole.in_model(), resumed.in_model():
        for name, value in numbers(one).items():
            if not name.endswith("num_batches_tracked"):  # of which the second model has counted fewer
                np.testing.assert_array_equal(numbers(other)[name], value)


def test_the_average_of_another_model_is_not_taken() -> None:
    other = WeightAverage(nn.Linear(2, 2), 0.9).state_dict()
    with pytest.raises(ValueError, match="another model"):
        WeightAverage(model(), 0.9).load_state_dict(other)


def test_buffers_that_ranks_share_are_those_of_the_batch_norm() -> None:
    found = WeightAverage(model(), 0.9).buffers()
    assert [tuple(tensor.shape) for tensor in found] == [(4,), (4,), ()], "running mean and variance, and the counter"
