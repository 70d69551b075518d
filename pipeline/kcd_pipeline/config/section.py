"""Parts that the sections of a recipe are made of: their base class, kinds of values, and sections chosen by name.

Every number has a lower and an upper bound. The upper ones are far above what anybody trains with, and far below what
the libraries behind take: beyond them, padding overflows, a temperature makes all logits zero, and a batch fills the
memory before anything is said.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo

from kcd_pipeline.config.places import require_text
from kcd_pipeline.config.suggestions import did_you_mean
from kcd_stores import masked
from kcd_stores.sizes import parse_bytes

MANY = 10**9  # samples, rows, classes
LARGEST_WEIGHT = 1e6  # of a term of the loss
LARGEST_MEMORY = 2**60  # bytes: an exbibyte
OWN = "package.module:callable"  # the form of the name of a part of the user's own


class Section(BaseModel):
    """Base of every section: immutable, and closed to keys that it does not define."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _no_truth_value(value: Any) -> Any:
    """Refuse true and false, which pydantic takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, found {str(value).lower()}")
    return value


def _size_as_written(value: Any) -> str:
    """Return a size in bytes as it was written, once it is known to be one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("expected a number and a unit such as 512MB or 2GiB, or a number of bytes")
    if parse_bytes(value) > LARGEST_MEMORY:
        raise ValueError(f"{value} is more memory than there is, expected a size such as 512MB or 2GiB")
    return str(value)


def is_part_name(text: str) -> bool:
    """Return True if `text` can name a part of the user's own: `package.module:callable`."""
    module, colon, attribute = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))


def name_or_part(*names: str) -> AfterValidator:
    """Return the validator of a key that holds one of `names`, or names a part of the user's own."""

    def require(text: str) -> str:
        if text not in names and not is_part_name(text):
            known = f"one of {', '.join(names)}, or " if names else ""
            raise ValueError(f"found {masked(text)!r}, expected {known}{OWN}{did_you_mean(text, names)}")
        return text

    return AfterValidator(require)


def require_no_arguments(key: str, name: str, arguments: Mapping[str, Any]) -> None:
    """Raise ValueError if arguments are given to what `key` names and it is no part of the user's own."""
    if arguments and not is_part_name(name):
        raise ValueError(
            f"{key} are for a part of your own, {OWN}, and {name} is none: its settings have keys of their own"
        )


def require_order(*names: str) -> Any:
    """Return the validator of a section that requires of each of these keys that it runs from small to large."""

    def require(section: Any) -> Any:
        for name in names:
            low, high = getattr(section, name)
            if low > high:
                raise ValueError(f"{name} must run from small to large, got [{low}, {high}]")
        return section

    return model_validator(mode="after")(require)


def _require_name(text: str) -> str:
    """Return the name of a model, `NAME`, `library/NAME` or `package.module:callable`, if it can be one."""
    require_text(text)
    if ":" in text and not is_part_name(text):
        raise ValueError(f"{text!r} is not package.module:callable, the form of a model of your own")
    return text


def _require_json(value: Any) -> Any:
    """Return the arguments of a part, if JSON and the libraries behind take each number in them."""
    if isinstance(value, Mapping):
        return {key: _require_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_require_json(item) for item in value]
    if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) < 2**63):
        raise ValueError(f"{value} is not a number between -2**63 and 2**63")
    return value


def _require_held_out(value: Any) -> Any:
    """Return the part of the training set, or the folder or split, that holds the validation images."""
    if isinstance(value, str):
        return require_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError(
            f"found {value!r}, expected a number between 0 and 1, such as 0.1 for a tenth of the training images, or "
            f"the name of the folder or split that holds validation images"
        )
    return value


def _can_be_class(value: Any) -> bool:
    """Return True if `value` can name a class, or be its index."""
    if isinstance(value, str):
        return bool(value)
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MANY


def _require_classes(value: Any) -> Any:
    """Return a choice of a teacher's classes with the names of the data set's classes as text, which YAML may not do.

    Each class has one or several of the teacher's, and a class of the teacher stands for one class at most.
    """
    if not isinstance(value, Mapping | list | tuple) or not value:
        raise ValueError("expected a list with an entry for each class, or a mapping from class to the teacher's")
    entries = list(value.values()) if isinstance(value, Mapping) else list(value)
    chosen = [one for entry in entries for one in (entry if isinstance(entry, list | tuple) else [entry])]
    if wrong := [one for one in chosen if not _can_be_class(one)]:
        raise ValueError(f"expected names of the teacher's classes, or indices counted from 0, found {wrong[0]!r}")
    if any(entry in ([], ()) for entry in entries):
        raise ValueError("a class has none of the teacher's classes, expected one or several")
    if twice := [one for one, count in Counter(chosen).items() if count > 1]:
        raise ValueError(f"the teacher's class {twice[0]!r} is given twice, expected each once at most")
    return {str(name): entry for name, entry in value.items()} if isinstance(value, Mapping) else value


