"""The trial of encodings: what it measures against scipy, what it chooses, and how a store keeps the choice."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from kcd_pipeline.config import StoreConfig
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.recipe_store import Wording, new_encoding, open_or_create, require_made_from, required_encoding
from kcd_stores import (
    ENCODINGS,
    CorruptStoreError,
    KnowledgeStore,
    KnowledgeWriter,
    StoreMismatchError,
    make_encoding,
    open_storage,
    trial_lines,
    try_encodings,
)

SAMPLES, CLASSES, FEATURES = 600, 20, 3


def peaked(rows: int = SAMPLES) -> np.ndarray[Any, Any]:
    """Return logits `[rows, 20]` float32: noise, and one class far above it."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (rows, CLASSES))
    logits[np.arange(rows), random.integers(0, CLASSES, rows)] += 10
    return logits.astype(np.float32)


def kl(teacher: np.ndarray[Any, Any], stored: np.ndarray[Any, Any], temperature: float) -> float:
    """Return the mean KL of two sets of logits, by scipy."""
    p, q = (special.softmax(part.astype(np.float64) / temperature, axis=1) for part in (teacher, stored))
    return float(np.mean([stats.entropy(*rows) for rows in zip(p, q, strict=True)]))


@pytest.fixture
def every_setting() -> None:
    """For tests in which all settings are tried that a recipe does not name."""


@pytest.fixture(autouse=True)
def _few_settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "every_setting" not in request.fixturenames:
        monkeypatch.setattr("kcd_pipeline.recipe_store.encoding.OTHER_SETTINGS", {})


class Source:
    """Counted rows of 20 logits, and of features; see `StoreSource`."""

    samples, classes, feature_columns = SAMPLES, CLASSES, FEATURES
    wording = Wording(encoding_key="store.encoding", data="the data", range_advice="Scale them down.")

    def __init__(self, rows: np.ndarray[Any, Any] | None = None, **settings: Any) -> None:
        given = {"path": "unused", "views": 2, "encoding": "auto", "features": True, **settings}
        self.settings = StoreConfig(**given)
        features = np.ones((SAMPLES, FEATURES), np.float32)
        self.rows = np.concatenate([peaked() if rows is None else rows, features], axis=1)
        self.trials = 0

    def trial_rows(self, count: int, *, views: int) -> np.ndarray[Any, Any]:
        self.trials += 1
        return self.rows[:count]

    def made_from(self) -> dict[str, Any]:
        return {"dataset": {"name": "counted", "fingerprint": "aa"}}

    def require_same(self, store: KnowledgeStore) -> None:
        require_made_from(store, self.made_from() | {"encoding": required_encoding(self.settings)})


def test_each_candidate_is_measured_as_scipy_measures_it() -> None:
    rows = peaked(300)
    encodings = [make_encoding("float32"), make_encoding("int8", low=-30.0, high=30.0), make_encoding("topk", k=4)]
    trial = try_encodings(rows, encodings, max_kl=0.01)
    assert trial.rows == 300
    assert [one.bytes_per_row for one in trial.candidates] == sorted(one.bytes_per_row for one in trial.candidates)
    for candidate in trial.candidates:
        parts = candidate.encoding.encode(rows, view=0, first=0)
        stored = candidate.encoding.decode(parts, CLASSES)
        expected = [kl(rows, stored, 1.0), kl(rows, stored, 4.0)]
        assert list(candidate.mean_kl) == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert candidate.top1 == (stored.argmax(1) == rows.argmax(1)).mean()


def test_the_smallest_within_the_limit_at_every_temperature_is_chosen() -> None:
    """Almost even rows with one class above: topk(1) loses a variance of 1e-4. With two above, it loses the second."""
    rows = np.random.default_rng(0).normal(0, 0.01, (64, CLASSES)).astype(np.float32)
    rows[:, 0] = 8
    encodings = [make_encoding("float32"), make_encoding("topk", k=1), make_encoding("sample", draws=10)]
    assert try_encodings(rows, encodings, max_kl=1e-4).chosen.encoding.name == "topk"
    rows[:, 1] = 7
    trial = try_encodings(rows, encodings, max_kl=1e-4)
    assert trial.chosen.encoding.name == "float32"
    sampled = next(one for one in trial.candidates if one.encoding.name == "sample")
    assert sampled.mean_kl == (None, None)
    assert not sampled.is_within(100), "what is unbounded is never within"
    assert try_encodings(rows, encodings, max_kl=50.0).chosen.encoding.name == "topk"
    with pytest.raises(ValueError, match="at most 1e-05 nats"):
        _ = try_encodings(rows, encodings[1:], max_kl=1e-5).chosen


def test_an_encoding_whose_range_does_not_hold_a_logit_is_left_out() -> None:
    rows = peaked(64) * np.float32(1e5)
    trial = try_encodings(rows, [make_encoding("float16"), make_encoding("float32")], max_kl=1.0)
    assert [one.encoding.name for one in trial.candidates] == ["float32"]


