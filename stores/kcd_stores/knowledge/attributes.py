"""The attributes of a knowledge store: made for a new store, and validated whole whenever one is opened.

    format       3; stores of version 0.1.0 have format 1, without `generation` and `checksum`; in format 2 the metadata
                 of arrays of `bitround` and `int8` names codecs of numcodecs
    kind         "knowledge"
    generation   16 hex digits, drawn when the store is made, so that no two stores share their records
    checksum     SHA-256, in hex, of the JSON of all the others, with sorted keys and without spaces
    encoding     the encoding of the logits: its name and settings
    features     the number of features and their encoding, or null
    layout       the sizes of the store, and its division into blocks and chunks
    made_from    what the rows were made from
    fidelity     measurements of the encoding, or null
    trial        the encodings that were tried, if the store's was chosen from them; else it is missing

Attributes that others add to the group are left alone.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kcd_stores.encodings import Encoding, NoLogits, describe_features, make_encoding, with_features
from kcd_stores.errors import StoreUsageError
from kcd_stores.knowledge.layout import Layout

FORMATS = (1, 2, 3)
FORMAT = FORMATS[-1]  # of new stores
KIND = "knowledge"
GENERATION_BYTES = 8
SHOWN = 12  # digits of a checksum in a message
LONGEST_FOUND = 60  # characters of a wrong value in a message


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class _Plain(_Strict):
    name: Literal["float32", "float16"]


class _BitRound(_Strict):
    name: Literal["bitround"]
    keep_bits: int = Field(ge=1, le=23)


class _Int8(_Strict):
    name: Literal["int8"]
    low: float
    high: float


class _TopK(_Strict):
    name: Literal["topk"]
    k: int = Field(ge=1)


class _Sample(_Strict):
    name: Literal["sample"]
    draws: int = Field(ge=1)
    seed: int = Field(ge=0, lt=2**64)


class _PCA(_Strict):
    name: Literal["pca"]
    components: int = Field(ge=1)
    k: int = Field(ge=0)
    correction_step: float
    basis: str


class _PQ(_Strict):
    name: Literal["pq"]
    code_bytes: int = Field(ge=1)
    components: int = Field(ge=1)
    k: int = Field(ge=0)
    correction_step: float
    largest_error: float
    basis: str


class _Features(_Strict):
    dim: int = Field(ge=1)
    encoding: Annotated[_Plain | _BitRound | _Int8, Field(discriminator="name")]


class _Layout(_Strict):
    views: int
    samples: int
    classes: int
    block_rows: int
    chunk_rows: int
    split_record: Literal[True] = True


class _Fidelity(_Strict):
    rows: int
    mean_kl: float | None
    top1: float | None
    bytes_per_row: float
    temperature: float


class _Candidate(_Strict):
    encoding: str
    bytes_per_row: float
    mean_kl: list[float | None]
    top1: float
    chosen: bool


class _Trial(_Strict):
    rows: int
    max_kl: float
    temperatures: list[float]
    candidates: list[_Candidate]


class _NoLogits(_Strict):
    name: Literal["none"]


_Encoding = Annotated[
    _Plain | _BitRound | _Int8 | _TopK | _Sample | _PCA | _PQ | _NoLogits, Field(discriminator="name")
]


class _Condensed(_Strict):
    model_config = ConfigDict(extra="allow")

    plan: str
    encoding: _Encoding
    weighted: bool = False

    @field_validator("encoding", mode="before")
    @classmethod
    def _without_features(cls, found: Any) -> Any:
        """Leave out the features, which a condensed set does not have."""
        return {key: value for key, value in found.items() if key != "features"} if isinstance(found, dict) else found


class _MadeFrom(_Strict):
    model_config = ConfigDict(extra="allow")

    condensed: _Condensed | None = None


class _Attributes(_Strict):
    model_config = ConfigDict(extra="ignore")

    format: int
    kind: str
    generation: str | None = Field(default=None, pattern=r"^[0-9a-f]{16}$")
    checksum: str | None = None
    encoding: _Encoding
    features: _Features | None = None
    layout: _Layout
    made_from: _MadeFrom
    fidelity: _Fidelity | None = None
    trial: _Trial | None = None


OURS = tuple(_Attributes.model_fields)  # the names of all attributes that stores have by themselves


def new_attributes(
    *,
    layout: Layout,
    encoding: Encoding,
    made_from: Mapping[str, Any],
    fidelity: Mapping[str, Any] | None,
    trial: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the attributes of a new store, with a generation of its own.

    Raises
    ------
    ValueError, TypeError
        If `made_from` or `fidelity` cannot be written as JSON.
    """
    return checked(
        {
            "format": FORMAT,
            "kind": KIND,
            "generation": secrets.token_hex(GENERATION_BYTES),
            "encoding": {"name": encoding.name, **encoding.settings()},
            "features": describe_features(encoding),
            "layout": layout.attributes(),
            "made_from": dict(made_from),
            "fidelity": None if fidelity is None else dict(fidelity),
            **({} if trial is None else {"trial": dict(trial)}),
        }
    )


