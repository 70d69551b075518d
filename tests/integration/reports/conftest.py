"""Real, tiny runs, made once for reports and inspections."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.once import made_once
from tests.support.tiny_runs import ODD_NAME, TINY, kcd


def make_runs(folder: Path) -> None:
    """Make two stores that differ in padding and views; kcd of two seeds, kd on each store, none without a store."""

    def make(command: str, *settings: str) -> None:
        whole = [
            *TINY,
            f"teacher.weights={folder / 'teacher.safetensors'}",
            f"store.path={folder / 'a.zarr'}",
            *settings,
        ]
        result = kcd(command, "digits", *(part for setting in whole for part in ("--set", setting)))
        assert result.exit_code == 0, result.output

    other = (f"store.path={folder / 'b.zarr'}", "augmentation.padding=2", "store.views=1")
    make("train-teacher")
    make("extract-teacher")
    make("extract-teacher", *other)
    make("distill", "distill.method=kcd", f"run.dir={folder / 'kcd0'}")
    make("distill", "distill.method=kcd", f"run.dir={folder / 'kcd1'}", "seed=1")
    make("distill", "distill.method=kd", f"run.dir={folder / 'kd'}")
    make("distill", "distill.method=kd", f"run.dir={folder / 'kd-b'}", *other)
    make("distill", "distill.method=none", f"run.dir={folder / 'none'}", f"store.path={folder / 'no.zarr'}")
    shutil.copytree(folder / "kd", folder / ODD_NAME)
    shutil.copytree(folder / "kcd0", folder / "cut")
    (folder / "cut" / "summary.json").unlink()
    lines = (folder / "cut" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "cut" / "metrics.jsonl").write_text(lines[0])


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The folder of the runs, and the four of them that are compared."""
    folder = made_once(tmp_path_factory, "reported", make_runs)
    return SimpleNamespace(folder=folder, runs=[folder / name for name in ("kcd0", "kcd1", "kd", "none")])
