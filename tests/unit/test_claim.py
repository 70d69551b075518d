"""Claiming a folder for a run: what is begun, what is gone on with, what is replaced, and what is left alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.files import file_contents

from kcd_pipeline.errors import UserError
from kcd_pipeline.runs import RunFolder, claim_folder

CONFIG: dict[str, Any] = {
    "seed": 0,
    "data": {"name": "digits"},
    "augmentation": {"name": "none"},
    "teacher": {"lr": 0.1, "weights": "teacher.safetensors"},
    "run": {"dir": "run", "precision": "float32"},
}
ORIGIN = {"dataset": "0123"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that has all of its files, with some of the user's own among them."""
    folder = RunFolder(tmp_path / "run")
    claim_folder(folder, CONFIG, ORIGIN)
    for name in ("values.zarr/c/0", "plans.zarr/zarr.json", "checkpoint/epoch-00003/state.json", "metrics.jsonl"):
        file = folder.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("ours")
    for name in ("summary.json", "weights.safetensors", "best.safetensors", "tensorboard/events.out.tfevents.1.host"):
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text("ours")
    return folder.path


def claim(path: Path, **options: Any) -> None:
    claim_folder(RunFolder(path), CONFIG, ORIGIN, **options)


def refused(path: Path, *says: str, **options: Any) -> None:
    """Require that the claim is refused with all of `says`, and that no file is changed by it."""
    before = file_contents(path) if path.is_dir() else path.read_bytes() if path.exists() else None
    with pytest.raises(UserError) as caught:
        claim(path, **options)
    assert [part for part in says if part not in str(caught.value)] == []
    assert (file_contents(path) if path.is_dir() else path.read_bytes() if path.exists() else None) == before


def test_a_run_goes_on_without_being_asked_to(run: Path) -> None:
    before = file_contents(run)
    claim(run)
    claim(run, resume=True)
    assert file_contents(run) == before


def test_nothing_to_resume(tmp_path: Path) -> None:
    refused(tmp_path / "run", "there is no run to resume", resume=True)
    assert not (tmp_path / "run").exists()


def test_a_changed_config_is_refused_with_both_sides(run: Path) -> None:
    changed = CONFIG | {"teacher": {"lr": 0.5}}
    with pytest.raises(UserError, match=r"teacher\.lr: found 0\.1, expected 0\.5") as caught:
        claim_folder(RunFolder(run), changed, ORIGIN, key="teacher.weights")
    assert "Set teacher.weights to another place" in str(caught.value)
    with pytest.raises(UserError, match="dataset: found 0123, expected 4567"):
        claim_folder(RunFolder(run), CONFIG, {"dataset": "4567"})


def test_a_key_that_an_older_version_did_not_have_has_its_default(run: Path) -> None:
    newer = CONFIG | {"data": {"name": "digits", "exif": False}, "condense": {"interval": 40}}
    claim_folder(RunFolder(run), newer, ORIGIN)
    with pytest.raises(UserError, match=r"data\.exif: found False, expected True") as caught:
        claim_folder(RunFolder(run), CONFIG | {"data": {"name": "digits", "exif": True}}, ORIGIN)
    assert "interval" not in str(caught.value)


def test_overwriting_removes_what_a_run_wrote_and_nothing_else(run: Path) -> None:
    own = ("notes.txt", "tensorboard/notes.txt", "checkpoint/notes.txt", "metrics.jsonl.copy", "my.partial")
    for name in own:
        (run / name).write_text("mine")
    changed = CONFIG | {"teacher": {"lr": 0.5}}
    claim_folder(RunFolder(run), changed, ORIGIN, overwrite=True)
    assert set(file_contents(run)) == {*own, "config.yaml", "origin.json"}
    assert RunFolder(run).read_config() == changed


def stranger(config: str | None = None, origin: str | None = None) -> Callable[[Path], None]:
    def make(run: Path) -> None:
        (run / "config.yaml").write_text(yaml.safe_dump(CONFIG) if config is None else config)
        (run / "origin.json").write_text(json.dumps(ORIGIN) if origin is None else origin)

    return make


STRANGERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another program": (stranger(config="model: {lr: 0.1}\ncheckpoint: best\n"), "no section 'data'"),
    "a section that is a word": (stranger(config=yaml.safe_dump(CONFIG | {"run": "daily"})), "no section 'run'"),
    "a list": (stranger(config="- 1\n"), "cannot be read"),
    "no yaml": (stranger(config="a: ["), "cannot be read"),
    "another origin": (stranger(origin='{"from": "x"}'), "names no data set"),
    "an origin that is a list": (stranger(origin="[1]"), "cannot be read"),
    "no json": (stranger(origin="{"), "cannot be read"),
    "no origin": (lambda run: (run / "origin.json").unlink(), "cannot be read"),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_what_is_not_provably_a_run_is_never_overwritten(run: Path, kind: str) -> None:
    make, doubt = STRANGERS[kind]
    make(run)
    refused(run, "not provably a run", doubt, "run.dir", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.txt", "thesis.partial", "metrics.jsonl"])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, name: str, overwrite: bool) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("my only copy")
    refused(tmp_path / "run", f"it holds {name} but no config.yaml", overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_place_of_the_folder(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "run").write_text("my only copy")
    refused(tmp_path / "run", "is a file, not a folder", overwrite=overwrite)


@pytest.mark.parametrize("left", ["origin.json", "origin.json.partial", "config.yaml.partial"])
def test_what_a_killed_beginning_leaves_is_in_nobodys_way(tmp_path: Path, left: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / left).write_text("{")
    claim(tmp_path / "run")
    assert RunFolder(tmp_path / "run").read_config() == CONFIG


def test_an_overwriting_that_is_killed_anywhere_can_be_made_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each removal in turn: the folder is still provably a run, and one without a summary is not finished."""
    left = 0
    original = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        original(path, missing_ok=missing_ok)

    (run / "tensorboard" / "events.out.tfevents.2.host").write_text("ours")
    for removals in range(20):
        left = removals
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", unlink)
            try:
                claim(run, overwrite=True)
                break
            except KeyboardInterrupt:
                assert RunFolder(run).exists
                assert not RunFolder(run).finished or removals == 0
    assert removals > 3
    assert set(file_contents(run)) == {"config.yaml", "origin.json"}


# --- links -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["checkpoint", "values.zarr", "tensorboard", "metrics.jsonl", "best.safetensors"])
def test_a_linked_part_is_unlinked_and_what_it_leads_to_is_kept(run: Path, tmp_path: Path, part: str) -> None:
    (run / part).rename(tmp_path / "elsewhere")
    (run / part).symlink_to(tmp_path / "elsewhere")
    elsewhere = tmp_path / "elsewhere"
    before = file_contents(elsewhere) if elsewhere.is_dir() else elsewhere.read_text()
    claim(run, overwrite=True)
    assert not (run / part).is_symlink()
    assert (file_contents(elsewhere) if elsewhere.is_dir() else elsewhere.read_text()) == before


def test_a_link_within_a_part_is_not_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis.txt").write_text("my only copy")
    (run / "values.zarr" / "thesis").symlink_to(tmp_path / "elsewhere")
    claim(run, overwrite=True)
    assert (tmp_path / "elsewhere" / "thesis.txt").read_text() == "my only copy"


def test_a_run_is_gone_on_with_through_a_link_but_never_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    claim(tmp_path / "link")
    refused(tmp_path / "link", f"a link to {run}", "through a link", overwrite=True)


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    refused(tmp_path / "link", f"is a link to {tmp_path / 'nothing'}, where nothing is")
