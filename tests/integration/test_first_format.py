"""Every later version reads the files of version 0.1.0: tests/data/format-1 is opened, verified, resumed, reported.

The numbers here were written down when the folder was made, and are compared with what is read today.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.support.commands import run_command, succeed
from tests.support.files import file_contents
from tests.support.plain_zarr import read_array

from kcd_stores import NO_PARTNER, KnowledgeStore, PlanStore, ValueStore

COMMITTED = Path(__file__).parents[1] / "data" / "format-1"
LARGEST_SIZE = 200_000  # bytes; every clone has the folder for ever

VIEWS, SAMPLES, CLASSES, EPOCHS = 3, 120, 10, 6
LOGITS_SHA256 = "08769a9933bc991df0622d682d8ca7fc0a5503e4a343fd9b8507100198c380b3"  # little-endian float16, in order
FIRST_ROW = [
    *(1.62109375, -1.3798828125, 0.2303466796875, 0.32275390625, -1.1201171875),
    *(1.3837890625, -1.7421875, -0.6845703125, 0.296142578125, 0.262939453125),
]
KEPT = [120, 102, 84]
PERTURBED = [0, 18, 18]
PARTNERS_OF_STAGE_1 = {4: 29, 5: 62, 6: 55, 12: 56, 22: 101, 27: 106, 28: 105, 35: 54, 47: 95} | {
    48: 90,
    69: 43,
    80: 74,
    84: 64,
    89: 24,
    92: 26,
    98: 49,
    110: 41,
    114: 21,
}
FIRST_VALUES = [2.1695651809374494, 2.074993133544922, 2.067528227965037, 2.144931634267171]  # nats, after all epochs
VISITS = {2: 18, 4: 18, 6: 84}  # {visits: number of samples with so many visits}
LAST_BIAS = [
    *(0.11400790512561798, -0.07679963111877441, 0.0021141530014574528, -0.018191825598478317, 0.040844473987817764),
    *(0.08753865957260132, -0.0018336089560762048, -0.10212992876768112, 0.06222385913133621, 0.015309683047235012),
]
ACCURACY = 0.4527777777777778
AS_THEN = ("--set", "condense.dropped=new")  # its default at the time


@pytest.fixture(scope="module", autouse=True)
def _committed_files_stay() -> Iterator[None]:
    """No test of this module changes a byte of the committed folder."""
    before = file_contents(COMMITTED)
    yield
    assert file_contents(COMMITTED) == before


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, which is the current one and from which the student's module is imported."""
    folder = tmp_path / "format-1"
    shutil.copytree(COMMITTED, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "tiny_student", raising=False)
    return folder


def test_the_folder_is_small() -> None:
    committed = (name for name in file_contents(COMMITTED).items() if "__pycache__" not in name[0])
    assert sum(len(content) for _, content in committed) < LARGEST_SIZE


# --- the store ----------------------------------------------------------------------------------------------


def test_zarr_alone_reads_the_logits_that_were_written() -> None:
    logits = read_array(COMMITTED / "store.zarr", "logits")
    assert logits.shape == (VIEWS, SAMPLES, CLASSES)
    assert logits.dtype == np.float16
    assert logits[0, 0].tolist() == FIRST_ROW
    assert hashlib.sha256(logits.astype("<f2").tobytes()).hexdigest() == LOGITS_SHA256
    assert read_array(COMMITTED / "store.zarr", "complete").tolist() == [[1, 1]] * VIEWS


def test_the_store_opens_and_gives_the_rows_that_zarr_reads() -> None:
    store = KnowledgeStore.open(COMMITTED / "store.zarr")
    assert (store.layout.views, store.layout.samples, store.layout.classes) == (VIEWS, SAMPLES, CLASSES)
    assert store.made_from["teacher"]["model"] == "tiny_student:tiny"
    assert store.identity == "57978c99b0c1"
    logits = read_array(COMMITTED / "store.zarr", "logits")
    for view in range(VIEWS):
        np.testing.assert_array_equal(store.read_view(view), logits[view])


def test_the_store_is_verified_and_its_rows_are_the_teachers(copy: Path) -> None:
    assert "is sound: 360 rows read" in succeed("verify", "store.zarr")
    assert "rows made again by the teacher differ by" in succeed("verify", "store.zarr", "--teacher", "recipe.yaml")


