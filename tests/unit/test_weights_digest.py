"""The digest in the header of weights: a file of ours that is not what was written is never taken for weights."""

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from kcd_pipeline.config import load_config
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.models import build_model, load_weights, save_weights, weights_hash
from kcd_pipeline.teacher_rows import Extractor

FACTS = {"model": "tiny", "test_accuracy": 0.5}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_weights(tmp_path / "w.safetensors", nn.Linear(3, 2), FACTS)
    return tmp_path / "w.safetensors"


def test_no_flipped_bit_of_the_whole_file_is_believed(path: Path) -> None:
    whole, undisturbed = path.read_bytes(), load_weights(path)
    chooser = random.Random(0)
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << chooser.randrange(8)
        path.write_bytes(flipped)
        with suppress(FailedError, UserError):
            found = load_weights(path)  # a flip in a file's white space means nothing
            assert found.facts == undisturbed.facts, place
            assert all(torch.equal(found.state[name], undisturbed.state[name]) for name in undisturbed.state), place


@pytest.mark.parametrize(
    "metadata",
    [
        {"kcd": json.dumps(FACTS), "kcd_sha256": "0" * 64},
        {"kcd": json.dumps(FACTS), "kcd_sha257": "0" * 64},
        {"kcd_sha256": "0" * 64},
        {"kcd": "[1, 2"},
        {"kcd": "[1, 2]"},
    ],
)
def test_a_header_that_is_not_whole_is_damage(path: Path, metadata: dict[str, str]) -> None:
    save_file(load_file(path), path, metadata=metadata)
    with pytest.raises(FailedError, match=r"are damaged: they are not what was written"):
        load_weights(path)


def test_weights_from_before_there_was_a_digest_are_read(path: Path) -> None:
    state = load_file(path)
    save_file(state, path, metadata={"kcd": json.dumps(FACTS)})
    assert load_weights(path).facts == FACTS


def test_the_header_of_weights_has_their_facts_and_a_digest(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    assert header.keys() == {"kcd", "kcd_sha256"}
    assert json.loads(header["kcd"]) == FACTS
    assert len(header["kcd_sha256"]) == 64


def test_the_same_weights_are_the_same_bytes(path: Path) -> None:
    torch.manual_seed(0)
    model, whole = nn.Linear(3, 2), path.read_bytes()
    for _ in range(8):
        save_weights(path, model, FACTS)
        assert path.read_bytes() == whole


def test_tied_parameters_are_written_under_both_names(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    save_weights(tmp_path / "tied.safetensors", model, FACTS)
    state = load_weights(tmp_path / "tied.safetensors").state
    assert state.keys() == {"0.weight", "1.weight"}
    assert torch.equal(state["0.weight"], state["1.weight"])


def test_a_store_names_the_weights_that_were_loaded_whatever_the_file_is_by_now(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    torch.manual_seed(1)
    first, second = (build_model("resnet8", channels=1, classes=10) for _ in range(2))
    save_weights(path, first, {})
    given = [f"teacher.weights={path}", "teacher.model=resnet8", "data.limit_per_class=1", "run.device=cpu"]
    extractor = Extractor(load_config("digits", given))
    save_weights(path, second, {})
    assert extractor.origin()["teacher"]["weights_sha256"] == weights_hash(first.state_dict())
