"""The condensed set of a run as a store of its own: its rows worked out by hand, and students taught from it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import special
from tests.support.files import file_contents, knowledge_contents
from tests.support.plain_zarr import read_array

from kcd_pipeline.cli import main
from kcd_stores import KnowledgeStore, KnowledgeWriter, read_condensed

RECIPE: dict[str, Any] = {
    "data.limit_per_class": 100,
    "teacher.model": "resnet8",
    "teacher.epochs": 8,
    "store.views": 2,
    "store.block_rows": 256,
    "distill.epochs": 4,
    "condense.interval": 2,
    "run.threads": 1,
}
N, K, T = 1000, 700, 4.0


def cli(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def kcd(command: str, home: Path, *more: str, options: tuple[str, ...] = ()) -> Result:
    places = {
        "teacher.weights": home / "teacher.safetensors",
        "store.path": home / "store.zarr",
        "run.dir": home / "kcd",
    }
    settings = [*(f"{key}={value}" for key, value in (RECIPE | places).items()), *more]
    return cli(command, "digits", *options, *(word for setting in settings for word in ("--set", setting)))


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, its store of 1,000 samples in two views, a condensed student, and its condensed set of 700."""
    folder = tmp_path_factory.mktemp("condensed")
    for command in ("train-teacher", "extract-teacher", "distill"):
        done(kcd(command, folder))
    done(cli("condense", folder / "kcd", "--export", folder / "float32.zarr", "--encoding", "float32"))
    return folder


def by_hand(home: Path, run: str = "kcd") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """From plain zarr: `source[V, N, C]`, and the kept samples, partners and strengths of the last stage."""
    source = read_array(home / "store.zarr", "logits").astype(np.float32)
    plan = home / run / "plans.zarr" / "stage-001"
    return source, read_array(plan, "kept"), read_array(plan, "partner"), read_array(plan, "epsilon")


# --- what it holds ----------------------------------------------------------------------------------------


def test_every_row_is_the_blend_worked_out_by_hand(home: Path) -> None:
    source, kept, partner, epsilon = by_hand(home)
    assert len(kept) == K
    assert (epsilon > 0).sum() == 299, "300 perturbed, the first of them by 0"
    expected = source[:, kept] + epsilon[None, :, None] * source[:, partner]
    store = home / "float32.zarr"
    np.testing.assert_allclose(read_array(store, "logits"), expected, atol=1e-5)
    assert read_array(store, "samples").tolist() == kept.tolist()
    assert read_array(store, "epsilon").tolist() == epsilon.tolist()
    assert read_array(store, "partner").tolist() == np.where(epsilon > 0, partner, -1).tolist()


def test_in_probability_space_too(home: Path) -> None:
    done(kcd("distill", home, "condense.space=probabilities", f"run.dir={home / 'probable'}"))
    done(cli("condense", home / "probable", "--export", home / "probable.zarr", "--encoding", "float32"))
    source, kept, partner, epsilon = by_hand(home, "probable")
    p1, p0 = (special.softmax(source[:, index] / T, axis=2) for index in (kept, partner))
    expected = (p1 + epsilon[None, :, None] * p0) / (1 + epsilon[None, :, None])
    found = read_array(home / "probable.zarr", "logits")
    np.testing.assert_allclose(special.softmax(found / T, axis=2), expected, atol=1e-6)


def test_an_earlier_stage_is_exported_as_it_was_taught(home: Path) -> None:
    done(cli("condense", home / "kcd", "--export", home / "first.zarr", "--stage", "1"))
    source, *_ = by_hand(home)
    np.testing.assert_array_equal(read_array(home / "first.zarr", "logits"), source)