def checked(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `attributes` with the checksum of those of them that are a store's own."""
    return {**attributes, "checksum": checksum_of(attributes)}


def checksum_of(attributes: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of the attributes that are a store's own, but for the checksum itself."""
    own = {name: attributes[name] for name in OURS if name in attributes and name != "checksum"}
    text = json.dumps(own, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Description:
    """The valid attributes of a store; `parse_attributes` makes it.

    Attributes
    ----------
    attributes
        The store's own attributes, by name.
    layout
        What `layout` says.
    """

    attributes: Mapping[str, Any]
    layout: Layout

    @property
    def format(self) -> int:
        """The number of the store's format."""
        return int(self.attributes["format"])

    @property
    def generation(self) -> str | None:
        """The generation; None for a store of format 1."""
        return self.attributes.get("generation")

    @property
    def features(self) -> dict[str, Any] | None:
        """The number of features and their encoding; None for a store without any."""
        return self.attributes.get("features")

    def encoding(self, *, features: bool) -> Encoding:
        """Return the encoding; with `features`, or where there are no logits, that of any features too."""
        encoding = make_encoding(**self.attributes["encoding"])
        return with_features(encoding, self.features) if features or isinstance(encoding, NoLogits) else encoding


def parse_attributes(attributes: Mapping[str, Any]) -> Description:
    """Validate the attributes of a group that is a knowledge store of a known format.

    Raises
    ------
    ValueError
        If they cannot be what a store was made with; the message names the key, what was found and what was expected.
    """
    try:
        _Attributes.model_validate(attributes)
    except ValidationError as error:
        raise ValueError(_in_words(error)) from error
    _require_checksum(attributes)
    own = {name: attributes[name] for name in OURS if name in attributes}
    try:
        layout = Layout(**own["layout"])
        if layout.split_record and own["format"] == 1:
            raise ValueError("split_record is true, which no store of format 1 has")
        found = Description(attributes=own, layout=layout)
        if not found.encoding(features=True).arrays(layout.classes):
            raise ValueError("it has neither logits nor features")
        if not layout.classes and not isinstance(make_encoding(**own["encoding"]), NoLogits):
            raise ValueError("classes must be at least 1 of a store of logits, got 0")
    except (ValueError, StoreUsageError) as error:
        raise ValueError(f"layout or encoding: {error}") from error
    return found


def _require_checksum(attributes: Mapping[str, Any]) -> None:
    """Raise ValueError unless a store has the right checksum, or is one of format 1, which has none."""
    names = ("generation", "checksum")
    if attributes["format"] == 1 and not any(name in attributes for name in names):
        return
    missing = [name for name in names if attributes.get(name) is None]
    if missing:
        raise ValueError(f"{missing[0]}: found nothing, expected one, as every store has it from format 2 on")
    expected = checksum_of(attributes)
    if attributes["checksum"] != expected:
        raise ValueError(
            f"checksum: found {str(attributes['checksum'])[:SHOWN]}…, expected {expected[:SHOWN]}… by the other "
            f"attributes, so one of them was changed"
        )


def _in_words(error: ValidationError) -> str:
    """Return the first finding of pydantic: the key, what was found, and what was expected."""
    first = error.errors(include_url=False, include_context=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    found = "nothing" if first["type"] == "missing" else _short(first["input"])
    return f"{key}: found {found}, expected otherwise ({first['msg']})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_FOUND else f"{text[: LONGEST_FOUND - 1]}…"
