"""Checkpoints of other programs: every usual container gives the same weights, and so the same hash."""

import argparse
import pickle
import random
import re
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kcd_pipeline.errors import UserError
from kcd_pipeline.models import build_model, fill_model, load_weights, weights_hash
from kcd_pipeline.models.recognition import closest_architecture


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(build_model("resnet8", channels=3, classes=10).state_dict())


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def read(path: Path) -> dict[str, Tensor]:
    return load_weights(path).state


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_weights(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_every_container_gives_the_same_weights_and_the_same_hash(tmp_path: Path, state: dict[str, Tensor]) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=0.1, momentum=0.9)
    parallel = {f"module.{key}": tensor for key, tensor in state.items()}
    contents: dict[str, Any] = {
        "bare.pth": state,
        "repdistiller.pth": {
            "epoch": 240,
            "model": state,
            "best_acc": torch.tensor(72.3),
            "opt": optimizer.state_dict(),
        },
        "lightning.ckpt": {"state_dict": state, "epoch": 3, "hyper_parameters": {"lr": 0.1}},
        "parallel.pt": {"model": parallel},
        "numbers.pth": {"model": state, "accuracy": np.float64(0.75), "epoch": np.int64(240), "acc5": np.float32(0.9)},
        "arguments.pth": {"model": state, "args": argparse.Namespace(lr=0.05, milestones=[150, 180, 210])},
    }
    hashes = {name: weights_hash(read(saved(tmp_path / name, content))) for name, content in contents.items()}
    old = saved(tmp_path / "old.pth", {"model": state}, _use_new_zipfile_serialization=False)  # as before torch 1.6
    hashes["old.pth"] = weights_hash(read(old))
    save_file(state, tmp_path / "w.safetensors")
    hashes["safetensors"] = weights_hash(read(tmp_path / "w.safetensors"))
    save_file(parallel, tmp_path / "parallel.safetensors")
    hashes["parallel safetensors"] = weights_hash(read(tmp_path / "parallel.safetensors"))
    assert hashes == dict.fromkeys(hashes, weights_hash(state))


