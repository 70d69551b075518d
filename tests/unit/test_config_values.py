"""Values of a recipe's keys: the choices that a typo is shown, the bounds of numbers, names of models, and sizes."""

from typing import Any

import pytest

from kcd_pipeline.config import DATA_NAMES, Config, load_config, parse_config
from kcd_pipeline.errors import UserError


def refusal(tree: dict[Any, Any]) -> str:
    with pytest.raises(UserError) as caught:
        parse_config(tree, source="own.yaml")
    return str(caught.value)


def refused_override(override: str) -> str:
    with pytest.raises(UserError) as caught:
        load_config("digits", [override])
    return str(caught.value)


# --- values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "found", "choices", "meant"),
    [
        ("distill.method", "kcdd", "none, kd, kcd", "kcd"),
        ("store.encoding", "float61", "float32, float16, bitround, int8, topk, sample, pca", "float16"),
        ("data.name", "cifar-100", f"{', '.join(DATA_NAMES)}, or package.module:callable", "cifar100"),
        ("augmentation.padding_mode", "zero", "zeros, reflect", "zeros"),
        (
            "augmentation.name",
            "cropflip",
            "none, crop-flip, resized-crop-flip, pipeline, or package.module:callable",
            "crop-flip",
        ),
        (
            "distill.schedule",
            "cosin",
            "milestones, cosine, linear, one-cycle, or package.module:callable",
            "cosine",
        ),
        ("condense.schedule", "release", "linear, released, constant", "released"),
        ("run.device", "cuda0", "auto, cpu, cuda, mps", "cuda"),
    ],
)
def test_a_typo_in_a_value_names_the_choices_and_the_nearest(key: str, found: str, choices: str, meant: str) -> None:
    tree = load_config("digits").plain()
    section, name = key.split(".")
    tree.setdefault(section, {})[name] = found
    assert f"{key}: found '{found}', expected one of {choices}; did you mean '{meant}'?" in refusal(tree)


@pytest.mark.parametrize(
    ("key", "refused", "taken"),
    [
        ("condense.keep_ratio", [0, -0.1, 1.0001, float("nan")], [1e-6, 1]),
        ("condense.epsilon_max", [-1e-9, 1001, float("inf"), float("nan")], [0, 2.5]),
        ("condense.alpha", [-10.1, 10.1, float("nan")], [-10, 0, 10]),
        ("condense.interval", [0, -1, 1.5], [1]),
        ("distill.epochs", [0, 2.5, "many", True, 100_001], [1, 100_000]),
        ("distill.batch_size", [0, 65_537, 10**9], [1, 65_536]),
        ("distill.lr", [0, -0.1, 1001, True, float("inf"), float("nan")], [1e-9]),
        ("distill.momentum", [-0.1, 1], [0, 0.99]),
        ("distill.temperature", [0, -4, 1e-9, 1e308, float("nan")], [0.5, 100]),
        ("distill.weight_decay", [-1e-4, 1e308, float("nan")], [0]),
        ("distill.ce_weight", [-1e-4, 1e308, float("inf")], [0, 1e6]),
        ("distill.gamma", [0, 1.1], [0.1, 1]),
        ("distill.milestones", [[3, 2], [2, 2], [0]], [[1, 2], []]),
        ("store.views", [0, 10_001, 10**8], [1, 10_000]),
        ("store.batch_size", [0, 10**9], [256]),
        ("store.draws", [0, 4097], [50]),
        ("store.int8_range", [[-1e308, 1e308], [float("nan"), 1]], [[-1, 1]]),
        ("store.memory", ["9" * 400, f"{2**61}"], ["2GB"]),
        ("data.workers", [-1, 513], [0]),
        ("data.image_size", [0, 8193], [224]),
        ("data.limit_per_class", [0], [1]),
        ("augmentation.padding", [-1, 513, 2**64, True], [0]),
        ("augmentation.scale", [[0.9, 0.5], [0, 1], [1e-300, 1], [0.5, 1.1], [0.5]], [[0.5, 0.5]]),
        ("augmentation.ratio", [[2, 1], [0, 1], [1e-300, 1], [1, 1e300]], [[0.5, 2]]),
        ("augmentation.seed", [-1, 2**63], [0, 2**63 - 1]),
        ("seed", [-1, 2**63], [0]),
        ("run.threads", [0, 1025, 100_000], [1]),
    ],
)
def test_bounds_are_where_they_are_said_to_be(key: str, refused: list[Any], taken: list[Any]) -> None:
    *sections, name = key.split(".")

    def with_value(value: Any) -> dict[str, Any]:
        tree = load_config("digits").plain()
        target = tree.setdefault(sections[0], {}) if sections else tree
        target[name] = value
        return tree

    for value in refused:
        assert name in refusal(with_value(value))
    for value in taken:
        assert isinstance(parse_config(with_value(value), source="own.yaml"), Config)


@pytest.mark.parametrize(
    "name", ["..:x", "a:", ":b", "a b:c", "a:b:c", ".a:b", "a..b:c", "1a:b", '"a\\tb"', "''", "x" * 201]
)
def test_a_name_that_no_model_can_have_is_refused_by_its_key(name: str) -> None:
    assert "student.model: " in refused_override(f"student.model={name}")


@pytest.mark.parametrize(
    "name", ["resnet8", "torchvision/resnet18", "timm/resnet18.a1_in1k", "own.models:make", "m:A.b"]
)
def test_a_name_that_a_model_can_have_is_taken(name: str) -> None:
    assert load_config("digits", [f"student.model={name}"]).student.model == name


def test_an_argument_in_utf_8_is_read_as_such_in_any_locale() -> None:
    halved = "store.path=é".encode().decode("ascii", "surrogateescape")  # as python reads it in the locale C
    assert load_config("digits", [halved]).store.path == "é"
    assert "--set store.path: " in refused_override("store.path=\udcff")


# --- sizes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "kept"), [("512MB", "512MB"), ("2 GiB", "2 GiB"), ("1000000", "1000000")])
def test_a_memory_budget_is_a_size_as_people_write_it(given: str, kept: str) -> None:
    assert load_config("digits").store.memory == "2GB"
    assert load_config("digits", [f"store.memory={given}"]).store.memory == kept


@pytest.mark.parametrize("given", ["much", "5 parsecs", "-1MB", "0", "true", "[1]", "1.5"])
def test_a_memory_budget_that_is_no_size_is_refused_with_examples(given: str) -> None:
    message = refused_override(f"store.memory={given}")
    assert "store.memory: " in message
    assert "such as 512MB or 2GiB" in message


# --- policies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["infobatch", "rs2", "weighted"])
def test_what_a_policy_does_not_do_is_refused_where_it_is_asked_for(policy: str) -> None:
    assert f"policy: {policy} does not rank samples, so keep: least" in refused_override(
        f"condense={{policy: {policy}, keep: least}}"
    )
    for perturb in ("pair", "teacher"):
        assert f"policy: {policy} blends nothing, so perturb: {perturb}" in refused_override(
            f"condense={{policy: {policy}, perturb: {perturb}}}"
        )
    assert load_config("digits", [f"condense={{policy: {policy}, perturb: off}}"]).condense.policy == policy