def test_all_encodings_are_tried_and_a_looser_limit_never_takes_more_bytes(every_setting: None) -> None:
    trial = new_encoding(Source()).trial
    assert trial is not None
    assert {one.encoding.name for one in trial.candidates} == set(ENCODINGS)
    kept = [one.encoding.settings()["k"] for one in trial.candidates if one.encoding.name == "topk"]
    assert sorted(kept) == [4, 8, 16], "32 and 64 are more than the 20 classes"
    chosen = [replace(trial, max_kl=limit).chosen for limit in (1e-9, 1e-6, 1e-4, 1e-2, 1.0)]
    sizes = [one.bytes_per_row for one in chosen]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 2


def test_the_choice_is_recorded_and_no_trial_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage, source = open_storage(tmp_path / "store.zarr"), Source(max_kl=1e-3)
    writer = open_or_create(storage, source, overwrite=False)
    said = capsys.readouterr()
    store, trial = writer.store, writer.store.trial
    assert trial is not None
    assert (trial["max_kl"], trial["temperatures"], trial["rows"]) == (1e-3, [1.0, 4.0], SAMPLES / 4)
    (chosen,) = [one for one in trial["candidates"] if one["chosen"]]
    assert chosen["encoding"] == store.encoding_label
    assert max(chosen["mean_kl"]) <= 1e-3
    for line in trial_lines(trial):
        assert line.strip() in said.out + said.err
    again = Source(max_kl=1e-3, views=3)
    grown = open_or_create(storage, again, overwrite=False).store
    assert again.trials == 0
    assert (grown.trial, grown.layout.views, grown.identity) == (trial, 3, store.identity)


def test_the_store_is_the_one_that_the_recipe_would_have_made_by_name(tmp_path: Path) -> None:
    by_trial = open_or_create(open_storage(tmp_path / "a"), Source(), overwrite=False).store
    encoding = by_trial.describe_encoding()
    settings: dict[str, Any] = {"int8_range": (encoding["low"], encoding["high"])} if encoding["name"] == "int8" else {}
    settings |= {"keep_bits": encoding.get("keep_bits", 7), "top_k": encoding.get("k", 8)}
    named = Source(encoding=encoding["name"], **settings)
    by_name = open_or_create(open_storage(tmp_path / "b"), named, overwrite=False).store
    assert by_name.identity == by_trial.identity
    assert by_name.trial is None
    attributes = [json.loads((tmp_path / name / "zarr.json").read_text())["attributes"] for name in "ab"]
    assert attributes[0].keys() - attributes[1].keys() == {"trial"}, "other stores have no such attribute"
    named.require_same(by_trial)  # either recipe opens either store
    Source().require_same(by_name)


def test_a_store_beyond_the_limit_is_refused_with_both_numbers(tmp_path: Path) -> None:
    loose = open_or_create(open_storage(tmp_path / "loose"), Source(max_kl=0.5), overwrite=False).store
    with pytest.raises(StoreMismatchError, match=r"a mean KL of up to .* nats .* store\.max_kl 1e-05\. Raise"):
        Source(max_kl=1e-5).require_same(loose)
    drawn = open_or_create(open_storage(tmp_path / "drawn"), Source(encoding="sample"), overwrite=False).store
    with pytest.raises(StoreMismatchError, match=r"holds sample\(draws=50, seed=0\), whose rows have an unbounded"):
        Source(max_kl=10).require_same(drawn)
    changed = Source(max_kl=0.5)
    changed.made_from = lambda: {"dataset": {"name": "counted", "fingerprint": "bb"}}  # type: ignore[method-assign]
    with pytest.raises(StoreMismatchError, match=r"dataset\.fingerprint: found aa, expected bb"):
        changed.require_same(loose)


def test_a_logit_that_is_no_number_ends_the_trial() -> None:
    rows = peaked()
    rows[5, 5] = np.nan
    with pytest.raises(FailedError, match=r"no encoding can be chosen: .* not finite"):
        new_encoding(Source(rows))


def test_nothing_within_the_limit_is_a_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcd_pipeline.recipe_store.encoding.ENCODINGS", {"sample": None, "topk": None})
    with pytest.raises(
        UserError, match=r"store\.encoding auto: no encoding .* at most 1e-09 nats\. Raise store\.max_kl"
    ):
        new_encoding(Source(max_kl=1e-9))


def test_a_trial_that_cannot_be_one_is_damage(tmp_path: Path) -> None:
    open_or_create(open_storage(tmp_path / "s"), Source(), overwrite=False)
    file = tmp_path / "s" / "zarr.json"
    facts = json.loads(file.read_text())
    facts["attributes"]["trial"]["max_kl"] = "small"
    file.write_text(json.dumps(facts))
    with pytest.raises(CorruptStoreError, match=r"attributes\.trial\.max_kl"):
        KnowledgeWriter.open(tmp_path / "s")