def test_a_pickle_of_numpy_1_is_read(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = saved(tmp_path / "w.pth", {"model": state, "acc": np.float64(0.5)}, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert content.count(b"numpy._core.multiarray") == 1
    path.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert weights_hash(read(path)) == weights_hash(state)


def test_a_prefix_that_not_all_keys_have_is_part_of_the_names(tmp_path: Path) -> None:
    mixed = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert read(saved(tmp_path / "w.pth", mixed)).keys() == mixed.keys()


def test_a_checkpoint_from_before_batches_were_counted_fits(state: dict[str, Tensor]) -> None:
    old = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    model = build_model("resnet8", channels=3, classes=10)
    fill_model(model, old, source=Path("old.pth"), name="resnet8")
    assert weights_hash(model.state_dict()) == weights_hash(state)


class Evil:
    """A pickle that runs code when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_unrun(tmp_path: Path, state: dict[str, Tensor], zipped: bool) -> None:
    trace = tmp_path / "trace"
    content = {"model": state, "more": Evil(trace)}
    message = refusal(saved(tmp_path / "w.pth", content, _use_new_zipfile_serialization=zipped))
    assert not trace.exists()
    assert "holds more than tensors and numbers, and is not loaded" in message
    assert "save its state dict alone" in message


def test_a_whole_pickled_module_is_refused_with_what_to_do(tmp_path: Path) -> None:
    message = refusal(saved(tmp_path / "w.pth", build_model("resnet8", channels=3, classes=10)))
    assert "CifarResNet" in message
    assert ".state_dict()" in message


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"net": {"a": torch.ones(1)}, "epoch": 3}, "a mapping of net, epoch"),
        ({"model": {}}, "a mapping of model"),
        ([torch.ones(1)], "found list"),
        (torch.ones(3), "found Tensor"),
    ],
)
def test_a_checkpoint_without_a_state_dict_says_what_it_has(tmp_path: Path, content: Any, found: str) -> None:
    message = refusal(saved(tmp_path / "w.pth", content))
    assert "has no state dict: expected names and tensors, there or under 'model' or 'state_dict'" in message
    assert found in message


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_is_cut_short_is_named(tmp_path: Path, state: dict[str, Tensor], zipped: bool) -> None:
    path = saved(tmp_path / "w.pth", state, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:-4000])
    assert "is not a readable torch file" in refusal(path)


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps({"model": "resnet8"}, protocol=2))
    refusal(path)


def test_no_flipped_bit_of_the_weights_in_an_archive_is_believed(tmp_path: Path, state: dict[str, Tensor]) -> None:
    """torch itself reads them without a look at the checksums that it wrote."""
    path = saved(tmp_path / "w.pth", {"model": {"fc.weight": state["fc.weight"]}})
    whole, right = path.read_bytes(), weights_hash(read(path))
    chooser = random.Random(0)
    believed = 0
    for _ in range(100):
        flipped = bytearray(whole)
        flipped[chooser.randrange(len(whole))] ^= 1 << chooser.randrange(8)
        path.write_bytes(flipped)
        with suppress(UserError):
            assert weights_hash(read(path)) == right
            believed += 1
    assert believed < 50, "padding and names of the archive alone"


def test_an_archive_that_was_saved_without_checksums_is_read(tmp_path: Path, state: dict[str, Tensor]) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path / "w.pth", state)
    finally:
        torch.serialization.set_crc32_options(before)
    assert weights_hash(read(path)) == weights_hash(state)


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "plain.pth", {"a": torch.zeros(1 << 20)})
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    message = refusal(tmp_path / "w.pth")
    assert re.search(r"would unpack to 4,[\d,]+ bytes from [\d,]+, but torch\.save compresses nothing", message)


@pytest.mark.filterwarnings("ignore")  # torch's, on what becomes of such tensors
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: torch.eye(3).to_sparse(), "a in FILE is a tensor of type sparse_coo, expected dense numbers"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "a in FILE is a tensor of type qint8"),
        (lambda: torch.ones(1).expand(1 << 40), "a in FILE claims 1,099,511,627,776 numbers"),
    ],
    ids=["sparse", "quantised", "expanded"],
)
def test_tensors_that_are_no_dense_numbers_are_refused(tmp_path: Path, make: Callable[[], Tensor], said: str) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": make()}, path)
    assert said.replace("FILE", str(path)) in refusal(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_no_mutation_of_a_checkpoint_ends_unforeseen(tmp_path: Path, zipped: bool) -> None:
    path = saved(tmp_path / "w.pth", {"model": {"a": torch.ones(3)}}, _use_new_zipfile_serialization=zipped)
    whole, chooser = path.read_bytes(), random.Random(0)
    for _ in range(200):
        mutated = bytearray(whole)
        place = chooser.randrange(len(whole))
        mutated[place : place + chooser.randrange(4)] = chooser.randbytes(chooser.randrange(4))
        path.write_bytes(mutated)
        with suppress(UserError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's, on an unknown protocol
            load_weights(path)


# --- which architecture it is ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "channels", "classes", "sentence"),
    [
        ("resnet56", 3, 100, "They are those of a resnet56 for 100 classes and 3 channels"),
        ("wrn_40_2", 1, 10, "They are those of a wrn_40_2 for 10 classes and 1 channel"),
        ("vgg13", 3, 7, "They are those of a vgg13 for 7 classes and 3 channels"),
        ("MobileNetV2", 3, 2, "They are those of a MobileNetV2 for 2 classes and 3 channels"),
        ("torchvision/resnet18", 3, 5, "They are those of a torchvision/resnet18 for 5 classes and 3 channels"),
    ],
)
def test_an_architecture_is_known_by_its_weights(name: str, channels: int, classes: int, sentence: str) -> None:
    state = build_model(name, channels=channels, classes=classes).state_dict()
    assert str(closest_architecture(dict(sorted(state.items())))) == sentence


def test_weights_that_are_nearly_known_say_how_nearly(state: dict[str, Tensor]) -> None:
    # seven convolutions in blocks and stem, two of shortcuts, nine norms of five entries, weight and bias: 56; two are
    # called otherwise, so 54 agree of the 58 names that there are in all
    renamed = {key.replace("fc.", "head."): tensor for key, tensor in state.items()}
    assert len(state) == 7 + 2 + 9 * 5 + 2
    assert str(closest_architecture(renamed)).startswith(
        "The closest that is known is a resnet8: 54 of 58 entries agree"
    )


def test_weights_like_nothing_known_are_like_nothing() -> None:
    assert closest_architecture({"encoder.weight": torch.ones(3, 3), "encoder.bias": torch.ones(3)}) is None


def test_weights_of_another_model_are_refused_with_its_name(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "ckpt_epoch_240.pth", {"model": build_model("wrn_16_2", channels=3, classes=100).state_dict()}
    )
    with pytest.raises(UserError) as caught:
        fill_model(build_model("wrn_40_2", channels=3, classes=100), read(path), source=path, name="wrn_40_2")
    message = str(caught.value)
    assert f"the weights in {path} are not those of a wrn_40_2: " in message
    assert "They are those of a wrn_16_2 for 100 classes and 3 channels. Name the model that they belong to" in message