def test_it_says_what_it_was_made_from(home: Path) -> None:
    facts = json.loads(done(cli("inspect", home / "float32.zarr", "--json")))
    whole = KnowledgeStore.open(home / "store.zarr")
    assert (facts["shape"], facts["samples"], facts["condensed_from"]) == ([2, K, 10], K, N)
    made_from = facts["made_from"]
    entry = made_from.pop("condensed")
    assert made_from == whole.made_from
    assert (entry["store"], entry["student"], entry["stage"]) == (whole.identity, "resnet8", 2)
    assert (entry["perturbed"], entry["space"], entry["temperature"]) == (299, "logits", T)
    assert facts["identity"] != whole.identity
    assert facts["seconds"] == pytest.approx(whole.seconds() * K / N), "at what a row cost the teacher"
    assert "condensed from" in done(cli("inspect", home / "float32.zarr"))


def test_it_is_a_sound_store_and_its_rows_as_stored_are_the_teachers(home: Path) -> None:
    assert "is sound: 1,400 rows read" in done(cli("verify", home / "float32.zarr"))
    settings = [f"{key}={value}" for key, value in RECIPE.items()]
    settings += [f"teacher.weights={home / 'teacher.safetensors'}", "store.encoding=float32"]
    words = [word for setting in settings for word in ("--set", setting)]
    text = done(cli("verify", home / "float32.zarr", "--teacher", "digits", *words))
    assert "rows made again by the teacher differ by" in text


# --- students ---------------------------------------------------------------------------------------------


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("method", "rows"), [("kd", 4 * K), ("kcd", 2 * K + 2 * 490), ("none", 0)])
def test_a_student_is_taught_from_it_on_its_samples_alone(home: Path, method: str, rows: int) -> None:
    """kcd condenses it further: 70 percent of 700 are 490."""
    store = home / "small.zarr"
    if not store.exists():
        done(cli("condense", home / "kcd", "--export", store))
    run = home / f"{method}-small"
    # the store is compared with the teacher first: pictures and rows belong together
    done(kcd("distill", home, f"store.path={store}", f"run.dir={run}", options=("--method", method)))
    lines = metrics(run)
    assert sum(line["rows"] for line in lines) == rows
    assert [line["samples"] for line in lines][:2] == [K, K]
    assert read_array(run / "values.zarr", "value").shape == (4, K)
    assert lines[-1]["test_accuracy"] > 0.5
    report = json.loads(done(cli("report", run, home / "kcd", "--json")))
    assert report["arms"][0]["name"] == f"{method} resnet8 (condensed store)"
    if method == "kcd":
        assert "itself taught from a condensed set" in refused(cli("condense", run, "--export", home / "again.zarr"))
        text = refused(kcd("distill", home, f"condense.plans_from={run}", f"run.dir={home / 'mixed'}"))
        assert "condensed other data than this run trains on" in text
    html = home / f"{method}.html"
    done(cli("report", run, home / "kcd", "--html", html))
    assert "trained on a condensed set" in html.read_text()


def test_a_recipe_of_something_else_is_refused(home: Path) -> None:
    store = f"store.path={home / 'float32.zarr'}"
    text = refused(kcd("distill", home, store, f"run.dir={home / 'never'}", "distill.method=kd"))
    assert "encoding.name: found float32, expected float16" in text
    text = refused(kcd("distill", home, store, "store.encoding=float32", "augmentation.seed=1", "distill.method=kd"))
    assert "augmentation.seed: found 0, expected 1" in text


def test_a_teacher_cannot_add_to_it(home: Path) -> None:
    text = refused(kcd("extract-teacher", home, f"store.path={home / 'float32.zarr'}", "store.encoding=float32"))
    assert "is the condensed set of a run" in text


# --- interrupted, and made again --------------------------------------------------------------------------


def dying_after(blocks: int, path: Path) -> Any:
    """Return a `finish_block` that is interrupted when the store at `path` has `blocks` blocks."""
    original, written = KnowledgeWriter.finish_block, 0

    def finish_block(self: KnowledgeWriter, *args: Any, **more: Any) -> None:
        nonlocal written
        if self.store.path == path:  # not the temporary store on which the encoding is measured
            if written == blocks:
                raise KeyboardInterrupt
            written += 1
        original(self, *args, **more)

    return finish_block


