"""Parts that the sections of a recipe are made of: their base class, kinds of values, and sections chosen by name."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.fields import FieldInfo

from kcd_stores.sizes import parse_bytes


class Section(BaseModel):
    """Base of every section: immutable, and closed to keys that it does not define."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _size_as_written(value: Any) -> str:
    """Return a size in bytes as it was written, once it is known to be one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("expected a number and a unit such as 512MB or 2GiB, or a number of bytes")
    parse_bytes(value)
    return str(value)


Fraction = Annotated[float, Field(gt=0, le=1)]
PixelValue = Annotated[float, Field(ge=0, le=1)]
GreyValue = Annotated[float, Field(ge=-1e12, le=1e12)]  # as files have them: beyond what 32 bits hold
Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
ModelName = Annotated[str, Field(min_length=1)]
Size = Annotated[
    str,
    BeforeValidator(_size_as_written),
    WithJsonSchema({"type": "string", "format": "size (512MB, 2GiB, bytes)"}),
]


def sections_by_name(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Return the sections that a field chooses among by their `name`, in order; empty for any other field."""
    if field.discriminator is None:
        return {}
    return {get_args(section.model_fields["name"].annotation)[0]: section for section in get_args(field.annotation)}


def section_of(field: FieldInfo, value: Any) -> type[BaseModel] | None:
    """Return the section that a field holds.

    Of sections that are chosen by name it is the one that `value` names, or the first if it names none.

    Returns
    -------
    type[BaseModel] | None
        None if the field holds a value, or `value` names no section of it.
    """
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return field.annotation
    known = sections_by_name(field)
    if not known:
        return None
    first = next(iter(known))
    return known.get(str(value.get("name", first)) if isinstance(value, Mapping) else first)
