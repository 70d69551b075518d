"""Whole commands on bad input: the right exit code, one paragraph that says what to do, and nothing lost.

Exit code 2 is the user's to mend, 1 a failure. "Nothing lost" is tested by bytes: every file that lay there before
the command lies there after it, unchanged.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from click.testing import CliRunner
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from kcd_pipeline.cli import main
from kcd_stores import KnowledgeStore, KnowledgeWriter

SMALL = {
    "data.limit_per_class": "20",
    "teacher.epochs": "1",
    "distill.epochs": "2",
    "condense.interval": "1",
    "store.views": "2",
    "run.device": "cpu",
    "run.threads": "1",  # on so little data, threads cost more than they save
}


Says = Sequence[str | Path]  # pieces of a message; a path stands for itself


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of a command: its exit code and its output."""

    code: int
    said: str

    @property
    def words(self) -> str:
        """Its output, on one line."""
        return " ".join(self.said.split())


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder with a teacher, a store and a finished run of digits in it, or some of them."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Path:
        return self.folder / {"weights": "teacher.safetensors", "store": "store.zarr", "run": "run"}[name]

    def __call__(self, command: str, *options: str, config: str = "digits", debug: bool = False, **_: Any) -> Ended:
        paths = {"teacher.weights": self.weights, "store.path": self.store, "run.dir": self.run}
        settings = SMALL | {key: str(path) for key, path in paths.items()} | self.settings
        arguments = ["--debug"] if debug else []
        arguments += [command, config, *(f"--set={key}={value}" for key, value in settings.items()), *options]
        result = CliRunner().invoke(main, arguments)
        return Ended(code=result.exit_code, said=result.output)

    def but(self, **settings: Any) -> "Place":
        """Return the same place under other settings; `__` stands for the dot."""
        changed = {key.replace("__", "."): str(value) for key, value in settings.items()}
        return Place(folder=self.folder, settings=self.settings | changed)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Everything made once, by the commands; tests that damage something take a copy."""
    place = Place(folder=tmp_path_factory.mktemp("made"))
    for command in ("train-teacher", "extract-teacher", "distill"):
        ended = place(command)
        assert ended.code == 0, ended.said
    return place


@pytest.fixture
def copy(made: Place, tmp_path: Path) -> Place:
    """A copy of everything, to be damaged."""
    shutil.copytree(made.folder, tmp_path / "copy")
    return Place(folder=tmp_path / "copy")


@pytest.fixture
def fresh(made: Place, copy: Place) -> Place:
    """A copy without the run, so that a distillation starts anew."""
    shutil.rmtree(copy.run)
    return copy


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below `folder`, except hidden ones: those are locks, which come and go."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def refused(place: Place, command: str, *options: str, code: int = 2, says: Says, **more: Any) -> Ended:
    """Run the command; it must end with `code`, say all of `says` in one paragraph and change no file."""
    before = contents(place.folder)
    ended = place(command, *options, **more)
    after = contents(place.folder)
    assert ended.code == code, ended.said
    assert [part for part in says if " ".join(str(part).split()) not in ended.words] == [], ended.said
    assert "Traceback" not in ended.said
    assert "not foreseen" not in ended.said
    assert "\n\n" not in ended.said.strip()
    assert {name: after.get(name) for name in before} == before
    return ended


# --- config ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["train-teacher", "extract-teacher", "distill"])
def test_a_typo_in_a_key(made: Place, command: str) -> None:
    says = ["digits.yaml with --set: there is no key 'distill.epoch'; did you mean 'epochs'?"]
    refused(made.but(distill__epoch=3), command, says=says)


@pytest.mark.parametrize("command", ["train-teacher", "extract-teacher", "distill"])
def test_a_typo_in_a_value(made: Place, command: str) -> None:
    choices = "float32, float16, bitround, int8, topk, sample"
    says = [f"store.encoding: found 'flaot16', expected one of {choices}; did you mean 'float16'?"]
    refused(made.but(store__encoding="flaot16"), command, says=says)


def test_a_value_out_of_bounds(made: Place) -> None:
    refused(made.but(condense__keep_ratio=1.5), "distill", says=["condense.keep_ratio", "1.5", "less than or equal"])


def test_a_typo_in_the_name_of_a_recipe(made: Place) -> None:
    refused(made, "distill", config="digts", says=["'digts' is neither", "did you mean 'digits'?"])


def test_a_config_file_that_is_not_yaml(made: Place, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("data: {name: digits\nteacher")
    refused(made, "distill", config=str(file), says=[f"{file} cannot be read as YAML", "line 2"])


def test_a_config_file_that_is_not_there(made: Place, tmp_path: Path) -> None:
    refused(made, "distill", config=str(tmp_path / "own.yaml"), says=["there is no config file", tmp_path / "own.yaml"])


def test_a_typo_in_the_name_of_a_student(fresh: Place) -> None:
    says = ["there is no model 'resnet9'; did you mean 'resnet8'? (there are: resnet8, resnet14"]
    refused(fresh.but(student__model="resnet9"), "distill", says=says)
    assert not fresh.run.exists()


def test_a_typo_in_the_name_of_a_teacher_can_be_mended(tmp_path: Path) -> None:
    place = Place(folder=tmp_path)
    says = ["there is no model 'resnte20'; did you mean 'resnet20'?"]
    refused(place.but(teacher__model="resnte20"), "train-teacher", says=says)
    mended = place("train-teacher")
    assert mended.code == 0, mended.said


# --- data ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["train-teacher", "extract-teacher", "distill"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("imagefolder", ["is not an image folder: expected train/<class>/*.png", "Set data.root"]),
        ("fashion-mnist", ["fashion-mnist is not in", "apt-get install dataset-fashion-mnist", "data.download=true"]),
        ("cifar10", ["cifar10 is not (whole) in", "data.download=true"]),
    ],
)
def test_missing_data(fresh: Place, command: str, name: str, says: list[str]) -> None:
    root = fresh.folder / "nothing"
    other = fresh.but(data__name=name, data__root=root, teacher__weights=fresh.folder / "other.safetensors")
    refused(other, command, says=[*says, root])
    assert not root.exists()


def save_digits(root: Path, classes: tuple[int, ...]) -> None:
    """Save real digits as an image folder: five images of each class and split."""
    source = load_digits()
    for part, split in enumerate(("train", "test")):
        for digit in classes:
            (root / split / str(digit)).mkdir(parents=True)
            for k, image in enumerate(source.images[source.target == digit][5 * part : 5 * part + 5]):
                Image.fromarray((image * 15).astype(np.uint8)).save(root / split / str(digit) / f"{k}.png")


def test_an_image_that_cannot_be_read(fresh: Place) -> None:
    root = fresh.folder / "images"
    save_digits(root, (0, 1))
    damaged = root / "train" / "1" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:40])
    other = fresh.but(data__name="imagefolder", data__root=root)
    refused(other, "distill", says=[f"{damaged} cannot be read as an image", "Mend or remove the file"])


def test_reflect_padding_that_is_not_smaller_than_the_image(fresh: Place) -> None:
    fresh.store.rename(fresh.folder / "elsewhere")
    wide = fresh.but(augmentation__padding=8, augmentation__padding_mode="reflect")
    refused(wide, "extract-teacher", says=["reflect padding of 8 needs images larger than 8x8"])


# --- weights ---------------------------------------------------------------------------------------------


def test_missing_weights(fresh: Place) -> None:
    fresh.weights.unlink()
    says = [f"there are no weights at {fresh.weights}", "`kcd-pipeline train-teacher digits --set "]
    refused(fresh, "extract-teacher", says=says)


def test_weights_of_another_architecture(made: Place) -> None:
    says: Says = [made.weights, "are those of a resnet20, but teacher.model is resnet14"]
    refused(made.but(teacher__model="resnet14"), "extract-teacher", says=says)


def test_weights_of_another_architecture_that_do_not_say_so(fresh: Place) -> None:
    save_file(load_file(fresh.weights), fresh.weights)  # without the facts in its header
    says: list[str | Path] = [
        fresh.weights,
        "not those of a resnet14 for 10 classes",
        "36 unknown to the model: layer1.2.",
    ]
    refused(fresh.but(teacher__model="resnet14"), "extract-teacher", says=says)


def test_weights_of_another_data_set(made: Place, tmp_path: Path) -> None:
    save_digits(tmp_path / "images", (3, 7))
    says: list[str | Path] = [
        made.weights,
        "was trained on another data set: classes found ['0', '1'",
        "expected ['3', '7']",
    ]
    refused(made.but(data__name="imagefolder", data__root=tmp_path / "images"), "extract-teacher", says=says)


def test_weights_that_are_no_weights(fresh: Place) -> None:
    fresh.weights.write_bytes(fresh.weights.read_bytes()[:1000])
    refused(fresh, "extract-teacher", says=[f"{fresh.weights} is neither a readable safetensors file"])


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_weights_that_were_not_trained_here_are_not_replaced(fresh: Place, options: list[str]) -> None:
    shutil.rmtree(fresh.folder / "teacher.training")
    says = [f"{fresh.weights} exists, and was not trained here", "set teacher.weights to a file that is not there yet"]
    refused(fresh, "train-teacher", *options, says=says)


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
@pytest.mark.parametrize("kind", ["somebody else's", "of train-teacher", "a link"])
def test_weights_put_in_the_place_of_those_trained_here_are_not_replaced(
    copy: Place, kind: str, options: list[str]
) -> None:
    facts = told_facts(copy.weights)
    other = load_file(copy.weights)
    other["fc.bias"][7] += 1
    kept = copy.folder / "precious.safetensors"
    save_file(other, kept, metadata=None if kind == "somebody else's" else facts)
    copy.weights.unlink()
    copy.weights.symlink_to(kept) if kind == "a link" else kept.rename(copy.weights)
    says = [f"{copy.weights} does not hold the weights that the training in", "set teacher.weights to a file"]
    refused(copy, "train-teacher", *options, says=says)


def test_a_teacher_trained_here_is_replaced_on_purpose(copy: Place) -> None:
    (copy.folder / "teacher.training" / "notes.txt").write_text("seed 0 looks odd")
    before = load_file(copy.weights)
    ended = copy.but(seed=1)("train-teacher", "--overwrite")
    assert ended.code == 0, ended.said
    assert not torch.equal(load_file(copy.weights)["fc.weight"], before["fc.weight"])
    assert (copy.folder / "teacher.training" / "notes.txt").read_text() == "seed 0 looks odd"


def test_a_teacher_trained_by_another_recipe_is_not_replaced(made: Place) -> None:
    says = ["belongs to a run of another config", "teacher.lr: found 0.05, expected 0.5", "Set teacher.weights to"]
    refused(made.but(teacher__lr=0.5), "train-teacher", says=says)


def told_facts(weights: Path) -> dict[str, str]:
    """Return the facts in the header of weights that were trained here, without the digest of their tensors."""
    with safe_open(weights, framework="pt") as file:
        return {"kcd": file.metadata()["kcd"]}


def make_logit_nan(weights: Path) -> None:
    """Make the teacher's logit for class 7 NaN, as after a training that diverged."""
    state = load_file(weights)
    state["fc.bias"][7] = torch.nan
    save_file(state, weights, metadata=told_facts(weights))


