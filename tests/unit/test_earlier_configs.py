"""Configs of runs of the first format are read in the words of today, and their digests stay those of the files."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.recipes import small_recipe

from kcd_pipeline.config import in_todays_words, parse_config
from kcd_pipeline.runs import RunFolder


@pytest.mark.parametrize(("word", "track"), [("mean", "mean"), ("current", "latest")])
def test_what_was_called_the_value_is_the_track_of_entropies(word: str, track: str) -> None:
    written = {"condense": {"alpha": 0.03, "value": word}, "seed": 0}
    expected = {"condense": {"alpha": 0.03, "value": "entropy", "track": track}, "seed": 0}
    assert in_todays_words(written) == expected
    assert written["condense"] == {"alpha": 0.03, "value": word}, "what was read is left as it is"


@pytest.mark.parametrize(
    "config",
    [{"condense": {"value": "gap", "track": "latest"}}, {"condense": {"value": ["mean"]}}, {"condense": 3}, {}],
)
def test_any_other_config_is_returned_as_it_is(config: dict[str, Any]) -> None:
    assert in_todays_words(config) == config


def test_a_track_that_is_set_over_an_earlier_config_counts() -> None:
    tree = small_recipe().plain()
    tree["condense"] |= {"value": "mean", "track": "latest"}
    assert parse_config(tree, source="the test").condense.track == "latest"


def test_a_run_reads_todays_words_and_records_what_was_written(tmp_path: Path) -> None:
    folder, changed = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "changed")
    folder.begin({"condense": {"value": "current"}}, {})
    changed.begin({"condense": {"value": "entropy", "track": "latest"}}, {})
    assert folder.read_config() == changed.read_config() == {"condense": {"value": "entropy", "track": "latest"}}
    assert folder.record(1).config != changed.record(1).config, "a record is of the file itself"
