"""The folder of a run: what lies where, how it is claimed, and the small files in it.

config.yaml           the resolved config
origin.json           the data set and the store that the run was begun on, by content, and the mode of streaming
metrics.jsonl         one line an epoch
tensorboard/          the same for TensorBoard
values.zarr           values and frequencies after each epoch
plans.zarr            what each stage was taught
checkpoint/           the newest whole training state, until the run is finished
weights.safetensors   after the last epoch
best.safetensors      after the epoch of best test accuracy
summary.json          written last: a run that has it is finished
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kcd_pipeline.errors import UserError
from kcd_pipeline.files import read_json, write_json, write_whole
from kcd_stores.knowledge.description import differences, listed

# where things are may change between a run and its resumption; what they are may not. A memory budget may, as long as
# it chooses the same mode of streaming: the mode is part of origin.json, for it decides the order of samples
MOVABLE = {
    "run": {"dir", "device", "threads", "resident"},
    "data": {"root", "download", "workers"},
    "store": {"path", "memory"},
    "teacher": {"weights"},
}


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.origin = path / "origin.json"
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"
        self.tensorboard = path / "tensorboard"
        self.values = path / "values.zarr"
        self.plans = path / "plans.zarr"
        self.checkpoint = path / "checkpoint"
        self.weights = path / "weights.safetensors"
        self.best_weights = path / "best.safetensors"

    @property
    def exists(self) -> bool:
        """A run was begun here."""
        return self.config.is_file()

    @property
    def finished(self) -> bool:
        """The run that was begun here came to its end."""
        return self.summary.is_file()

    def claim(self, config: Mapping[str, Any], origin: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Make the folder this run's, or refuse; what is not a run is never touched.

        Parameters
        ----------
        config
            The resolved config, as plain data.
        origin
            Content hashes of what the run is begun on; a run is not resumed on anything else, wherever it lies.
        resume
            A run of this config that is there is gone on with.
        overwrite
            Any run that is there is removed.

        Raises
        ------
        UserError
            If the folder holds something else, a run of another config or on other content, or one that is not
            asked to be resumed.
        """
        if self.path.exists() and not self.exists:
            left = {self.origin.name}  # by a run that was killed before its config was written
            foreign = [e.name for e in self.path.iterdir() if e.suffix != ".partial" and e.name not in left]
            if foreign:
                raise UserError(
                    f"{self.path} exists and is not a run (it holds {foreign[0]} but no config.yaml), so it is left "
                    f"alone. Set run.dir to a new folder."
                )
        if self.exists and overwrite:
            self._clear()
        if self.exists:
            self._require_same(config, origin)
            if self.finished and not resume:
                raise UserError(
                    f"{self.path} holds a finished run of this config. Set run.dir to another folder, or give "
                    f"--overwrite to replace it."
                )
            if not resume:
                raise UserError(
                    f"{self.path} holds a run of this config that is not finished ({len(self.read_metrics())} epochs "
                    f"done). Give --resume to go on with it, or --overwrite to start anew."
                )
        elif resume:
            raise UserError(f"there is no run to resume at {self.path}. Leave --resume out to start it.")
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.origin, dict(origin))
            write_whole(self.config, yaml.safe_dump(dict(config), sort_keys=False))

    def _require_same(self, config: Mapping[str, Any], origin: Mapping[str, Any]) -> None:
        found = differences(_fixed(self.read_config()), _fixed(config))
        found += differences(self.read_origin(), origin)
        if found:
            raise UserError(
                f"{self.path} belongs to a run of another config:\n{listed(found)}\n"
                f"Set run.dir to another folder, or undo the difference."
            )

    def _clear(self) -> None:
        """Remove the run; what makes it a run goes last, so that an interrupted call can be made again."""
        finished, begun = [self.summary], [self.origin, self.config]
        rest = [entry for entry in vars(self).values() if entry not in (self.path, *finished, *begun)]
        for entry in finished + rest + begun:
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)

    def read_config(self) -> dict[str, Any]:
        """The resolved config, as plain data.

        Raises
        ------
        UserError
            If the folder is not a run.
        """
        try:
            tree: dict[str, Any] = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise UserError(f"{self.path} is not the folder of a run: no readable config.yaml ({error})") from error
        return tree

    def read_condensing_config(self, *, asked_by: str) -> dict[str, Any]:
        """The resolved config, as plain data, of a run that condenses; `asked_by` is the key that named its folder.

        Raises
        ------
        UserError
            If there is no run, or it is of another method.
        """
        if not self.exists:
            raise UserError(
                f"{asked_by}: there is no run at {self.path} (in {Path.cwd()}). Give the folder of a run that "
                f"`kcd-pipeline distill --method kcd` made."
            )
        tree = self.read_config()
        method = tree.get("distill", {}).get("method") if isinstance(tree, dict) else None
        if method != "kcd":
            found = "no student's run" if method is None else f"a run of method {method}"
            raise UserError(f"{asked_by}: {self.path} is {found}, which has no plans; expected a run of method kcd.")
        return tree

    def read_origin(self) -> dict[str, Any]:
        """Content hashes of what the run was begun on.

        Raises
        ------
        UserError
            If they cannot be read.
        """
        try:
            origin: dict[str, Any] = read_json(self.origin)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path} does not say what it was begun on: no readable origin.json ({error}). It cannot be gone "
                f"on with; give --overwrite to start it anew."
            ) from error
        return origin

    def read_metrics(self) -> list[dict[str, Any]]:
        """One mapping an epoch, in order."""
        if not self.metrics.is_file():
            return []
        lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def truncate_metrics(self, epochs: int) -> None:
        """Keep the lines of the first `epochs` epochs: what comes after was not checkpointed."""
        kept = [line for line in self.read_metrics() if line["epoch"] < epochs]
        write_whole(self.metrics, "".join(json.dumps(line) + "\n" for line in kept))

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one epoch."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, which finishes the run, and drop the checkpoint, which nobody needs any more."""
        write_json(self.summary, summary)
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    def read_summary(self) -> dict[str, Any]:
        """The summary of a finished run."""
        summary: dict[str, Any] = read_json(self.summary)
        return summary


def _fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that must not change while a run is under way."""
    return {
        section: {key: value for key, value in values.items() if key not in MOVABLE.get(section, ())}
        if isinstance(values, Mapping)
        else values
        for section, values in config.items()
    }
