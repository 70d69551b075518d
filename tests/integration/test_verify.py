"""`verify`, and the comparison before training: sound stores pass, and damage is found."""

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from tests.support.plain_zarr import open_array
from tests.support.recipes import as_overrides
from tests.support.rewritten import rewrite_rows

from kcd_pipeline.cli import main
from kcd_pipeline.config import Config, load_config
from kcd_pipeline.errors import FailedError
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.teacher import train_teacher
from kcd_pipeline.verification.against_teacher import compare_with_teacher
from kcd_stores import KnowledgeStore, verify_store

ENCODINGS = ["float32", "float16", "bitround", "int8", "topk", "sample", "pca", "pq"]


def overrides(folder: Path, encoding: str = "float16", **more: Any) -> list[str]:
    chosen = {
        "data.limit_per_class": 30,
        "teacher.model": "resnet8",
        "teacher.weights": folder / "teacher.safetensors",
        "teacher.epochs": 4,
        "store.path": folder / f"{encoding}.zarr",
        "store.views": 3,
        "store.encoding": encoding,
        "store.block_rows": 128,
        "store.components": 6,
        "store.code_bytes": 4,
        "distill.epochs": 1,
        "run.dir": folder / "run",
    }
    return as_overrides(chosen, **more)


def settings(folder: Path, encoding: str = "float16", **more: Any) -> Config:
    return load_config("digits", overrides(folder, encoding, **more))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained teacher and a store in every encoding."""
    folder = tmp_path_factory.mktemp("verify")
    train_teacher(settings(folder))
    for encoding in ENCODINGS:
        extract_teacher(settings(folder, encoding))
    return folder


def run(*arguments: str | Path) -> tuple[int, str]:
    ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return ended.exit_code, " ".join(ended.output.split())


def with_set(options: list[str]) -> list[str]:
    return [word for option in options for word in ("--set", option)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_whole_store_is_sound_and_says_what_its_teacher_says(home: Path, encoding: str) -> None:
    path = home / f"{encoding}.zarr"
    code, said = run("verify", path, "--teacher", "digits", *with_set(overrides(home, encoding)), "--rows", "96")
    assert code == 0, said
    assert "is sound: 900 rows read" in said  # 3 views of 300 samples
    assert "rows made again by the teacher differ by" in said


@pytest.mark.parametrize("encoding", ["float16", "int8", "topk", "sample", "pca", "pq"])
def test_a_flipped_bit_anywhere_in_any_data_file_is_found(home: Path, tmp_path: Path, encoding: str) -> None:
    """A hundred random flips for each encoding, in any file: shards of every array, chunks of the ledgers."""
    store = tmp_path / "copy.zarr"
    shutil.copytree(home / f"{encoding}.zarr", store)
    files = sorted(file for file in store.rglob("*") if file.is_file() and file.name != "zarr.json")
    choose = random.Random(encoding)
    missed = []
    for _ in range(100):
        file = choose.choice(files)
        sound = file.read_bytes()
        place, bit = choose.randrange(len(sound)), choose.randrange(8)
        damaged = bytearray(sound)
        damaged[place] ^= 1 << bit
        file.write_bytes(damaged)
        found = verify_store(store)
        if found.sound or not (found.damage or found.unreadable):
            missed.append((file.relative_to(store), place, bit))
        file.write_bytes(sound)
    assert not missed
    assert verify_store(store).sound


def test_damage_is_listed_with_its_files_and_the_rest_is_counted(home: Path, tmp_path: Path) -> None:
    store = tmp_path / "copy.zarr"
    shutil.copytree(home / "float16.zarr", store)
    (store / "logits" / "c" / "1" / "0" / "0").write_bytes(b"")
    (store / "logits" / "c" / "2" / "2" / "0").unlink()
    code, said = run("verify", store)
    assert code == 1
    assert "view 1, block 0: logits/c/1/0/0" in said
    assert "view 2, block 2: logits/c/2/2/0" in said
    assert f"{900 - 128 - 44:,} rows are sound" in said  # blocks of 128, 128 and 44


def test_a_store_that_is_not_finished_is_not_called_damaged(home: Path, tmp_path: Path) -> None:
    store = tmp_path / "copy.zarr"
    shutil.copytree(home / "float16.zarr", store)
    open_array(store, "complete", "r+")[1, 2] = 0
    code, said = run("verify", store)
    assert code == 2
    assert "undamaged but not finished: 1 blocks are missing, the first is block 2 of view 1" in said


def test_attributes_that_do_not_fit_the_arrays_are_found(home: Path, tmp_path: Path) -> None:
    store = tmp_path / "copy.zarr"
    shutil.copytree(home / "float16.zarr", store)
    group = zarr.open_group(str(store), mode="r+")
    group.attrs["layout"] = {**dict(group.attrs)["layout"], "chunk_rows": 64}  # type: ignore[dict-item]  # JSON
    code, said = run("verify", store)
    assert code == 1
    assert "is damaged in zarr.json: attributes.checksum: found" in said


def shift_by_one_pixel(store: Path) -> None:
    """A changed augmentation makes rows belong to other pictures, here to that of the next sample."""
    rewrite_rows(store, lambda rows: np.roll(rows, 1, axis=0))


def test_rows_of_other_pictures_are_found_by_the_teacher_alone(home: Path, tmp_path: Path) -> None:
    store = tmp_path / "float16.zarr"
    shutil.copytree(home / "float16.zarr", store)
    shift_by_one_pixel(store)
    assert verify_store(store).sound
    moved = settings(home, store__path=store)
    with pytest.raises(FailedError, match="does not say what its teacher says"):
        compare_with_teacher(moved, rows=64)


def test_distill_refuses_a_drifted_store_before_it_trains_and_can_be_told_not_to_look(
    home: Path, tmp_path: Path
) -> None:
    store = tmp_path / "float16.zarr"
    shutil.copytree(home / "float16.zarr", store)
    shift_by_one_pixel(store)
    options = with_set(overrides(home, store__path=store, run__dir=tmp_path / "run"))
    code, said = run("distill", "digits", "--method", "kd", *options)
    assert code == 1
    assert "does not say what its teacher says" in said
    assert not (tmp_path / "run").exists()
    assert run("distill", "digits", "--method", "kd", "--no-check", *options)[0] == 0


@pytest.mark.parametrize("what", ["replaced by another store", "removed"])
def test_a_student_whose_store_is_replaced_or_removed_ends_and_says_so(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Its rows would be of two teachers, and its summary would name the first."""
    store = tmp_path / "store.zarr"
    shutil.copytree(home / "float16.zarr", store)
    read_packed, reads = KnowledgeStore.read_packed, 0

    def read_after_a_while(self: KnowledgeStore, *args: Any, **more: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads == 2:
            shutil.rmtree(store)
            if what != "removed":
                extract_teacher(settings(home, store__path=store, augmentation__seed=7))
        return read_packed(self, *args, **more)

    monkeypatch.setattr(KnowledgeStore, "read_packed", read_after_a_while)
    options = with_set(overrides(home, store__path=store, run__dir=tmp_path / "run", distill__epochs=3))
    code, said = run("distill", "digits", "--method", "kd", "--no-check", *options)
    assert code == 1
    assert f"store.zarr was {what} while this process was reading it" in said
    assert not (tmp_path / "run" / "summary.json").exists()


def test_a_record_that_cannot_be_read_is_named_and_made_again(home: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    shutil.copytree(home / "float16.zarr", store)
    (store / "checksums" / "c" / "1" / "0" / "0").write_bytes(b"")
    because = "checksums/c/1/0/0: it has 0 bytes, expected"
    code, said = run("verify", store)
    assert (code, because in said) == (2, True), said
    code, said = run("inspect", store)
    assert (code, because in said) == (0, True), said
    code, said = run("distill", "digits", *with_set(overrides(home, store__path=store, run__dir=tmp_path / "run")))
    assert (code, because in said) == (2, True), said
    assert extract_teacher(settings(home, store__path=store)).blocks_made == 3
    assert verify_store(store).sound
