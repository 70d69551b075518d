"""Runs on a data set of the user's own: resumed with the same code, refused with other code, reported without it."""

import sys
from pathlib import Path

import pytest
from tests.support.commands import run_command, succeed

SOURCE = """
import numpy as np

LOADED = open("loaded.txt", "a").write("once\\n")

class Spots:
    classes = ("low", "high")

    def __init__(self, split, each):
        self.split, self.each = split, each

    def __len__(self):
        return 2 * self.each

    def __getitem__(self, index):
        image = np.random.default_rng([len(self.split), index]).integers(0, 128, (8, 8), dtype=np.uint8)
        return image + 120 * (index % 2), index % 2
"""


@pytest.mark.loops
def test_a_run_is_resumed_with_the_same_code_only_and_reported_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kcd_spots.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "kcd_spots", raising=False)
    settings = [
        "data={name: 'kcd_spots:Spots', arguments: {each: 12}}",
        "teacher={model: resnet8, epochs: 1, weights: teacher.safetensors}",
        "store={path: store.zarr, views: 1}",
        "student.model=resnet8",
        "distill={method: kcd, epochs: 1}",
        "condense.interval=1",
        "run={dir: run, device: cpu, threads: 1}",
    ]
    recipe = ["digits", *(word for setting in settings for word in ("--set", setting))]
    for command in ("train-teacher", "extract-teacher", "distill"):
        succeed(command, *recipe)
    assert "finished already" in succeed("distill", *recipe, "--resume")

    (tmp_path / "kcd_spots.py").write_text(SOURCE + "\n# another\n")
    monkeypatch.delitem(sys.modules, "kcd_spots")
    for words in (["distill", *recipe, "--resume"], ["train-teacher", *recipe]):
        refused = run_command(*words)
        assert refused.exit_code == 2
        assert "data.name" in refused.output

    loaded = (tmp_path / "loaded.txt").read_text()
    monkeypatch.delitem(sys.modules, "kcd_spots", raising=False)
    succeed("report", "run", "--html", "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "its data set is kcd_spots:Spots, and a report imports no code that a run names" in page
    assert (tmp_path / "loaded.txt").read_text() == loaded
    assert "kcd_spots" not in sys.modules