def test_a_teacher_whose_logits_are_not_finite(fresh: Place) -> None:
    make_logit_nan(fresh.weights)
    fresh.store.rename(fresh.folder / "elsewhere")
    says = ["the teacher's logit for class '7' of sample 0 (", "view 0, is nan", f"Check {fresh.weights}"]
    refused(fresh, "extract-teacher", code=1, says=says)
    assert not fresh.store.exists()


# --- stores that are not what is asked for ---------------------------------------------------------------


def test_a_missing_store(fresh: Place) -> None:
    shutil.rmtree(fresh.store)
    says = [f"there is no knowledge store at {fresh.store}", "`kcd-pipeline extract-teacher digits --set", "store.path"]
    refused(fresh, "distill", says=says)
    assert not fresh.run.exists()


OTHERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "part of the data": ({"data__limit_per_class": 10}, ["dataset.size: found 200, expected 100"]),
    "augmentation seed": ({"augmentation__seed": 1}, ["augmentation.seed: found 0, expected 1"]),
    "augmentation": ({"augmentation__name": "none"}, ["augmentation.name: found crop-flip, expected none"]),
    "encoding": ({"store__encoding": "float32"}, ["encoding.name: found float16, expected float32"]),
}


@pytest.mark.parametrize("command", ["extract-teacher", "distill"])
@pytest.mark.parametrize("other", OTHERS)
def test_a_store_of_something_else_is_refused_with_both_sides(fresh: Place, command: str, other: str) -> None:
    settings, differences = OTHERS[other]
    says = [f"the store at {fresh.store} was made from something else than is asked for", *differences]
    refused(fresh.but(**settings), command, says=[*says, "Point store.path at the store that belongs to this config"])
    assert not fresh.run.exists()


