"""The cost of a model, and a table of the zoo's, which is printed without torch.

Counting is exact but slow: torch, and what it loads to run a model without data, take seconds. `models.counting`
counts what is not in the table, and a test counts the table again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

ImageShape = tuple[int, int, int]  # channels, height, width

TABLE_SHAPE: ImageShape = (3, 32, 32)
TABLE_CLASSES = 100

# parameters, multiply-adds, and features of the last layer, for images of TABLE_SHAPE and TABLE_CLASSES classes
ZOO_COSTS: dict[str, tuple[int, int, int]] = {
    "resnet8": (83_892, 12_507_392, 64),
    "resnet14": (181_108, 26_663_168, 64),
    "resnet20": (278_324, 40_818_944, 64),
    "resnet32": (472_756, 69_130_496, 64),
    "resnet44": (667_188, 97_442_048, 64),
    "resnet56": (861_620, 125_753_600, 64),
    "resnet110": (1_736_564, 253_155_584, 64),
    "resnet8x4": (1_233_540, 177_071_104, 256),
    "resnet32x4": (7_433_860, 1_083_040_768, 256),
    "wrn_16_1": (180_916, 26_663_168, 64),
    "wrn_16_2": (703_284, 101_118_464, 128),
    "wrn_40_1": (569_780, 83_286_272, 64),
    "wrn_40_2": (2_255_156, 327_610_880, 128),
    "vgg8": (3_965_028, 96_192_512, 512),
    "vgg11": (9_277_284, 209_438_720, 512),
    "vgg13": (9_462_180, 284_936_192, 512),
    "vgg16": (14_774_436, 398_182_400, 512),
    "vgg19": (20_086_692, 511_428_608, 512),
    "MobileNetV2": (812_836, 6_523_648, 1280),
    "ShuffleV1": (949_258, 38_691_456, 960),
    "ShuffleV2": (1_355_528, 44_504_448, 1024),
    "ResNet50": (23_705_252, 1_298_014_208, 2048),
}


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """Trained parameters, and multiply-adds for one image: None if the model cannot take such an image."""

    name: str
    parameters: int
    multiply_adds: int | None


def tabulated_costs(names: Sequence[str], image_shape: ImageShape, classes: int) -> list[ModelCost] | None:
    """Return the cost of each model of `names`, or of the whole zoo if `names` is empty, from the table.

    A class more costs a row of the last layer: D multiply-adds, and D + 1 parameters with its bias.

    Returns
    -------
    list[ModelCost] | None
        None if the table lacks one of the models or has other images: then they are to be counted.
    """
    if image_shape != TABLE_SHAPE or any(name not in ZOO_COSTS for name in names):
        return None
    costs, more = [], classes - TABLE_CLASSES
    for name in names or ZOO_COSTS:
        parameters, multiply_adds, features = ZOO_COSTS[name]
        costs.append(
            ModelCost(
                name=name,
                parameters=parameters + more * (features + 1),
                multiply_adds=multiply_adds + more * features,
            )
        )
    return costs


def costs_as_json(costs: Sequence[ModelCost], image_shape: ImageShape, classes: int) -> dict[str, Any]:
    """Return `{"input": [K, H, W], "classes": C, "models": [...]}`."""
    return {"input": list(image_shape), "classes": classes, "models": [asdict(cost) for cost in costs]}


def costs_as_table(costs: Sequence[ModelCost]) -> str:
    """Return one line for each model, in aligned columns; a dash stands for multiply-adds that are None."""
    rows = [("model", "parameters", "multiply-adds")]
    rows += [
        (cost.name, f"{cost.parameters:,}", "–" if cost.multiply_adds is None else f"{cost.multiply_adds:,}")
        for cost in costs
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)
