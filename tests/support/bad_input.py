"""Whole commands on bad input: the right exit code, one paragraph that says what to do, and nothing lost.

Exit code 2 is the user's to mend, 1 a failure. "Nothing lost" is tested by bytes: every file that lay there before
the command lies there after it, unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from kcd_pipeline.cli import main

SMALL = {
    "data.limit_per_class": "20",
    "teacher.epochs": "1",
    "distill.epochs": "2",
    "condense.interval": "1",
    "store.views": "2",
    "run.device": "cpu",
    "run.threads": "1",  # on so little data, threads cost more than they save
}

Says = Sequence[str | Path]  # pieces of a message; a path stands for itself


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of a command: its exit code and its output."""

    code: int
    said: str

    @property
    def words(self) -> str:
        """Its output, on one line."""
        return " ".join(self.said.split())


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder with a teacher, a store and a finished run of digits in it, or some of them."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Path:
        return self.folder / {"weights": "teacher.safetensors", "store": "store.zarr", "run": "run"}[name]

    def __call__(self, command: str, *options: str, config: str = "digits", debug: bool = False, **_: Any) -> Ended:
        paths = {"teacher.weights": self.weights, "store.path": self.store, "run.dir": self.run}
        settings = SMALL | {key: str(path) for key, path in paths.items()} | self.settings
        arguments = ["--debug"] if debug else []
        arguments += [command, config, *(f"--set={key}={value}" for key, value in settings.items()), *options]
        result = CliRunner().invoke(main, arguments)
        return Ended(code=result.exit_code, said=result.output)

    def but(self, **settings: Any) -> "Place":
        """Return the same place under other settings; `__` stands for the dot."""
        changed = {key.replace("__", "."): str(value) for key, value in settings.items()}
        return Place(folder=self.folder, settings=self.settings | changed)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below `folder`, except hidden ones: those are locks, which come and go."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def refused(place: Place, command: str, *options: str, code: int = 2, says: Says, **more: Any) -> Ended:
    """Run the command; it must end with `code`, say all of `says` in one paragraph and change no file."""
    before = contents(place.folder)
    ended = place(command, *options, **more)
    after = contents(place.folder)
    assert ended.code == code, ended.said
    assert [part for part in says if " ".join(str(part).split()) not in ended.words] == [], ended.said
    assert "Traceback" not in ended.said
    assert "not foreseen" not in ended.said
    assert "\n\n" not in ended.said.strip()
    assert {name: after.get(name) for name in before} == before
    return ended


def save_digits(root: Path, classes: tuple[int, ...]) -> None:
    """Save real digits as an image folder: five images of each class and split."""
    source = load_digits()
    for part, split in enumerate(("train", "test")):
        for digit in classes:
            (root / split / str(digit)).mkdir(parents=True)
            for k, image in enumerate(source.images[source.target == digit][5 * part : 5 * part + 5]):
                Image.fromarray((image * 15).astype(np.uint8)).save(root / split / str(digit) / f"{k}.png")


def told_facts(weights: Path) -> dict[str, str]:
    """Return the facts in the header of weights that were trained here, without the digest of their tensors."""
    with safe_open(weights, framework="pt") as file:
        return {"kcd": file.metadata()["kcd"]}


def make_logit_nan(weights: Path) -> None:
    """Make the teacher's logit for class 7 NaN, as after a training that diverged."""
    state = load_file(weights)
    state["fc.bias"][7] = torch.nan
    save_file(state, weights, metadata=told_facts(weights))
