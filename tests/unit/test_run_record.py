"""The small files of a run: whatever stands in them, a report and an inspection end well or say what is wrong."""

import copy
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.commands import run_command

from kcd_pipeline.errors import DamagedError
from kcd_pipeline.files import write_json
from kcd_pipeline.runs import Record, RunFolder
from kcd_pipeline.runs.manifest import Manifest, find_checkpoints, read_manifest, require_files, write_manifest
from kcd_pipeline.runs.record import json_digest, read_sealed, sealed

COMMITTED = Path(__file__).parents[1] / "data" / "format-1"
RECORD = Record(epochs=1, config="a", origin="b", metrics="c", plans=("d",), values=("e",))
LINE = {"epoch": 0, "test_accuracy": 0.5, "samples": 10, "rows": 10, "seconds": 0.25}


# --- what holds a checksum of itself ------------------------------------------------------------------------------


def test_a_digest_does_not_depend_on_the_order_of_keys_and_on_everything_else() -> None:
    assert json_digest({"a": 1, "b": [1.5, None]}) == json_digest({"b": [1.5, None], "a": 1})
    values: list[Any] = [{"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": [1]}, {"b": 1}, {}, [], None]
    assert len({json_digest(value) for value in values}) == len(values)


def test_what_is_sealed_is_read_back_and_no_change_of_it_is_believed(tmp_path: Path) -> None:
    file, content = tmp_path / "f.json", {"record": {"epochs": 3}, "x": 0.1}
    write_json(file, sealed(content))
    assert read_sealed(file) == content
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(bytes([*whole[:at], whole[at] ^ 1 << at % 8, *whole[at + 1 :]]))
        try:
            assert read_sealed(file) == content, at  # white space
        except DamagedError as error:
            assert str(file) in error.problem  # noqa: PT017  # either is right


def test_a_manifest_finds_files_that_changed_and_manifests_of_another_checkpoint(tmp_path: Path) -> None:
    place = tmp_path / "epoch-00000"
    place.mkdir()
    (place / "model.safetensors").write_bytes(b"weights")
    write_manifest(place, 0, 0.5, RECORD)
    manifest = read_manifest(place)
    assert (manifest.epoch, manifest.best, manifest.record) == (0, 0.5, RECORD)
    require_files(place, manifest)
    (place / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(DamagedError, match=r"model\.safetensors is damaged: its SHA-256"):
        require_files(place, manifest)
    other = Path(shutil.copytree(place, tmp_path / "epoch-00001"))
    with pytest.raises(DamagedError, match="not that of this checkpoint"):
        read_manifest(other)
    (other / "manifest.json").unlink()
    with pytest.raises(DamagedError, match=r"it has no manifest\.json"):
        read_manifest(other)
    (tmp_path / "epoch-00010.partial").mkdir()
    (tmp_path / "notes").mkdir()
    assert [found.name for found in find_checkpoints(tmp_path)] == ["epoch-00001", "epoch-00000"]


def test_a_checkpoint_of_the_first_format_has_no_record(tmp_path: Path) -> None:
    place = tmp_path / "epoch-00002"
    place.mkdir()
    (place / "state.json").write_text('{"epoch": 2, "best": 0.25}')
    assert read_manifest(place) == Manifest(epoch=2, best=0.25)


# --- metrics ------------------------------------------------------------------------------------------------------


def test_metrics_are_appended_cut_to_whole_epochs_and_read_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.truncate_metrics(0)
    lines: list[dict[str, Any]] = [LINE, {**LINE, "epoch": 1, "loss": 1 / 3}]
    for line in lines:
        folder.append_metrics(line)
    written = folder.metrics.read_bytes()
    with folder.metrics.open("ab") as file:
        file.write(b'{"epoch": 2, "lo')
    assert folder.read_metrics() == lines
    folder.truncate_metrics(2)
    assert folder.metrics.read_bytes() == written
    folder.truncate_metrics(1)
    assert folder.read_metrics() == lines[:1]


NOT_SECONDS: list[Any] = [None, "1", [], True, -1, float("nan"), 1e300]


@pytest.mark.parametrize(
    "line",
    ["", "{", "[1]", "1", "null", '{"epoch": 0}', json.dumps({**LINE, "epoch": 1}), json.dumps({**LINE, "rows": 0.5})]
    + [json.dumps({**LINE, "seconds": made_up}) for made_up in NOT_SECONDS],
)
def test_a_line_that_is_not_that_of_its_epoch_is_damage(tmp_path: Path, line: str) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics.write_text(line + "\n")
    with pytest.raises(DamagedError, match=r"metrics\.jsonl is damaged: line 1"):
        folder.read_metrics()


# --- anything in any place ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished run of the first format, whose files have no checksums, so that all that is made up is read."""
    folder = tmp_path_factory.mktemp("made-up")
    shutil.copytree(COMMITTED, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("unfinished"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delitem(sys.modules, "tiny_student", raising=False)
        yield folder / "finished"


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to all values of plain data, and to all that hold values."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree[:3]) if isinstance(tree, list) else ()
    return [path, *(found for key, value in inner for found in places(value, (*path, key)))]


MADE_UP = st.sampled_from(
    [None, True, -1, 0, 10**30, 1e308, float("nan"), "", "abc", [], {}, [1], {"a": 1}, "\x1b[31m", 0.5, "2020-01-01"]
)


@settings(max_examples=12)
@given(data=st.data())
def test_whatever_is_made_up_in_a_run_is_reported_or_refused(place: Path, data: st.DataObject) -> None:
    file = place / data.draw(st.sampled_from(["summary.json", "metrics.jsonl", "config.yaml", "origin.json"]))
    before = file.read_text()
    lines = before.splitlines()
    tree = (
        yaml.safe_load(before) if file.suffix == ".yaml" else json.loads(lines[1] if "jsonl" in file.name else before)
    )
    changed = copy.deepcopy(tree)
    path = data.draw(st.sampled_from(places(tree)[1:]))
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if isinstance(holder, dict) and data.draw(st.booleans()):
        del holder[path[-1]]
    else:
        holder[path[-1]] = data.draw(MADE_UP)
    written = yaml.safe_dump(changed) if file.suffix == ".yaml" else json.dumps(changed)
    file.write_text("\n".join([lines[0], written, *lines[2:], ""]) if "jsonl" in file.name else written)
    try:
        ended = run_command(
            *data.draw(st.sampled_from([("report", "--json"), ("inspect", "--json"), ("report",)])), place
        )
    finally:
        file.write_text(before)
    assert ended.exit_code in (0, 1, 2)
    assert "not foreseen" not in ended.output
    assert ended.exception is None or isinstance(ended.exception, SystemExit)
