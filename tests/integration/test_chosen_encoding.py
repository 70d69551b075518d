"""A recipe of `store.encoding: auto` through all commands, with the teacher and the images of tests/data/format-1."""

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.support.commands import run_command, succeed
from tests.support.plain_zarr import read_attributes, read_numbers

from kcd_stores import KnowledgeStore

COMMITTED = Path(__file__).parents[1] / "data" / "format-1"
AUTO = ("--set", "store.encoding=auto", "--set", "store.path=auto.zarr", "--set", "store.max_kl=0.0001")
SHORT = ("--set", "distill.epochs=2", "--set", "condense.interval=1", "--set", "condense.dropped=new")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the recipe, the student's module and the teacher's weights, which is the current one."""
    copy = tmp_path / "home"
    copy.mkdir()
    for name in ("recipe.yaml", "tiny_student.py", "teacher.safetensors"):
        shutil.copy(COMMITTED / name, copy / name)
    monkeypatch.chdir(copy)
    monkeypatch.syspath_prepend(copy)
    monkeypatch.delitem(sys.modules, "tiny_student", raising=False)
    return copy


def test_the_choice_is_shown_recorded_and_taught_from_as_if_it_had_been_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("kcd_pipeline.extraction.estimate"), "TRIAL_SECONDS", 0.1)
    monkeypatch.setattr("kcd_pipeline.recipe_store.encoding.OTHER_SETTINGS", {"bitround": ({"keep_bits": 5},)})
    said = succeed("extract-teacher", "recipe.yaml", *AUTO, "--dry-run")
    assert "the smallest with a mean KL of at most 0.0001 nats at T = 1 and 4" in said
    assert said.count("<- chosen") == 1
    assert not (folder / "auto.zarr").exists()

    made = succeed("extract-teacher", "recipe.yaml", *AUTO)
    assert made.count("<- chosen") == 1
    again = succeed("extract-teacher", "recipe.yaml", *AUTO)
    assert "is complete: 360 rows" in again
    assert "<- chosen" not in again
    store = KnowledgeStore.open(folder / "auto.zarr")
    assert store.encoding.name == "bitround", "ten classes: topk and int8 lose more than 1e-4, float16 takes more bytes"
    facts = json.loads(run_command("inspect", "auto.zarr", "--json").stdout)
    (chosen,) = [one["encoding"] for one in facts["trial"]["candidates"] if one["chosen"]]
    assert chosen == facts["encoding"] == store.encoding_label
    assert "Encoding chosen by a trial" in succeed("inspect", "auto.zarr")
    assert "is sound: 360 rows read" in succeed("verify", "auto.zarr")

    assert "after 2 epochs" in succeed("distill", "recipe.yaml", *AUTO, *SHORT, "--set", "run.dir=by-trial")
    bits = ("--set", "store.encoding=bitround", "--set", f"store.keep_bits={store.encoding.settings()['keep_bits']}")
    named = ("--set", "store.path=auto.zarr", *bits)
    assert "after 2 epochs" in succeed("distill", "recipe.yaml", *named, *SHORT, "--set", "run.dir=by-name")
    weights = [load_file(folder / name / "weights.safetensors") for name in ("by-trial", "by-name")]
    for key, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][key])
    assert "finished already" in succeed(
        "distill", "recipe.yaml", *AUTO, *SHORT, "--set", "run.dir=by-trial", "--resume"
    )


def test_another_limit_than_the_stores_is_refused_before_training(folder: Path) -> None:
    succeed("extract-teacher", "recipe.yaml", *AUTO, "--set", "store.max_kl=0.5")
    ended = run_command("distill", "recipe.yaml", *AUTO, "--set", "store.max_kl=1e-9", "--set", "run.dir=run")
    assert ended.exit_code == 2
    assert "but store.encoding is auto with store.max_kl 1e-09" in " ".join(ended.output.split())
    assert not (folder / "run" / "metrics.jsonl").exists()


def test_a_store_of_int8_is_read_by_others_as_it_is_taught(folder: Path) -> None:
    succeed("extract-teacher", "recipe.yaml", "--set", "store.encoding=int8", "--set", "store.path=int8.zarr")
    assert read_attributes(folder / "int8.zarr")["format"] == 3
    numbers = read_numbers(folder / "int8.zarr", "logits")
    store = KnowledgeStore.open(folder / "int8.zarr")
    for view in range(3):
        np.testing.assert_allclose(numbers[view], store.read_view(view), rtol=0, atol=0)
