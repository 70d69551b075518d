"""Commands on recipes, data and weights that are mistyped, missing, damaged or of something else."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.support.bad_input import Place, make_logit_nan, refused, save_digits, told_facts

# --- config ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["train-teacher", "extract-teacher", "distill"])
def test_a_typo_in_a_key(made: Place, command: str) -> None:
    says = ["digits.yaml with --set: there is no key 'distill.epoch'; did you mean 'epochs'?"]
    refused(made.but(distill__epoch=3), command, says=says)


@pytest.mark.parametrize("command", ["train-teacher", "extract-teacher", "distill"])
def test_a_typo_in_a_value(made: Place, command: str) -> None:
    choices = "float32, float16, bitround, int8, topk, sample, pca"
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
    says: list[str | Path] = [made.weights, "are those of a resnet20, but teacher.model is resnet14"]
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


def test_a_teacher_whose_logits_are_not_finite(fresh: Place) -> None:
    make_logit_nan(fresh.weights)
    fresh.store.rename(fresh.folder / "elsewhere")
    says = ["the teacher's logit for class '7' of sample 0 (", "view 0, is nan", f"Check {fresh.weights}"]
    refused(fresh, "extract-teacher", code=1, says=says)
    assert not fresh.store.exists()
