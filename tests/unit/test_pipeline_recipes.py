"""Operations of a pipeline in a recipe: lists by name, and refusals that say which item and key is meant."""

import pytest

from kcd_pipeline.config import load_config
from kcd_pipeline.errors import UserError


def refusal(operations: str, name: str = "pipeline") -> str:
    with pytest.raises(UserError) as caught:
        load_config("digits", [f"augmentation.name={name}", f"augmentation.operations={operations}"])
    return str(caught.value)


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ("tinyvt", "augmentation.operations: found 'tinyvt', expected a list of operations or one of cifar"),
        ("[{name: crap}]", "augmentation.operations.0.name: found 'crap', expected one of crop"),
        (
            "[{name: flip}, {name: crop, paddin: 3}]",
            "no key 'augmentation.operations.1.paddin'; did you mean 'padding'?",
        ),
        ("[{name: crop, padding: -3}]", "augmentation.operations.0.padding: found -3"),
        ("[{padding: 2}]", "expected a mapping with a `name`"),
        (
            "[{name: erasing, value: 300}]",
            "operations.0.value: found 300, expected a whole number from 0 to 255, or noise",
        ),
        ("[{name: erasing, scale: [0.3, 0.1]}]", "augmentation.operations.0: scale must run from small to large"),
        ("[]", "name is pipeline, but operations is empty"),
    ],
)
def test_a_mistake_is_named_with_its_place(operations: str, said: str) -> None:
    assert said in refusal(operations)


def test_operations_belong_to_a_pipeline() -> None:
    assert "operations are for name: pipeline, and name is crop-flip" in refusal("cifar", "crop-flip")


def test_the_config_writes_out_the_list_that_a_name_stands_for() -> None:
    config = load_config("digits", ["augmentation.name=pipeline", "augmentation.operations=imagenet"])
    scale, ratio = [0.08, 1.0], [0.75, 4 / 3]
    assert config.plain()["augmentation"]["operations"] == [
        {"name": "resized-crop", "scale": scale, "ratio": ratio},
        {"name": "flip", "probability": 0.5, "direction": "horizontal"},
    ]
