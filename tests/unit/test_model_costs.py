"""The table of the zoo's costs: every number of it counted again, and what other numbers of classes add."""

import pytest
from click.testing import CliRunner
from torch import nn

from kcd_pipeline.cli import main
from kcd_pipeline.model_costs import TABLE_CLASSES, TABLE_SHAPE, ZOO_COSTS, ModelCost, tabulated_costs
from kcd_pipeline.models import build_model, zoo_names
from kcd_pipeline.models.counting import count_costs


def test_the_table_is_what_torch_counts() -> None:
    assert tabulated_costs((), TABLE_SHAPE, TABLE_CLASSES) == count_costs((), TABLE_SHAPE, TABLE_CLASSES)


def test_the_table_has_the_whole_zoo_in_its_order() -> None:
    assert list(ZOO_COSTS) == zoo_names()


@pytest.mark.parametrize("name", ["resnet8", "MobileNetV2", "ShuffleV2", "vgg8"])
def test_the_features_of_the_table_are_those_of_the_last_layer(name: str) -> None:
    model = build_model(name, channels=3, classes=10)
    (last,) = (part for part in model.get_submodule(str(model.last_layer)).modules() if isinstance(part, nn.Linear))
    assert ZOO_COSTS[name][2] == last.in_features


def test_ten_classes_have_ninety_rows_less() -> None:
    # resnet20: 64 features; 278,324 - 90 * (64 + 1) parameters, 40,818,944 - 90 * 64 multiply-adds
    assert tabulated_costs(["resnet20"], TABLE_SHAPE, 10) == [
        ModelCost(name="resnet20", parameters=272_474, multiply_adds=40_813_184)
    ]
    assert count_costs(["resnet20"], TABLE_SHAPE, 10) == tabulated_costs(["resnet20"], TABLE_SHAPE, 10)


def test_other_images_and_other_models_are_left_to_counting() -> None:
    assert tabulated_costs(["resnet8"], (3, 64, 64), 100) is None
    assert tabulated_costs(["resnet8", "torchvision/resnet18"], TABLE_SHAPE, 100) is None


def test_a_name_that_is_none_is_refused_as_before() -> None:
    result = CliRunner().invoke(main, ["models", "resnet21"])
    assert result.exit_code == 2
    assert "there is no model 'resnet21'" in " ".join(result.output.split())