def _require_class_weights(value: Any) -> Any:
    """Return weights of classes with names as text, which YAML may take for numbers; or the word for computed ones."""
    if isinstance(value, str) and value == "balanced":
        return value
    if not isinstance(value, Mapping | list | tuple) or not value:
        suggestion = did_you_mean(value, ["balanced"]) if isinstance(value, str) else ""
        raise ValueError(
            f"found {masked(repr(value))}, expected balanced, a list with a weight for each class, or a mapping from "
            f"class to weight{suggestion}"
        )
    for weight in value.values() if isinstance(value, Mapping) else value:
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= LARGEST_WEIGHT:
            raise ValueError(f"found the weight {weight!r}, expected a number from 0 to {LARGEST_WEIGHT:,.0f}")
    return {str(name): weight for name, weight in value.items()} if isinstance(value, Mapping) else value


NOT_A_TRUTH_VALUE = BeforeValidator(_no_truth_value)

Fraction = Annotated[float, Field(gt=0, le=1), NOT_A_TRUTH_VALUE]
UnitInterval = Annotated[float, Field(ge=0, le=1), NOT_A_TRUTH_VALUE]
PixelValue = Annotated[float, Field(ge=0, le=1), NOT_A_TRUTH_VALUE]
Deviation = Annotated[float, Field(ge=1e-4, le=1e3), NOT_A_TRUTH_VALUE]  # of pixels in 0..1
Aspect = Annotated[float, Field(ge=1e-3, le=1e3), NOT_A_TRUTH_VALUE]
Area = Annotated[float, Field(ge=1e-4, le=1), NOT_A_TRUTH_VALUE]
Count = Annotated[int, Field(ge=1, le=MANY), NOT_A_TRUTH_VALUE]
Epochs = Annotated[int, Field(ge=1, le=100_000), NOT_A_TRUTH_VALUE]
Batch = Annotated[int, Field(ge=1, le=2**16), NOT_A_TRUTH_VALUE]
Rate = Annotated[float, Field(gt=0, le=1e3), NOT_A_TRUTH_VALUE]
Weight = Annotated[float, Field(ge=0, le=LARGEST_WEIGHT), NOT_A_TRUTH_VALUE]
TeacherWeight = Annotated[float, Field(ge=1e-6, le=LARGEST_WEIGHT), NOT_A_TRUTH_VALUE]
GreyValue = Annotated[float, Field(ge=-1e12, le=1e12), NOT_A_TRUTH_VALUE]  # in files: beyond what 32 bits hold
Logit = Annotated[float, Field(ge=-1e6, le=1e6), NOT_A_TRUTH_VALUE]
Seed = Annotated[int, Field(ge=0, lt=2**63), NOT_A_TRUTH_VALUE]
ModelName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_require_name)]
ClassIndex = Annotated[int, Field(ge=0, lt=MANY)]
ClassName = Annotated[str, AfterValidator(require_text)]
ClassChoice = ClassIndex | ClassName | tuple[ClassIndex | ClassName, ...]
ClassMap = Annotated[
    dict[str, ClassChoice] | tuple[ClassChoice, ...],
    BeforeValidator(_require_classes),
    WithJsonSchema({"type": "string", "format": "mapping or list of classes"}),
]
ClassWeights = Annotated[
    str | dict[ClassName, float] | tuple[float, ...],
    BeforeValidator(_require_class_weights),
    WithJsonSchema({"type": "string", "format": "`balanced`, mapping or list of weights"}),
]
Arguments = Annotated[dict[str, JsonValue], AfterValidator(_require_json)]
HeldOut = Annotated[
    float | str, BeforeValidator(_require_held_out), WithJsonSchema({"type": "fraction or name of a folder or split"})
]
Size = Annotated[
    str,
    BeforeValidator(_size_as_written),
    WithJsonSchema({"type": "string", "format": "size (512MB, 2GiB, bytes)"}),
]


def sections_by_name(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Return the sections that a field chooses among by their `name`, in order; empty for any other field.

    That of a part of the user's own, if the field takes one, is at `OWN`.
    """
    if field.discriminator is None:
        return {}
    return {tag.tag: section for section, tag in map(get_args, get_args(field.annotation))}


def item_section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section that each item of a field is, or that it may hold; None if it holds no sections."""
    first = next(iter(get_args(field.annotation)), None)
    return first if isinstance(first, type) and issubclass(first, BaseModel) and field.discriminator is None else None


def item_sections_by_name(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Return the sections among which each item of a field is chosen by its `name`; empty for any other field."""
    item = next(iter(get_args(field.annotation)), None)
    marks = getattr(item, "__metadata__", ())  # of Annotated
    if not any(isinstance(mark, Discriminator) for mark in marks):
        return {}
    sections = get_args(get_args(item)[0])
    return {get_args(section.model_fields["name"].annotation)[0]: section for section in sections}


def section_of(field: FieldInfo, value: Any) -> type[BaseModel] | None:
    """Return the section that a field holds.

    Of sections that are chosen by name it is the one that `value` names, or the first if it names none.

    Returns
    -------
    type[BaseModel] | None
        None if the field holds a value, or `value` names no section of it, or the field may hold nothing and does.
    """
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return field.annotation
    optional = item_section_of(field) if type(None) in get_args(field.annotation) else None
    if optional is not None:
        return optional if isinstance(value, Mapping) else None
    known = sections_by_name(field)
    if not known:
        return None
    first = next(iter(known))
    name = str(value.get("name", first)) if isinstance(value, Mapping) else first
    return known.get(OWN if is_part_name(name) else name)
