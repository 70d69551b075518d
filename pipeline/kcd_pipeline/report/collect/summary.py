"""The facts that a report needs of the summary of a run, which anybody may have written."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Count = Annotated[int, Field(ge=0, le=10**18)]
Seconds = Annotated[float, Field(ge=0, le=10**12, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Facts(BaseModel):
    """Facts of which others may stand beside those that a report needs."""

    model_config = ConfigDict(extra="allow")


class _Data(_Facts):
    fingerprint: str


class _Teacher(_Facts):
    weights_sha256: str | None = None
    test_accuracy: Share | None = None


class _Condensed(_Facts):
    plan: str


class _Origin(_Facts):
    dataset: _Data
    teacher: _Teacher
    condensed: _Condensed = _Condensed(plan="")


class _Store(_Facts):
    path: str
    identity: str
    made_from: _Origin
    encoding: str
    views: Annotated[int, Field(ge=1, le=10**9)]
    rows: Annotated[int, Field(ge=1, le=10**18)]
    bytes: Count
    seconds: Seconds


class _Tested(_Facts):
    test_fingerprint: str


class _Summary(_Facts):
    method: str
    student: str
    seed: int
    epochs: Annotated[int, Field(ge=1, le=10**9)]
    test_accuracy: Share
    best_test_accuracy: Share
    rows_trained: Count
    samples_trained: Count
    kept_fraction: list[Share]
    seconds: Seconds
    dataset: _Tested
    store: _Store | None


def summary_problem(summary: Any) -> str | None:
    """Return what a report would miss in a summary, as `key: what is wrong`; None if nothing."""
    try:
        _Summary.model_validate(summary, strict=True)
    except ValidationError as error:
        details = error.errors()[0]
        return f"{'.'.join(map(str, details['loc'])) or 'all of it'}: {details['msg'][:1].lower()}{details['msg'][1:]}"
    return None
