"""Study files: what they say, and the message for each thing that can be wrong with one."""

from pathlib import Path

import pytest

from kcd_pipeline.config import load_config, load_study, recipe_names, study_names
from kcd_pipeline.errors import UserError
from kcd_pipeline.study import plan_study

SMALL = "base: digits\nvary: {arms: {kd: {distill.method: kd}, kcd: {}}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(text: str, name: str = "question.yaml") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refused(text: str) -> str:
    """Return the message with which a study file is refused, without the name of the file in front."""
    path = written(text)
    with pytest.raises(UserError) as caught:
        plan_study(load_study(path))
    message = str(caught.value)
    assert message.startswith(str(path))
    return message.removeprefix(str(path)).lstrip(": ")


def test_a_short_file_has_five_seeds_a_title_and_a_folder_of_its_own(folder: Path) -> None:
    study = load_study(written(SMALL))
    assert study.seeds == (0, 1, 2, 3, 4)
    assert (study.title, study.name, study.base) == ("question", "question", "digits")
    assert study.folder == Path("runs/studies/question")


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("{distill.epochs: 3, store.encoding: int8}", ("distill.epochs=3", "store.encoding=int8")),
        ("['distill.epochs=3', 'store.encoding=int8']", ("distill.epochs=3", "store.encoding=int8")),
        ("{distill.lr: 5e-4, data.image_size: null}", ("distill.lr=0.0005", "data.image_size=null")),
        ("{distill.milestones: [1, 2], store.path: '12'}", ("distill.milestones=[1, 2]", 'store.path="12"')),
        ("{run.dir: '{student}-{seed}'}", ("run.dir={student}-{seed}",)),
        ("", ()),
    ],
)
def test_overrides_are_keys_and_values_or_texts_as_set_takes_them(
    folder: Path, given: str, texts: tuple[str, ...]
) -> None:
    assert load_study(written(f"{SMALL}set: {given}\n")).overrides == texts


def test_a_base_file_is_looked_for_beside_the_study_then_here(folder: Path) -> None:
    study = SMALL.replace("digits", "own.yaml")
    written("extends: digits\n", "own.yaml")
    path = written(study, "studies/question.yaml")
    assert load_study(path).base == "own.yaml"
    written("extends: digits\n", "studies/own.yaml")
    assert load_study(path).base == "studies/own.yaml"
    assert load_study(written(study.replace("own", "digits"), "digits.yaml")).base not in ("digits.yaml", "digits")


def test_shipped_studies_have_names_and_are_no_recipes(folder: Path) -> None:
    assert "studies/digits" in study_names()
    assert not set(study_names()) & set(recipe_names())
    for name in study_names():
        assert plan_study(load_study(name)).pairs


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("studies/digit", "'studies/digit' is neither a YAML file nor a shipped study; did you mean 'studies/digits'?"),
        ("none.yaml", "there is no study file none.yaml (in "),
    ],
)
def test_a_study_that_is_not_there_is_named(folder: Path, name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_study(name)
    assert str(caught.value).startswith(message)


def test_a_recipe_in_place_of_a_study_is_told_so_and_a_study_in_place_of_a_recipe(folder: Path) -> None:
    assert refused("extends: digits").startswith("is a recipe, not a study. A study names a recipe as its 'base'")
    with pytest.raises(UserError, match=r"question\.yaml is a study, not a recipe\. Run it with `kcd-pipeline study q"):
        load_config(str(written(SMALL)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vary: {arms: {kd: {}}}", "base is missing: add it to the file"),
        ("base: digits", "vary is missing: add it to the file"),
        ("base: digit\nvary: {arms: {kd: {}}}", "base: 'digit' is no shipped recipe; did you mean 'digits'?"),
        ("base: own.yaml\nvary: {arms: {kd: {}}}", "base: there is no file 'own.yaml', neither in . nor in /"),
        (f"{SMALL}seed: 3", "there is no key 'seed'; did you mean 'seeds'? (the top level has: title, base, set,"),
        (f"{SMALL}seeds: 0", "seeds: found 0, expected 1 to 1000 seeds"),
        (f"{SMALL}seeds: many", "seeds: expected a number of seeds such as 5, or a list of them, found 'many'"),
        (f"{SMALL}seeds: [1, 2, 1]", "seeds: seed 1 is there twice"),
        (f"{SMALL}seeds: []", "seeds: found 0 seeds, expected 1 to 1000"),
        (f"{SMALL}seeds: [-1]", "seeds.0: found -1; input should be greater than or equal to 0"),
        (f"{SMALL}budget: row", "budget: found 'row', expected one of epochs, rows; did you mean 'rows'?"),
        (f"{SMALL}dir: runs/{{seed}}", "dir: it holds {seed}, but what is filled in is {name}"),
        (f"{SMALL}dir: ''", "dir: it is empty"),
        (f"{SMALL}set: 5", "set: expected keys and values such as {distill.epochs: 30}, or a list of texts"),
        (f"{SMALL}set: {{seed: 5}}", "set: it sets seed, but the seeds of a study are those of its key 'seeds'"),
        (f"{SMALL}set: {{distill.epoch: 5}}", "with --set: there is no key 'distill.epoch'; did you mean 'epochs'?"),
        ("base: digits\nvary: {}", "vary: it has no arms: give some by name under 'arms', or as a 'grid'"),
        ("base: digits\nvary: {arm: {a: {}}}", "there is no key 'vary.arm'; did you mean 'arms'? (section 'vary' has"),
        ("base: digits\nvary: [kd]", "'vary' is a section of keys, found ['kd']"),
        ("base: digits\nvary: {arms: {off: {}}}", "vary.arms: the name of an arm must be text, found False; put it in"),
        ("base: digits\nvary: {arms: {kd: 3}}", "vary.arms.kd: expected keys and values such as"),
        ("base: digits\nvary: {arms: {'': {}}}", "vary.arms: it is empty"),
        ("base: digits\nvary: {arms: {kd: {distill.loss.alpha: 1}}}", "there is no key 'distill.loss.alpha'"),
        ("base: digits\nvary: {grid: {distill.epochs: 3}}", "vary.grid.distill.epochs: expected a list of values, or"),
        ("base: digits\nvary: {grid: {distill.epochs: []}}", "vary.grid.distill.epochs: it has no values"),
        ("base: digits\nvary: {grid: {distill.epochs: [3, 3]}}", "vary.grid.distill.epochs: the value 3 is there"),
        ("base: digits\nvary: {grid: {seed: [0, 1]}}", "vary.grid.seed: the seeds of a study are those of its key"),
        ("base: digits\nvary: {grid: {losses: [kd]}}", "vary.grid.losses: a list gives the values of a key such as"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(folder: Path, text: str, message: str) -> None:
    assert message in refused(text)
