"""The settings of a run that decide what it trains."""

from collections.abc import Mapping
from typing import Any

from kcd_pipeline.config import MOVABLE_KEYS, Config, fixed_of_teachers
from kcd_pipeline.config.models import OtherTeacherConfig
from kcd_pipeline.config.section import Section
from kcd_stores.knowledge import flatten

OTHERS = "other_teachers"


def fixed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` without the keys that say where or on what machine a run takes place.

    Other teachers than the first are mappings of their keys, by their number.
    """
    fixed = {
        section: {key: value for key, value in values.items() if f"{section}.{key}" not in MOVABLE_KEYS}
        if isinstance(values, Mapping)
        else values
        for section, values in config.items()
    }
    if OTHERS in config:
        fixed[OTHERS] = fixed_of_teachers(config[OTHERS])
    return fixed


def with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `settings`, with dotted keys, and the default of each key that they lack.

    An older version, which did not have the key, did what its default says.
    """
    defaults: dict[str, Any] = flatten({OTHERS: fixed_of_teachers(())})
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            section = field.annotation.model_construct()  # without the keys that a recipe must have
            defaults |= flatten({name: section.model_dump(mode="json")})
    numbers = {key.split(".")[1] for key in settings if key.startswith(f"{OTHERS}.") and key.count(".") > 1}
    other: type[Section] = OtherTeacherConfig
    of_teacher = fixed_of_teachers([other.model_construct().model_dump(mode="json")])["0"]
    defaults |= flatten({OTHERS: dict.fromkeys(numbers, of_teacher)})
    return defaults | dict(settings)
