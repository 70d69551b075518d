"""YAML as it is read here: numbers as people write them, and nothing that takes the time or the memory of a machine."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.commands import run_command

from kcd_pipeline.config import read_yaml, write_yaml
from kcd_pipeline.config.yaml_files import MAX_BYTES, parse_yaml
from kcd_pipeline.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),  # YAML 1.1 reads 8
        ("08", 8),  # and here a text
        ("1:30", "1:30"),  # and here 90
        ("190:20:30", "190:20:30"),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0x1f", -31),
        ("1_000_000", 1_000_000),
        ("1__0", "1__0"),
        ("+7", 7),
        ("5e-4", 5e-4),  # and here a text
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("1e999", math.inf),
        ("2020-01-01", "2020-01-01"),  # and here a date
        ("2020-13-45", "2020-13-45"),  # and here a ValueError
        ("'010'", "010"),
        ("1e", "1e"),
        ("=", "="),
        ("yes", True),
        ("off", False),
        ("null", None),
        ("", None),
        ("~", None),
        ("~/x", "~/x"),
        ("{3: 4}", {3: 4}),
        ("[1, a, {b: 2}]", [1, "a", {"b": 2}]),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  y: 2", {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
    ],
)
def test_a_value_is_what_people_mean_by_it(text: str, value: Any) -> None:
    found = parse_yaml(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2", "line 1, column 6: expected ',' or ']'"),
        ("a: 1\na: 2", "line 2, column 1: key 'a' is there twice"),
        ("!!int x", "line 1, column 1: the tag !!int is not read here"),
        ("a: !!python/object:os.system x", "the tag !!python/object:os.system is not read here"),
        ("!x y", "the tag !x is not read here"),
        ("9" * 5000, "a number has 5,000 characters"),
        ('"a\\0b"', "holds what is not a character"),
        ('"\\ud800"', "holds what is not a character"),
        ('"\\Uffffffff"', "holds what is not a character"),
        ('"\\U00110000"', "not in range"),
        ("a\0b", "character 2 is U+0000, which YAML does not allow"),
        ("? [1]\n: 2", "a key must be a word"),
        (f"{'k' * 101}: 1", "a key has 101 characters"),
        ("&a [*a]", "nested deeper than 32 levels"),
        ("[" * 5000, "nested deeper than 32 levels"),
        ("{a: " * 5000, "nested deeper than 32 levels"),
        ("- " * 5000, "nested deeper than 32 levels"),
        ("x" * (MAX_BYTES + 1), "longer than 100,000 characters"),
        ("a\n--- b", "found another document"),
        ("*nowhere", "undefined alias"),
        ("{<<: 3}", "expected a mapping"),
    ],
)
def test_what_is_no_plain_value_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as caught:
        parse_yaml(text)
    assert said in str(caught.value)


def bomb(item: str) -> str:
    """Return nine lines, each of which holds the one before ten times."""
    lines = [f"a0: &a0 {item}"]
    for k in range(9):
        joined = ", ".join([f"*a{k}"] * 10)
        lines.append(f"a{k + 1}: &a{k + 1} [{joined}]" if item == "x" else f"a{k + 1}: &a{k + 1} {{<<: [{joined}]}}")
    return "\n".join(lines)


@pytest.mark.parametrize("text", [bomb("x"), bomb("{x: 1}")])
def test_aliases_that_multiply_are_refused_at_once(text: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match="more than 10,000 values"):
        parse_yaml(text)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("command", ["report", "inspect", "condense"])
@pytest.mark.parametrize("content", [bomb("x"), f"{'k' * 90_000}: 1", "x" * 10**7])
def test_a_run_whose_config_is_made_to_fill_the_memory_is_refused_at_once(
    command: str, content: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(content)
    (tmp_path / "origin.json").write_text("{}")
    (tmp_path / "summary.json").write_text("{}")
    started = time.process_time()
    ended = run_command(command, tmp_path, *(["--export", tmp_path / "store"] if command == "condense" else []))
    assert time.process_time() - started < 10  # most of which is importing
    assert ended.exit_code in (1, 2), ended.output
    assert "cannot be read as YAML" in ended.output
    assert len(ended.output) < 1000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: " + b"x" * MAX_BYTES, "it is larger than 100,000 bytes"),
        (b"\xff\xfe\x00", "can't decode byte 0xff"),
        (b"- a", "must hold sections such as `data:` and `teacher:`, found list"),
    ],
)
def test_a_file_that_is_not_one_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_yaml(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(b"\xef\xbb\xbfseed: 1\n")
    assert read_yaml(file) == {"seed": 1}


@pytest.mark.parametrize("text", ["010", "5e-4", "08", "0o17", "1:30", "2020-01-01", "no", "null", "1_0", "é", "a: b"])
def test_a_text_that_looks_like_another_value_is_written_so_that_it_stays_one(text: str) -> None:
    written = write_yaml({"key": text, "number": 1e-5})
    assert parse_yaml(written) == {"key": text, "number": 1e-5}
    assert yaml.safe_load(written)["key"] == text  # by other readers too


def test_what_is_done_to_one_reading_is_not_in_the_next() -> None:
    """A text is parsed once, and read as often as it is asked for."""
    text = "data: {name: digits, classes: [cat]}"
    first = parse_yaml(text)
    first["data"]["classes"].append("dog")
    assert parse_yaml(text) == {"data": {"name": "digits", "classes": ["cat"]}}