def test_a_store_of_another_data_set_and_number_of_classes(fresh: Place) -> None:
    save_digits(fresh.folder / "images", (3, 7))
    other = fresh.but(data__name="imagefolder", data__root=fresh.folder / "images")
    says = [
        "dataset.name: found digits, expected imagefolder",
        "dataset.classes: found ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'], expected ['3', '7']",
        "dataset.image_shape: found [1, 8, 8], expected [3, 8, 8]",
    ]
    refused(other, "distill", says=says)


def test_a_store_of_another_teacher(fresh: Place) -> None:
    says = ["teacher.model: found resnet20, expected resnet14"]
    refused(fresh.but(teacher__model="resnet14"), "distill", says=says)
    state = load_file(fresh.weights)
    state["fc.bias"][7] += 1
    save_file(state, fresh.weights)
    refused(fresh, "distill", says=["teacher.weights_sha256: found ", ", expected "])
    refused(fresh, "extract-teacher", says=["teacher.weights_sha256: found ", ", expected "])


def test_more_views_than_there_are(fresh: Place) -> None:
    more = fresh.but(store__views=3)
    refused(
        more,
        "distill",
        says=[
            f"the store at {fresh.store} has 2 views, but 3 are asked for",
            "Set store.views to",
        ],
    )
    grown = more("extract-teacher")
    assert grown.code == 0, grown.said
    assert more("distill").code == 0