def test_interrupted_at_any_block_and_made_again_it_has_the_same_bytes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = knowledge_contents(home / "float32.zarr")
    for blocks in range(2 * 3):  # 2 views of 700 rows in blocks of 256
        path = tmp_path / f"{blocks}.zarr"
        with monkeypatch.context() as patched:
            patched.setattr(KnowledgeWriter, "finish_block", dying_after(blocks, path))
            assert cli("condense", home / "kcd", "--export", path, "--encoding", "float32").exit_code == 130
        text = done(cli("condense", home / "kcd", "--export", path, "--encoding", "float32"))
        assert f"{6 - blocks} blocks made and {blocks} found" in text
        assert knowledge_contents(path) == whole
    text = done(cli("condense", home / "kcd", "--export", path, "--encoding", "float32"))
    assert "is complete: 1,400 rows; nothing to do" in text


def test_interrupted_before_its_samples_were_written(home: Path, tmp_path: Path) -> None:
    path = shutil.copytree(home / "float32.zarr", tmp_path / "store.zarr")
    shutil.rmtree(path / "samples" / "c")  # the array is there, its data is not
    result = kcd("distill", home, f"store.path={path}", "store.encoding=float32", f"run.dir={tmp_path / 'run'}")
    assert "has no samples/c/0: it was interrupted while it was being made" in refused(result)
    shutil.rmtree(path / "samples")
    text = refused(kcd("distill", home, f"store.path={path}", "store.encoding=float32", f"run.dir={tmp_path / 'run'}"))
    assert "has no samples/zarr.json: it was interrupted" in text
    done(cli("condense", home / "kcd", "--export", path, "--encoding", "float32"))
    assert knowledge_contents(path) == knowledge_contents(home / "float32.zarr")


def test_a_damaged_list_of_samples_is_noticed(home: Path, tmp_path: Path) -> None:
    path = shutil.copytree(home / "float32.zarr", tmp_path / "store.zarr")
    chunk = bytearray((path / "samples" / "c" / "0").read_bytes())
    chunk[0] ^= 1  # sample 0 for 1, or the like: ascending as before
    (path / "samples" / "c" / "0").write_bytes(chunk)
    result = cli("verify", path)
    assert result.exit_code == 1
    assert "checksum" in result.stderr


def test_it_can_lie_in_an_object_store(home: Path) -> None:
    done(cli("condense", home / "kcd", "--export", "memory://condensed", "--encoding", "float32"))
    there, here = KnowledgeStore.open("memory://condensed"), KnowledgeStore.open(home / "float32.zarr")
    np.testing.assert_array_equal(there.read_view(1), here.read_view(1))
    mine, theirs = read_condensed(here), read_condensed(there)
    assert mine is not None
    assert theirs is not None
    np.testing.assert_array_equal(mine.samples, theirs.samples)


def test_rows_do_not_depend_on_how_many_are_made_at_once(home: Path) -> None:
    from kcd_pipeline.export import CondensedSet

    condensed = CondensedSet(home / "kcd", stage=None, source=None)
    together = condensed.rows(1, range(K))
    apart = np.concatenate([condensed.rows(1, range(start, min(start + 130, K))) for start in range(0, K, 130)])
    np.testing.assert_array_equal(together, apart)


# --- refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{home}/nowhere", "--export", "{home}/x.zarr"], "RUN: there is no run at"),
        (["{home}/teacher.training", "--export", "{home}/x.zarr"], "is no student's run, which has no plans"),
        (["{home}/kcd", "--export", "{home}/x.zarr", "--stage", "3"], "--stage 3: "),
        (["{home}/kcd", "--export", "{home}/store.zarr"], "is the store that {home}/kcd was taught from"),
        (["{home}/kcd", "--export", "{home}/x.zarr", "--store", "{home}/float32.zarr"], "expected"),
        (["{home}/kcd", "--export", "{home}/float32.zarr"], "encoding.name: found float32, expected float16"),
        (["{home}/kcd", "--export", "{home}/kcd"], "is not a knowledge store"),
    ],
)
def test_what_cannot_be_exported_is_refused(home: Path, words: list[str], said: str) -> None:
    before = file_contents(home / "store.zarr")
    assert said.format(home=home) in refused(cli("condense", *(word.format(home=home) for word in words)))
    assert not (home / "x.zarr").exists()
    assert file_contents(home / "store.zarr") == before