def test_the_store_is_inspected(copy: Path) -> None:
    inspected = run_command("inspect", "store.zarr", "--json")
    assert inspected.stderr.count("is of format 1, which has no checksums") == 1
    facts = json.loads(inspected.stdout)
    assert (facts["shape"], facts["identity"]) == ([VIEWS, SAMPLES, CLASSES], "57978c99b0c1")
    assert "complete" in succeed("inspect", "store.zarr")


def test_nothing_is_extracted_again(copy: Path) -> None:
    before = file_contents(copy / "store.zarr")
    assert "is complete: 360 rows in 6 blocks; nothing to do" in succeed("extract-teacher", "recipe.yaml")
    assert file_contents(copy / "store.zarr") == before


# --- the finished run ---------------------------------------------------------------------------------------


def test_the_plans_are_those_that_were_taught() -> None:
    plans = PlanStore(COMMITTED / "finished" / "plans.zarr")
    read = [plans.read(stage) for stage in range(3)]
    assert [len(plan.kept) for plan in read] == KEPT
    assert [int(plan.low.sum()) for plan in read] == PERTURBED
    first = read[1]
    blended = first.partner != NO_PARTNER
    assert dict(zip(first.kept[blended].tolist(), first.partner[blended].tolist(), strict=True)) == PARTNERS_OF_STAGE_1
    assert first.epsilon.max() == np.float32(0.3)


def test_the_values_are_those_that_were_recorded() -> None:
    value, frequency = ValueStore.open(COMMITTED / "finished" / "values.zarr").read(EPOCHS - 1)
    assert value[:4].tolist() == FIRST_VALUES
    visits, samples = np.unique(frequency, return_counts=True)
    assert dict(zip(visits.tolist(), samples.tolist(), strict=True)) == VISITS


def test_the_weights_are_those_that_were_trained() -> None:
    assert load_file(COMMITTED / "finished" / "weights.safetensors")["5.bias"].tolist() == LAST_BIAS


def test_the_run_is_inspected_and_reported(copy: Path) -> None:
    assert "finished, 6 of 6 epochs" in succeed("inspect", "finished")
    report = json.loads(run_command("report", "finished", "--json").stdout)
    assert report["arms"][0]["name"] == "kcd tiny_student:tiny"
    said = run_command("report", "finished")
    assert "45.28%" in said.stdout
    assert said.stderr.count("recorded no checksums") == 1


def test_a_finished_run_is_not_run_again(copy: Path) -> None:
    before = file_contents(copy / "finished")
    assert "The run was finished already" in succeed("distill", "recipe.yaml", *AS_THEN, "--resume")
    assert "The run was finished already" in succeed("distill", "recipe.yaml", *AS_THEN)
    assert file_contents(copy / "finished") == before


# --- the unfinished run -------------------------------------------------------------------------------------


def test_the_unfinished_run_says_how_to_go_on(copy: Path) -> None:
    text = succeed("inspect", "unfinished")
    assert "not finished: 3 of 6 epochs are done" in text
    assert "distill unfinished/config.yaml --set run.dir=unfinished" in text


def test_the_unfinished_run_ends_as_the_finished_one(copy: Path) -> None:
    said = succeed("distill", "recipe.yaml", *AS_THEN, "--set", "run.dir=unfinished", "--resume")
    assert "612 knowledge rows" in said
    assert said.count("recorded no checksums") == 1
    for stage in range(3):
        for name in ("kept", "partner", "epsilon"):
            finished, resumed = (copy / run / "plans.zarr" / f"stage-{stage:03}" for run in ("finished", "unfinished"))
            np.testing.assert_array_equal(read_array(resumed, name), read_array(finished, name))
    for name in ("value", "frequency", "entropy"):
        finished, resumed = (copy / run / "values.zarr" for run in ("finished", "unfinished"))
        np.testing.assert_allclose(read_array(resumed, name), read_array(finished, name), rtol=0, atol=1e-5)
    weights, again = (load_file(copy / run / "weights.safetensors") for run in ("finished", "unfinished"))
    assert weights.keys() == again.keys()
    for name, tensor in weights.items():
        np.testing.assert_allclose(again[name], tensor, rtol=0, atol=1e-5)
    assert json.loads((copy / "unfinished" / "summary.json").read_text())["test_accuracy"] == pytest.approx(ACCURACY)