def test_fewer_views_than_there_are_will_do(fresh: Place) -> None:
    ended = fresh.but(store__views=1)("distill")
    assert ended.code == 0, ended.said


def test_a_store_with_a_block_missing(fresh: Place) -> None:
    (fresh.store / "complete" / "c" / "1" / "0").unlink()
    says = [f"the store at {fresh.store} is not finished: 1 of 2 blocks", "extract-teacher` again"]
    refused(fresh, "distill", says=says)
    assert not fresh.run.exists()
    mended = fresh("extract-teacher")
    assert "1 blocks made and 1 found" in mended.words
    assert fresh("distill").code == 0


def test_a_store_that_was_only_begun(fresh: Place) -> None:
    whole = KnowledgeStore.open(fresh.store)
    facts: dict[str, Any] = {"layout": whole.layout, "encoding": whole.encoding, "made_from": whole.made_from}
    shutil.rmtree(fresh.store)
    KnowledgeWriter.create(fresh.store, **facts)
    refused(fresh, "distill", says=[f"the store at {fresh.store} is not finished: 0 of 2 blocks are complete"])
    shutil.rmtree(fresh.store / "complete")
    refused(fresh, "distill", says=[f"the store at {fresh.store} has no array 'complete'", "extract-teacher` again"])


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
@pytest.mark.parametrize("command", ["extract-teacher", "distill"])
@pytest.mark.parametrize("kind", ["folder", "other zarr"])
def test_what_is_not_a_store_is_never_overwritten(fresh: Place, kind: str, command: str, options: list[str]) -> None:
    shutil.rmtree(fresh.store)
    if kind == "folder":
        fresh.store.mkdir()
        (fresh.store / "thesis.txt").write_text("my only copy")
    else:
        zarr.create_group(fresh.store, attributes={"kind": "somebody else's"}).create_array("x", data=np.arange(3))
    refused(fresh, command, *options, says=[fresh.store, "not a knowledge store", "store.path"])


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("extract-teacher", []),
        ("extract-teacher", ["--overwrite"]),
        ("distill", []),
    ],
)
def test_a_file_where_a_store_should_be(fresh: Place, command: str, options: list[str]) -> None:
    shutil.rmtree(fresh.store)
    fresh.store.write_text("my only copy")
    refused(fresh, command, *options, says=[fresh.store, "not a knowledge store", "store.path"])


def test_a_teacher_that_fails_at_once_does_not_cost_the_store_that_it_was_to_replace(fresh: Place) -> None:
    make_logit_nan(fresh.weights)
    refused(fresh, "extract-teacher", "--overwrite", code=1, says=["view 0, is nan"])