WAYS_TO_THE_SOURCE = {
    "as it stands": "{home}/store.zarr",
    "through a folder": "{home}/kcd/../store.zarr",
    "relative": "store.zarr",
    "a file URL": "file://{home}/store.zarr",
    "a link": "{other}/link.zarr",
    "a linked folder": "{other}/home/store.zarr",
}


@pytest.mark.parametrize("options", [(), ("--overwrite",)], ids=["", "overwrite"])
@pytest.mark.parametrize("way", WAYS_TO_THE_SOURCE)
def test_its_source_is_never_written_however_it_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, options: tuple[str, ...]
) -> None:
    (tmp_path / "link.zarr").symlink_to(home / "store.zarr")
    (tmp_path / "home").symlink_to(home)
    monkeypatch.chdir(home)
    before = file_contents(home / "store.zarr")
    place = WAYS_TO_THE_SOURCE[way].format(home=home, other=tmp_path)
    said = refused(cli("condense", home / "kcd", "--export", place, "--encoding", "float32", *options))
    assert "is the store that" in said
    assert file_contents(home / "store.zarr") == before


def test_nor_from_a_recipe_whose_path_was_relative(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shutil.copytree(home / "kcd", tmp_path / "kcd")
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace(f"path: {home}/store.zarr", "path: store.zarr"))
    assert "path: store.zarr" in (run / "config.yaml").read_text()
    monkeypatch.chdir(home)
    before = file_contents(home / "store.zarr")
    assert "is the store that" in refused(cli("condense", run, "--export", home / "store.zarr", "--overwrite"))
    assert file_contents(home / "store.zarr") == before


def test_nor_inside_or_around_it(home: Path, tmp_path: Path) -> None:
    before = file_contents(home / "store.zarr")
    inside = refused(cli("condense", home / "kcd", "--export", home / "store.zarr" / "small.zarr"))
    around = refused(cli("condense", home / "kcd", "--export", home, "--overwrite"))
    assert [said.count("lie one inside the other") for said in (inside, around)] == [1, 1]
    assert file_contents(home / "store.zarr") == before


def test_a_store_of_a_teacher_is_not_replaced_by_a_condensed_set(home: Path, tmp_path: Path) -> None:
    """A copy of the source, or the source by a name that does not resolve to the same place."""
    copy = shutil.copytree(home / "store.zarr", tmp_path / "copy.zarr")
    said = refused(cli("condense", home / "kcd", "--export", copy, "--overwrite"))
    assert "is a store of a teacher's knowledge, not a condensed set" in said
    assert file_contents(copy) == file_contents(home / "store.zarr")


def test_another_stage_replaces_it_only_on_purpose(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "store.zarr"
    done(cli("condense", home / "kcd", "--export", path, "--stage", "1"))
    assert "condensed.stage: found 1, expected 2" in refused(cli("condense", home / "kcd", "--export", path))
    done(cli("condense", home / "kcd", "--export", path, "--overwrite"))
    rows = read_condensed(KnowledgeStore.open(path))
    assert rows is not None
    assert len(rows.samples) == K


def test_pairs_cannot_be_exported_for_a_store_holds_no_images(home: Path) -> None:
    done(kcd("distill", home, "condense.perturb=pair", f"run.dir={home / 'kcd-pairs'}"))
    text = refused(cli("condense", home / "kcd-pairs", "--export", home / "x.zarr"))
    assert "a knowledge store holds no images" in text
    done(cli("condense", home / "kcd-pairs", "--export", home / "pairs-first.zarr", "--stage", "1"))


def test_a_store_that_has_moved_is_named(home: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(home / "store.zarr", tmp_path / "moved.zarr")
    done(cli("condense", home / "kcd", "--export", tmp_path / "out.zarr", "--store", moved, "--encoding", "float32"))
    assert knowledge_contents(tmp_path / "out.zarr") == knowledge_contents(home / "float32.zarr")
