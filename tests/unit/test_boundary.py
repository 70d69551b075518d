"""Errors of the library become messages of the command line: the same problem, with advice in commands and keys."""

import pickle

import pytest

from kcd_pipeline.cli.boundary import ADVICE, explain
from kcd_stores import (
    CorruptStoreError,
    IncompleteStoreError,
    Remedy,
    StoreError,
    StoreMismatchError,
    StoreUsageError,
)


@pytest.mark.parametrize("remedy", Remedy, ids=lambda remedy: remedy.name)
def test_each_remedy_has_advice_on_the_command_line(remedy: Remedy) -> None:
    error = StoreUsageError("there is no store at x.zarr.", remedy=remedy)
    assert str(error) == f"there is no store at x.zarr. {remedy.value}"
    assert explain(error) == (f"Error: there is no store at x.zarr. {ADVICE[remedy]}", 2)


def test_an_error_without_a_remedy_is_said_as_it_is() -> None:
    assert explain(StoreError("the store at x.zarr was replaced.")) == ("Failed: the store at x.zarr was replaced.", 1)


@pytest.mark.parametrize(
    "kind", [StoreError, StoreUsageError, StoreMismatchError, IncompleteStoreError, CorruptStoreError]
)
def test_an_error_keeps_its_remedy_on_its_way_from_a_worker(kind: type[StoreError]) -> None:
    error = pickle.loads(pickle.dumps(kind("a problem.", remedy=Remedy.SHARE_FOLDER)))
    assert type(error) is kind
    assert (error.problem, error.remedy, str(error)) == (
        "a problem.",
        Remedy.SHARE_FOLDER,
        f"a problem. {Remedy.SHARE_FOLDER.value}",
    )


def test_damage_is_said_apart_from_the_problem() -> None:
    error = CorruptStoreError("the store at x.zarr is damaged in c/0.", damage="c/0", remedy=Remedy.RESTORE_STORE)
    assert (pickle.loads(pickle.dumps(error)).damage, CorruptStoreError("all of it").damage) == ("c/0", "all of it")