def test_an_augmentation_that_does_not_fit_does_not_cost_the_store_that_it_was_to_replace(fresh: Place) -> None:
    wide = fresh.but(augmentation__padding=8, augmentation__padding_mode="reflect")
    refused(wide, "extract-teacher", "--overwrite", says=["reflect padding of 8 needs images larger than 8x8"])


# --- stores that are damaged -----------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_flipped_bit_in_a_shard(fresh: Place, place: str) -> None:
    shard = fresh.store / "logits" / "c" / "1" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[place]] ^= 1
    shard.write_bytes(content)
    says = [f"the store at {fresh.store} is damaged in logits/c/1/0/0", "Restore the file", "--overwrite"]
    refused(fresh, "distill", code=1, says=says)


@pytest.mark.parametrize("damage", ["deleted", "empty", "cut short"])
def test_a_shard_of_a_complete_block_that_is_not_whole(fresh: Place, damage: str) -> None:
    shard = fresh.store / "logits" / "c" / "0" / "0" / "0"
    if damage == "deleted":
        shard.unlink()
    else:
        shard.write_bytes(b"" if damage == "empty" else shard.read_bytes()[:-100])
    says = [f"the store at {fresh.store} is damaged in logits/c/0/0/0", "--overwrite"]
    refused(fresh, "distill", code=1, says=says)


# --- runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_a_finished_run_is_not_run_again_which_is_said(made: Place, options: list[str]) -> None:
    before = contents(made.folder)
    ended = made("distill", *options)
    assert ended.code == 0, ended.said
    assert "The run was finished already" in ended.words
    assert contents(made.folder) == before


@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_a_run_of_another_config_is_left_alone(made: Place, options: list[str]) -> None:
    says = [f"{made.run} belongs to a run of another config", "distill.lr: found 0.05, expected 0.1", "run.dir"]
    refused(made.but(distill__lr=0.1), "distill", *options, says=says)


@pytest.mark.parametrize("options", [[], ["--resume"], ["--overwrite"]])
def test_a_folder_that_is_no_run_is_left_alone(fresh: Place, options: list[str]) -> None:
    fresh.run.mkdir()
    (fresh.run / "thesis.txt").write_text("my only copy")
    says = [f"{fresh.run} exists and is not a run (it holds thesis.txt but no config.yaml)", "Set run.dir"]
    refused(fresh, "distill", *options, says=says)


def test_overwriting_a_run_leaves_other_files_alone(copy: Place) -> None:
    (copy.run / "notes.txt").write_text("seed 0 looks odd")
    ended = copy("distill", "--overwrite")
    assert ended.code == 0, ended.said
    assert (copy.run / "notes.txt").read_text() == "seed 0 looks odd"


def test_no_run_to_resume(fresh: Place) -> None:
    refused(fresh, "distill", "--resume", says=[f"there is no run to resume at {fresh.run}", "Leave --resume out"])
    assert not fresh.run.exists()


def test_a_run_whose_config_is_damaged(copy: Place) -> None:
    (copy.run / "config.yaml").write_text("data: [")
    refused(copy, "distill", "--resume", says=[f"{copy.run} is not the folder of a run: no readable config.yaml"])


def test_a_run_whose_store_was_moved_is_still_the_same_run(copy: Place) -> None:
    ended = copy("distill", "--resume")
    assert "The run was finished already" in ended.words, ended.said


def test_overwriting_replaces_a_run_of_another_config_too(copy: Place) -> None:
    ended = copy.but(distill__lr=0.1)("distill", "--overwrite")
    assert ended.code == 0, ended.said
    assert "lr: 0.1" in (copy.run / "config.yaml").read_text()


def test_a_run_is_not_resumed_on_another_store_of_the_same_recipe(copy: Place) -> None:
    """The teacher trained again gives another store that the config cannot tell from the first."""
    (copy.run / "summary.json").unlink()
    origin = json.loads((copy.run / "origin.json").read_text())
    (copy.run / "origin.json").write_text(json.dumps(origin | {"store": "0123456789ab"}))
    refused(
        copy, "distill", "--resume", says=["another config", f"store: found 0123456789ab, expected {origin['store']}"]
    )


@pytest.mark.parametrize("content", [None, "{"])
def test_a_run_whose_origin_is_lost(copy: Place, content: str | None) -> None:
    origin = copy.run / "origin.json"
    origin.write_text(content) if content else origin.unlink()
    refused(copy, "distill", says=["no readable origin.json", "Set run.dir"])
    refused(copy, "distill", "--overwrite", says=["not provably a run of kcd-pipeline", "missing or cannot be read"])


