"""Weights: they are read back as written, hashed by content alone, and refused with details where they do not fit."""

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kcd_pipeline.errors import UserError
from kcd_pipeline.models import build_model, fill_model, load_weights, save_weights, weights_hash


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return build_model("resnet8", channels=1, classes=10).state_dict()


def test_weights_and_facts_are_read_back_as_written(tmp_path: Path) -> None:
    model = build_model("resnet8", channels=1, classes=10)
    path = tmp_path / "new" / "folder" / "w.safetensors"
    save_weights(path, model, {"model": "resnet8", "test_accuracy": 0.1 + 0.2})
    read = load_weights(path)
    state, facts = read.state, read.facts
    assert facts == {"model": "resnet8", "test_accuracy": 0.30000000000000004}
    other = build_model("resnet8", channels=1, classes=10)
    fill_model(other, state, source=path, name="resnet8")
    for key, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor)


def test_nothing_but_the_file_is_left_behind_and_an_old_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")
    save_weights(path, build_model("resnet8", channels=1, classes=10), {})
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]
    assert "fc.bias" in load_file(path)


def test_weights_of_channels_last_models_are_written_as_any_other(tmp_path: Path) -> None:
    model = build_model("resnet8", channels=3, classes=10)
    before = weights_hash(model.state_dict())
    save_weights(tmp_path / "w.safetensors", model.to(memory_format=torch.channels_last), {})
    assert weights_hash(load_weights(tmp_path / "w.safetensors").state) == before


def test_a_file_of_other_make_has_no_facts(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state, tmp_path / "w.safetensors")
    read = load_weights(tmp_path / "w.safetensors")
    assert read.facts == {}
    assert read.state.keys() == state.keys()


# --- the hash --------------------------------------------------------------------------------------------


def test_the_hash_is_the_same_across_files_their_metadata_and_the_order_of_keys(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    keys = list(state)
    random.Random(0).shuffle(keys)
    save_file(state, tmp_path / "plain.safetensors")
    save_file({key: state[key] for key in keys}, tmp_path / "other.safetensors", metadata={"kcd": '{"model": "x"}'})
    assert (tmp_path / "plain.safetensors").read_bytes() != (tmp_path / "other.safetensors").read_bytes()
    hashes = {weights_hash(load_weights(tmp_path / f"{name}.safetensors").state) for name in ("plain", "other")}
    assert hashes == {weights_hash(state)}
    assert weights_hash({key: state[key] for key in keys}) == weights_hash(state)


def test_the_hash_differs_on_one_bit_one_name_one_shape_or_one_type(state: dict[str, Tensor]) -> None:
    bit = state["fc.bias"].clone()
    bit.view(torch.int32)[3] ^= 1
    renamed = {("fc.offset" if key == "fc.bias" else key): tensor for key, tensor in state.items()}
    hashes = {
        weights_hash(state),
        weights_hash(state | {"fc.bias": bit}),
        weights_hash(renamed),
        weights_hash(state | {"fc.weight": state["fc.weight"].reshape(64, 10)}),
        weights_hash(state | {"fc.bias": state["fc.bias"].view(torch.int32)}),
        weights_hash(state | {"fc.bias": state["fc.bias"].bfloat16()}),
    }
    assert len(hashes) == 6


# --- weights that do not fit ------------------------------------------------------------------------------


def refusal(state: dict[str, Tensor], model: str, classes: int) -> str:
    target = build_model(model, channels=1, classes=classes)
    before = weights_hash(target.state_dict())
    with pytest.raises(UserError) as caught:
        fill_model(target, state, source=Path("w.safetensors"), name=model)
    assert weights_hash(target.state_dict()) == before
    return str(caught.value)


def test_weights_of_another_depth_are_refused_with_what_is_missing(state: dict[str, Tensor]) -> None:
    # two blocks a stage for one: two convolutions, two batch norms of five entries, three times
    message = refusal(state, "resnet14", 10)
    assert "the weights in w.safetensors are not those of a resnet14: 36 missing from the file: layer1.1." in message
    assert "and 32 more" in message


def test_weights_of_another_depth_are_refused_with_the_entries_left_over() -> None:
    message = refusal(build_model("resnet14", channels=1, classes=10).state_dict(), "resnet8", 10)
    assert "36 unknown to the model: layer1.1." in message


def test_weights_of_another_number_of_classes_are_refused_with_both_shapes(state: dict[str, Tensor]) -> None:
    message = refusal(state, "resnet8", 7)
    assert "2 of another shape: fc.weight [10, 64] for [7, 64], fc.bias [10] for [7]" in message


def test_all_three_kinds_of_difference_are_said_at_once(state: dict[str, Tensor]) -> None:
    state["fc.weight"] = state["fc.weight"].T.contiguous()
    state["head.bias"] = state.pop("fc.bias")
    message = refusal(state, "resnet8", 10)
    assert "1 missing from the file: fc.bias" in message
    assert "1 unknown to the model: head.bias" in message
    assert "1 of another shape: fc.weight [64, 10] for [10, 64]" in message


# --- files that are none ---------------------------------------------------------------------------------


def test_missing_weights_say_which_command_makes_them(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(UserError) as caught:
        load_weights(path)
    assert f"there are no weights at {path}" in str(caught.value)
    assert "`kcd-pipeline train-teacher CONFIG`" in str(caught.value)


@pytest.mark.parametrize("kind", ["empty", "text", "cut short"])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, kind: str, state: dict[str, Tensor]) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state, path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"weights, honestly" * 9, "cut short": whole[:-100]}[kind])
    with pytest.raises(UserError, match=r"is neither a readable safetensors file .* nor a checkpoint") as caught:
        load_weights(path)
    assert str(path) in str(caught.value)
