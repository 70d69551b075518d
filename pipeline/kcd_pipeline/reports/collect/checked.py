"""The files of a run that anybody may have written: every fact that is read from them later is of the right kind."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictInt, StrictStr, ValidationError, model_validator

from kcd_pipeline.errors import UserError
from kcd_pipeline.plain_text import masked_facts
from kcd_pipeline.runs import RunFolder, read_epochs, read_settings

LARGEST = 1 << 53  # above it, JSON has no exact numbers
LONGEST_SHOWN = 60  # characters of a value in a message

Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Seconds = Annotated[FiniteFloat, Field(ge=0, le=LARGEST)]
Number = Annotated[StrictInt, Field(ge=0, le=LARGEST)]
Positive = Annotated[StrictInt, Field(ge=1, le=LARGEST)]


class _Facts(BaseModel):
    """Facts that are read by name; other versions may have written more."""

    model_config = ConfigDict(extra="allow")


class _Data(_Facts):
    name: StrictStr


class _Teacher(_Facts):
    model: StrictStr
    epochs: Positive
    ema: Fraction | None = None


class _Student(_Facts):
    model: StrictStr


class _Distill(_Facts):
    method: Literal["none", "kd", "kcd"]
    epochs: Positive
    ema: Fraction | None = None


class _Store(_Facts):
    path: StrictStr


class _Condense(_Facts):
    plans_from: StrictStr | None = None


class _OtherTeacher(_Teacher):
    store: StrictStr
    weight: FiniteFloat


class _TeachersConfig(_Facts):
    seed: Number
    data: _Data
    teacher: _Teacher


class _StudentsConfig(_TeachersConfig):
    other_teachers: list[_OtherTeacher] = []
    store: _Store
    student: _Student
    distill: _Distill
    condense: _Condense = _Condense()


class _Epoch(_Facts):
    """A line of metrics.jsonl."""

    epoch: Number
    test_accuracy: Fraction | None = None
    validation_accuracy: Fraction | None = None
    ema_test_accuracy: Fraction | None = None
    ema_validation_accuracy: Fraction | None = None
    kept_fraction: Fraction
    samples: Number
    rows: Number
    seconds: Seconds
    loss: FiniteFloat = 0.0
    steps: Number = 0
    bytes_read: Number = 0
    teacher_rows: Number = 0
    teacher_seconds: Seconds = 0.0

    @model_validator(mode="after")
    def _require_accuracy(self) -> "_Epoch":
        if self.test_accuracy is None and self.validation_accuracy is None:
            raise ValueError("it has neither a test_accuracy nor a validation_accuracy")
        return self


class _Split(_Facts):
    name: StrictStr
    test_fingerprint: StrictStr
    validation_fingerprint: StrictStr | None = None
    validation_size: Positive | None = None


class _Samples(_Facts):
    fingerprint: StrictStr
    classes: list[StrictStr]
    label_names: list[StrictStr] = []


class _TeacherOfStore(_Facts):
    weights_sha256: StrictStr | None = None
    test_accuracy: Fraction | None = None


class _Condensed(_Facts):
    plan: StrictStr


class _MadeFrom(_Facts):
    dataset: _Samples
    teacher: _TeacherOfStore
    condensed: _Condensed | None = None


class _StoreOfRun(_Facts):
    path: StrictStr
    identity: StrictStr
    made_from: _MadeFrom
    encoding: StrictStr
    views: Positive
    rows: Positive
    bytes: Number
    seconds: Seconds


class _Summary(_Facts):
    """The content of summary.json."""

    method: Literal["none", "kd", "kcd"]
    student: StrictStr
    seed: Number
    epochs: Positive
    test_accuracy: Fraction
    best_test_accuracy: Fraction
    validation_accuracy: Fraction | None = None
    best_validation_accuracy: Fraction | None = None
    ema_test_accuracy: Fraction | None = None
    ema_validation_accuracy: Fraction | None = None
    best_epoch: Number | None = None
    stopped_early: bool = False
    rows_trained: Number
    samples_trained: Number
    kept_fraction: Annotated[list[Fraction], Field(min_length=1)]
    seconds: Seconds
    teacher_rows: Number = 0
    teacher_seconds: Seconds = 0.0
    predictions_sha256: StrictStr | None = None
    dataset: _Split
    store: _StoreOfRun | None
    other_stores: list[_StoreOfRun] = []
    parts: dict[StrictStr, StrictStr] = {}
    metrics: dict[StrictStr, FiniteFloat | None] = {}


def read_checked_settings(folder: RunFolder) -> dict[str, Any]:
    """Return the resolved config of the run of a student or of the training of a teacher, without secrets of URLs.

    Raises
    ------
    UserError
        If the file is not such a config.
    """
    config: dict[str, Any] = masked_facts(read_settings(folder))
    _require(_StudentsConfig if "student" in config else _TeachersConfig, config, folder.config)
    return config


def read_checked_epochs(folder: RunFolder) -> list[dict[str, Any]]:
    """Return the metrics of a run, one mapping for each epoch.

    Raises
    ------
    UserError
        If a line is not that of an epoch.
    """
    metrics = read_epochs(folder)
    for line in metrics:
        _require(_Epoch, line, folder.metrics)
    return metrics


def read_checked_summary(folder: RunFolder) -> dict[str, Any]:
    """Return the summary of a finished run, without secrets of URLs.

    Raises
    ------
    UserError
        If the file is not the summary of a student's run.
    """
    try:
        summary: dict[str, Any] = masked_facts(folder.read_summary())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder.summary} cannot be read as JSON ({error}). Restore it from a copy.") from error
    _require(_Summary, summary, folder.summary)
    return summary


def _require(model: type[BaseModel], facts: Any, file: Path) -> None:
    """Raise UserError if `facts` from `file` are not those of `model`, or hold a number that JSON does not have."""
    try:
        model.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "all of it"
        found = "" if first["type"] == "missing" else f" (found {repr(first['input'])[:LONGEST_SHOWN]})"
        raise UserError(
            f"{file} is not what a run writes: {key}: {first['msg'][0].lower()}{first['msg'][1:]}{found}. Restore it "
            f"from a copy, or do the run again with this version."
        ) from error
    if infinite := _not_finite(facts):
        raise UserError(f"{file} is not what a run writes: {infinite} is not a finite number. Restore it from a copy.")


def _not_finite(facts: Any, key: str = "") -> str | None:
    """Return the dotted key of the first number in `facts` that is NaN or infinite; None if there is none."""
    if isinstance(facts, Mapping):
        inner = [(f"{key}.{name}" if key else str(name), value) for name, value in facts.items()]
    elif isinstance(facts, Sequence) and not isinstance(facts, str):
        inner = [(f"{key}.{place}", value) for place, value in enumerate(facts)]
    else:
        return key if isinstance(facts, float) and not math.isfinite(facts) else None
    return next((found for name, value in inner if (found := _not_finite(value, name))), None)