def test_a_folder_of_another_program_is_not_overwritten(fresh: Place) -> None:
    """Files of the names that a run has, and a config that is none of ours."""
    for name in ("checkpoint/last.pt", "tensorboard/events.out.tfevents.0.host", "metrics.jsonl", "best.safetensors"):
        (fresh.run / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh.run / name).write_text("my only copy")
    (fresh.run / "config.yaml").write_text("model: vit\ndata: {root: /mine}\n")
    refused(fresh, "distill", "--overwrite", says=[f"{fresh.run} holds a config.yaml, but is not provably a run"])


NO_CUDA: list[str | Path] = ["run.device (or --device) is 'cuda', but torch", "finds none on this machine"]
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is one here")


@without_cuda
@pytest.mark.parametrize("command", ["extract-teacher", "distill"])
def test_a_device_that_is_not_there(fresh: Place, command: str) -> None:
    refused(fresh.but(run__device="cuda"), command, says=NO_CUDA)


@without_cuda
def test_a_run_resumed_on_a_device_that_is_not_there(made: Place, copy: Place) -> None:
    (copy.run / "summary.json").unlink()
    begun = copy.but(teacher__weights=made.weights, store__path=made.store, run__device="cuda")
    refused(begun, "distill", "--resume", says=NO_CUDA)


@without_cuda
def test_a_device_that_is_not_there_does_not_cost_the_run_that_was_to_be_replaced(copy: Place) -> None:
    refused(copy.but(run__device="cuda"), "distill", "--overwrite", says=NO_CUDA)


def test_training_that_diverges(fresh: Place) -> None:
    says = ["the loss became", ": training has diverged", "Lower the learning rate"]
    refused(fresh.but(distill__lr=1000, distill__momentum=0.99, distill__epochs=8), "distill", code=1, says=says)


# --- the boundary ----------------------------------------------------------------------------------------


def test_debug_shows_the_traceback_and_the_same_message_and_code(fresh: Place) -> None:
    shutil.rmtree(fresh.store)
    ended = fresh("distill", debug=True)
    assert ended.code == 2
    assert "Traceback (most recent call last)" in ended.said
    assert "kcd_stores.errors.StoreUsageError" in ended.said
    assert f"Error: there is no knowledge store at {fresh.store}" in ended.words


def test_a_keyboard_interrupt_ends_with_130_and_how_to_go_on(fresh: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kcd_pipeline.api.students.train_student", interrupted)
    ended = fresh("distill")
    assert ended.code == 130
    assert "Interrupted. What was complete is kept" in ended.words


UNFORESEEN: dict[str, tuple[Callable[[], Exception], int, list[str]]] = {
    "disk full": (lambda: OSError(28, os.strerror(28), "/data/x"), 1, ["the disk is full", "/data/x"]),
    "no permission": (lambda: PermissionError(13, "no", "/data/x"), 2, ["permission denied", "/data/x"]),
    "read-only": (lambda: OSError(30, "no", "/data/x"), 2, ["the file system is read-only", "/data/x"]),
    "memory": (lambda: MemoryError("17 GB"), 1, ["out of memory", "smaller batches"]),
    "memory of numpy": (
        lambda: np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype("f4")),  # type: ignore[attr-defined]
        1,
        ["out of memory (Unable to allocate 4.00 TiB", "What was complete before is kept"],
    ),
    "memory of torch": (
        lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory"),
        1,
        ["out of memory ([enforce fail", "batch_size"],
    ),
    "memory of the system": (lambda: OSError(12, os.strerror(12)), 1, ["out of memory"]),
    "a bug": (lambda: KeyError("fc"), 1, ["not foreseen: KeyError: 'fc'", "kcd-pipeline --debug"]),
}


@pytest.mark.parametrize("kind", UNFORESEEN)
def test_what_nobody_foresaw_still_ends_in_a_sentence(fresh: Place, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    make, code, says = UNFORESEEN[kind]

    def failing(*_: object, **__: object) -> None:
        raise make()

    monkeypatch.setattr("kcd_pipeline.api.students.train_student", failing)
    ended = fresh("distill")
    assert ended.code == code
    assert [part for part in says if part not in ended.words] == []
    assert "Traceback" not in ended.said
