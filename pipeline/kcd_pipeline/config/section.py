"""What sections of a recipe are made of: their base, the kinds of numbers, and sections chosen by name."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Fraction = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """Base of every section: immutable, and closed to keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def choices(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """The sections that a field chooses among by their `name`, in order; none where it is no such field."""
    if field.discriminator is None:
        return {}
    return {get_args(section.model_fields["name"].annotation)[0]: section for section in get_args(field.annotation)}


def section_of(field: FieldInfo, value: Any) -> type[BaseModel] | None:
    """The section that a field is; of those that are chosen by name the one that `value` names, else the first.

    None where the field is a value, or its name is none of those.
    """
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return field.annotation
    known = choices(field)
    if not known:
        return None
    first = next(iter(known))
    return known.get(str(value.get("name", first)) if isinstance(value, Mapping) else first)
