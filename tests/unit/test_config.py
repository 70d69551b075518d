"""Recipes: refusals and their words, values that `--set` takes, and every shipped recipe, which loads."""

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcd_pipeline.config import (
    did_you_mean,
    find_recipe,
    load_config,
    parse_config,
    recipe_names,
    recipes_folder,
    study_names,
)
from kcd_pipeline.errors import UserError

REPOSITORY = Path(__file__).parents[2]

# only the keys that have no default
SMALLEST: dict[str, Any] = {
    "data": {"name": "digits"},
    "teacher": {"model": "resnet20", "weights": "teacher.safetensors"},
    "store": {"path": "store.zarr"},
    "student": {"model": "resnet8"},
}


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A YAML file of the smallest recipe."""
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(SMALLEST))
    return str(file)


def refusal(tree: dict[Any, Any]) -> str:
    with pytest.raises(UserError) as caught:
        parse_config(tree, source="own.yaml")
    return str(caught.value)


def refused_override(recipe: str, override: str) -> str:
    with pytest.raises(UserError) as caught:
        load_config(recipe, [override])
    return str(caught.value)


# --- what is there when nothing is said ------------------------------------------------------------------


def test_the_defaults_are_the_published_settings() -> None:
    config = parse_config(SMALLEST, source="own.yaml")
    distill, condense = config.distill, config.condense
    assert (distill.epochs, distill.batch_size, distill.lr, distill.momentum) == (240, 64, 0.05, 0.9)
    assert (distill.weight_decay, distill.gamma, distill.temperature) == (5e-4, 0.1, 4)
    assert (distill.ce_weight, distill.kd_weight, distill.method) == (0.1, 0.9, "kcd")
    assert (condense.interval, condense.keep_ratio, condense.alpha, condense.epsilon_max) == (40, 0.7, 0.03, 0.3)
    assert (config.augmentation.name, config.augmentation.padding, config.augmentation.flip) == ("crop-flip", 4, True)


def test_a_config_written_out_is_read_back_as_the_same_config() -> None:
    config = parse_config(SMALLEST | {"augmentation": {"scale": [0.2, 0.9]}}, source="own.yaml")
    assert parse_config(yaml.safe_load(yaml.safe_dump(config.plain())), source="again") == config


def test_a_config_cannot_be_changed() -> None:
    config = parse_config(SMALLEST, source="own.yaml")
    with pytest.raises(ValueError, match="frozen"):
        config.distill.epochs = 3  # type: ignore[misc]  # what is being tested


# --- keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "typo", "meant"),
    [
        ("distill", "epoch", "epochs"),
        ("distill", "temprature", "temperature"),
        ("condense", "keepratio", "keep_ratio"),
        ("teacher", "weigths", "weights"),
        ("store", "view", "views"),
        ("run", "dirs", "dir"),
    ],
)
def test_a_typo_in_a_key_names_the_key_and_the_nearest_right_one(section: str, typo: str, meant: str) -> None:
    tree = copy.deepcopy(SMALLEST)
    tree.setdefault(section, {})[typo] = 1
    message = refusal(tree)
    assert f"there is no key '{section}.{typo}'; did you mean '{meant}'?" in message
    assert message.startswith("own.yaml: ")


def test_a_typo_in_a_section_names_the_nearest_section() -> None:
    assert "there is no key 'condensed'; did you mean 'condense'?" in refusal(SMALLEST | {"condensed": {}})


def test_a_key_like_no_other_gets_the_list_instead_of_a_guess() -> None:
    message = refusal(SMALLEST | {"student": {"model": "resnet8", "zzzz": 1}})
    assert "did you mean" not in message
    assert "(section 'student' has: model, arguments, init)" in message


def test_a_key_that_yaml_reads_as_a_number_is_refused_by_name() -> None:
    assert "there is no key '3'" in refusal(SMALLEST | {3: 4})


@pytest.mark.parametrize("value", [3, None, ["model"]])
def test_a_section_that_is_no_section_is_refused(value: Any) -> None:
    assert f"'student' is a section of keys, found {value!r}" in refusal(SMALLEST | {"student": value})


@pytest.mark.parametrize("key", ["data.name", "teacher.model", "teacher.weights", "store.path", "student.model"])
def test_a_missing_key_is_named_with_how_to_set_it(key: str) -> None:
    tree = copy.deepcopy(SMALLEST)
    section, name = key.split(".")
    del tree[section][name]
    assert f"{key} is missing: set it in the file or with --set {key}=..." in refusal(tree)


def test_all_errors_of_a_recipe_are_listed_at_once() -> None:
    tree = SMALLEST | {"distill": {"epochs": 0, "method": "kdc"}, "condense": {"keep_ratio": 2}}
    message = refusal(tree)
    assert all(key in message for key in ("distill.epochs", "distill.method", "condense.keep_ratio"))


# --- a section chosen by its name -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "distill.loss.name=dkdd",
            "found 'dkdd', expected one of kd, dkd, dist, pkt, package.module:callable; did you mean 'dkd'?",
        ),
        ("distill.loss.standardize=true", "no key 'distill.loss.standardize'; did you mean 'standardise'?"),
        ("distill.loss.beta=2", "there is no key 'distill.loss.beta'"),  # kd has none
        ("distill.loss={name: dkd, gamma: 2}", "there is no key 'distill.loss.gamma'"),
        ("distill.loss={name: dkd, alpha: -1}", "distill.loss.alpha: found -1; "),
        ("distill.loss={name: [dkd]}", "distill.loss.name: found \"['dkd']\", expected one of kd, dkd, dist"),
        ("distill.loss=dkd", "'distill.loss' is a section of keys, found 'dkd'"),
    ],
)
def test_a_loss_that_is_not_there_is_refused_by_its_key(recipe: str, override: str, said: str) -> None:
    assert said in refused_override(recipe, override)


def test_each_loss_has_parameters_of_its_own(recipe: str) -> None:
    assert load_config(recipe).plain()["distill"]["loss"] == {"name": "kd", "standardise": False}
    overrides = ["distill.loss.name=dist", "distill.loss.gamma=3"]
    config = load_config(recipe, overrides)
    assert config.plain()["distill"]["loss"] == {"name": "dist", "beta": 1.0, "gamma": 3.0}
    assert parse_config(config.plain(), source="again") == config


# --- --set -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("distill.lr=5e-4", "distill", "lr", 0.0005),  # YAML 1.1 reads this as text, because it has no dot
        ("distill.lr=5.0e-4", "distill", "lr", 0.0005),
        ("distill.epochs=30", "distill", "epochs", 30),
        ("distill.milestones=[3, 5]", "distill", "milestones", (3, 5)),
        ("distill.milestones=null", "distill", "milestones", None),
        ("augmentation.flip=false", "augmentation", "flip", False),
        ("augmentation.scale=[0.2,1]", "augmentation", "scale", (0.2, 1.0)),
        ("data.limit_per_class=20", "data", "limit_per_class", 20),
        ("store.path=/a/b=c.zarr", "store", "path", "/a/b=c.zarr"),
        (" distill.epochs =7", "distill", "epochs", 7),
    ],
)
def test_set_reads_its_value_as_yaml(recipe: str, override: str, section: str, key: str, value: Any) -> None:
    assert getattr(getattr(load_config(recipe, [override]), section), key) == value


def test_set_reaches_the_top_level_and_the_last_one_counts(recipe: str) -> None:
    assert load_config(recipe, ["seed=3", "seed=4"]).seed == 4


def test_set_supplies_keys_that_the_file_lacks(tmp_path: Path) -> None:
    file = tmp_path / "part.yaml"
    file.write_text(yaml.safe_dump({key: SMALLEST[key] for key in ("data", "teacher", "store")}))
    assert load_config(str(file), ["student.model=resnet14"]).student.model == "resnet14"


def test_set_leaves_the_file_as_it_is(recipe: str) -> None:
    before = Path(recipe).read_bytes()
    load_config(recipe, ["seed=3"])
    assert Path(recipe).read_bytes() == before


@pytest.mark.parametrize("override", ["distill.epochs", "=3", "distill.=3", ".epochs=3", "", "distill..epochs=3"])
def test_set_without_a_key_or_a_value_shows_how_it_is_written(recipe: str, override: str) -> None:
    message = refused_override(recipe, override)
    assert message == f"--set takes section.key=value, found '{override}'; for example --set distill.epochs=30"


def test_a_set_value_that_is_not_yaml_is_refused_by_its_key(recipe: str) -> None:
    assert "--set distill.milestones: '[3, 5' is not a YAML value" in refused_override(
        recipe, "distill.milestones=[3, 5"
    )


def test_set_below_a_value_is_refused(recipe: str) -> None:
    assert "--set data.name.x: 'name' is a value, not a section" in refused_override(recipe, "data.name.x=1")


def test_a_typo_in_set_names_the_nearest_key_and_says_where_it_came_from(recipe: str) -> None:
    message = refused_override(recipe, "distill.epoch=3")
    assert message.startswith(f"{recipe} with --set: there is no key 'distill.epoch'; did you mean 'epochs'?")


# --- files and recipes -----------------------------------------------------------------------------------


def test_the_recipes_of_a_checkout_are_its_configs_folder() -> None:
    if recipes_folder().parent.name == "kcd_pipeline":
        pytest.skip("a wheel is installed: its recipes lie inside the package")
    assert recipes_folder() == REPOSITORY / "configs"


def test_every_yaml_file_in_configs_is_a_recipe_or_a_study_by_its_path() -> None:
    files = {
        str(file.relative_to(REPOSITORY / "configs"))[: -len(".yaml")] for file in REPOSITORY.glob("configs/**/*.*")
    }
    defaults = {name for name in files if name.endswith("defaults")}  # what others extend
    studies = {name for name in files if name.startswith("studies/")}
    assert set(recipe_names()) == files - defaults - studies
    assert set(study_names()) == studies
    assert {"digits", "cifar100/resnet32x4-resnet8x4"} <= files


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_and_opens_with_its_commands(name: str) -> None:
    config = load_config(name)
    assert config.run_dir.parts[0] == "runs"
    assert all(name in str(config.run.dir) for name in ("{variant}", "{seed}"))
    lines = find_recipe(name).read_text().splitlines()
    head = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    commands = ("demo",) if name == "digits" else (f"extract-teacher {name}", f"distill {name} ")
    assert all(f"kcd-pipeline {command}" in "\n".join(head) for command in commands)


def test_the_cifar100_recipe_has_the_published_settings() -> None:
    config = load_config("cifar100/resnet32x4-resnet8x4")
    assert (config.teacher.model, config.student.model) == ("resnet32x4", "resnet8x4")
    assert config.distill.milestones == config.teacher.milestones == (150, 180, 210)
    assert (config.distill.epochs, config.distill.batch_size, config.distill.lr) == (240, 64, 0.05)
    assert (config.distill.temperature, config.distill.ce_weight, config.distill.kd_weight) == (4, 0.1, 0.9)
    condense = config.condense
    assert (condense.interval, condense.keep_ratio, condense.alpha, condense.epsilon_max) == (40, 0.7, 0.03, 0.3)
    assert condense.schedule == "released"


@pytest.mark.parametrize(
    ("typo", "meant"), [("digit", "digits"), ("cifar100/resnet32x4-resnet8", "cifar100/resnet32x4-resnet8x4")]
)
def test_an_unknown_recipe_names_the_nearest_and_all_there_are(typo: str, meant: str) -> None:
    with pytest.raises(UserError) as caught:
        find_recipe(typo)
    message = str(caught.value)
    assert f"'{typo}' is neither a YAML file nor a shipped recipe; did you mean '{meant}'?" in message
    assert all(name in message for name in recipe_names())


def test_a_file_that_is_not_there_is_named_with_the_folder_it_was_looked_for_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"there is no config file own\.yaml") as caught:
        find_recipe("own.yaml")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"data: [digits", "cannot be read as YAML"),
        (b"\xff\xfe\x00", "cannot be read as YAML"),
        (b"seed: 1\nseed: 2\n", "key 'seed' is there twice"),
        (b"data:\n  name: digits\n  name: cifar10\n", "key 'name' is there twice"),
        (b"- data\n", "must hold sections such as `data:` and `teacher:`, found list"),
        (b"", "must hold sections such as `data:` and `teacher:`, found NoneType"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_config(str(file))
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


# --- run.dir ---------------------------------------------------------------------------------------------


def test_placeholders_of_run_dir_are_filled_in(recipe: str) -> None:
    config = load_config(recipe, ["run.dir=out/{method}/{student}-{seed}-{seed}", "seed=5", "distill.method=kd"])
    assert config.run_dir == Path("out/kd/resnet8-5-5")
    assert str(config.run.dir) == "out/{method}/{student}-{seed}-{seed}"


def test_the_default_run_dir_keeps_methods_and_seeds_apart(recipe: str) -> None:
    assert load_config(recipe, ["seed=2"]).run_dir == Path("runs/resnet8-kcd-seed2")


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        ([], "resnet8-kcd-seed0"),
        (["condense.perturb=off"], "resnet8-kcd-drop-only-seed0"),
        (["condense.keep=random", "condense.perturb=off"], "resnet8-kcd-random-drop-only-seed0"),
        (["condense.alpha=0", "condense.track=latest"], "resnet8-kcd-alpha-0-latest-seed0"),
        (["condense.keep=least"], "resnet8-kcd-least-valued-seed0"),
        (["condense.perturb=pair"], "resnet8-kcd-pairs-seed0"),
        (["condense.keep=random", "distill.method=kd"], "resnet8-kd-condense.keep=random-seed0"),
        (["distill.loss.name=dkd", "condense.perturb=off"], "resnet8-kcd-dkd-drop-only-seed0"),
        (["distill.loss.standardise=true", "distill.method=kd"], "resnet8-kd-standardised-seed0"),
        (["distill.loss.name=dist", "distill.method=none"], "resnet8-none-loss.name=dist-seed0"),
    ],
)
def test_the_default_run_dir_keeps_ablations_apart(recipe: str, overrides: list[str], folder: str) -> None:
    assert load_config(recipe, overrides).run_dir == Path("runs", folder)


def test_pairs_are_blended_convexly_so_their_strength_goes_up_to_one(recipe: str) -> None:
    assert load_config(recipe, ["condense.epsilon_max=1.5"]).condense.epsilon_max == 1.5
    message = refused_override(recipe, "condense={perturb: pair, epsilon_max: 1.5}")
    assert (
        "condense: perturb: pair blends (1 - eps) of an image with eps of another: epsilon_max goes up to 1, got 1.5"
        in message
    )


def test_a_placeholder_that_is_not_filled_in_is_refused(recipe: str) -> None:
    message = refused_override(recipe, "run.dir=runs/{teacher}")
    assert "run.dir: it holds {teacher}, but what is filled in is {student}, {method}, {variant}, {seed}" in message


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("resnet21", "; did you mean 'resnet20'?"),
        ("resnet", "; did you mean 'resnet8'?"),
        ("resNET20", "; did you mean 'resnet20'?"),
        ("vgg", ""),
        ("", ""),
    ],
)
def test_no_word_is_suggested_where_none_is_close(word: str, said: str) -> None:
    assert did_you_mean(word, ["resnet8", "resnet20"]) == said
