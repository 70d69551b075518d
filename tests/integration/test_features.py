"""Features from teacher to student: extracted, checked, verified, and taught by PKT under `kd` and `kcd`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from tests.support.recipes import as_overrides
from tests.support.rewritten import rewrite_rows

from kcd_pipeline.cli import main
from kcd_pipeline.config import Config, load_config
from kcd_pipeline.extraction import extract_teacher
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.teacher import train_teacher


def overrides(folder: Path, **more: Any) -> list[str]:
    chosen = {
        "data.limit_per_class": 30,
        "teacher.model": "resnet14",
        "teacher.weights": folder / "teacher.safetensors",
        "teacher.epochs": 3,
        "store.path": folder / "features.zarr",
        "store.views": 2,
        "store.features": "true",
        "distill.epochs": 4,
        "condense.interval": 1,
        "run.dir": folder / "{variant}",
    }
    return as_overrides(chosen, **more)


def settings(folder: Path, **more: Any) -> Config:
    return load_config("digits", overrides(folder, **more))


def run(*arguments: str | Path, folder: Path, **more: Any) -> tuple[int, str]:
    options = [word for option in overrides(folder, **more) for word in ("--set", option)]
    ended = CliRunner().invoke(main, [*map(str, arguments), *options])
    return ended.exit_code, " ".join(ended.output.split())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    train_teacher(settings(folder))
    extract_teacher(settings(folder))
    extract_teacher(settings(folder, store__path=folder / "plain.zarr", store__features="false"))
    return folder


def test_logits_are_those_of_a_store_without_features_and_come_of_the_features(home: Path) -> None:
    both = zarr.open_group(home / "features.zarr", mode="r")
    plain = zarr.open_group(home / "plain.zarr", mode="r")
    np.testing.assert_array_equal(both["logits"][:], plain["logits"][:])  # type: ignore[index]  # arrays
    from safetensors.numpy import load_file

    last = load_file(home / "teacher.safetensors")
    features = np.asarray(both["features"][1]).astype(np.float64)  # type: ignore[index]  # an array
    logits = features @ last["fc.weight"].T.astype(np.float64) + last["fc.bias"]
    np.testing.assert_allclose(logits, np.asarray(both["logits"][1]), atol=0.03)  # type: ignore[index]  # an array


def test_it_is_verified_with_its_teacher_and_drifted_features_are_found(home: Path, tmp_path: Path) -> None:
    code, said = run("verify", home / "features.zarr", "--teacher", "digits", folder=home)
    assert code == 0, said
    moved = home / "moved.zarr"
    extract_teacher(settings(home, store__path=moved))
    classes = 10
    rewrite_rows(moved, lambda rows: np.concatenate([rows[:, :classes], np.roll(rows[:, classes:], 1, axis=0)], axis=1))
    code, said = run("verify", moved, "--teacher", "digits", folder=home)
    assert (code, "does not say what its teacher says" in said) == (1, True), said


@pytest.mark.parametrize("method", ["kd", "kcd"])
def test_a_student_is_taught_by_pkt(home: Path, method: str) -> None:
    losses = {}
    for loss in ("pkt", "kd"):
        place = home / f"{method}-{loss}"
        code, said = run("distill", "digits", "--method", method, folder=home, distill__loss__name=loss, run__dir=place)
        assert code == 0, said
        losses[loss] = [line["loss"] for line in RunFolder(place).read_metrics()]
    assert losses["pkt"][-1] < losses["pkt"][0]
    assert losses["pkt"][0] > losses["kd"][0]  # the same student, with one term more


def test_int8_features_are_held_within_their_steps(home: Path) -> None:
    small = home / "int8.zarr"
    extract_teacher(settings(home, store__path=small, store__encoding="int8", store__features_encoding="int8"))
    code, said = run(
        "verify", small, "--teacher", "digits", folder=home, store__encoding="int8", store__features_encoding="int8"
    )
    assert code == 0, said


def test_pkt_without_features_is_refused_before_anything_is_trained(home: Path) -> None:
    code, said = run(
        "distill",
        "digits",
        "--method",
        "kd",
        folder=home,
        distill__loss__name="pkt",
        store__path=home / "plain.zarr",
        store__features="false",
        run__dir=home / "never",
    )
    assert code == 2
    assert "distill.loss.name is pkt, which is on penultimate features, but the store at" in said
    assert not (home / "never").exists()


def test_what_is_added_to_a_store_with_features_must_have_them(home: Path) -> None:
    code, said = run("extract-teacher", "digits", folder=home, store__features="false", store__views=3)
    assert code == 2
    assert "holds features, but store.features is false" in said
