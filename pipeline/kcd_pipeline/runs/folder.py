"""The folder of a run: the paths in it, and its small files.

config.yaml           the resolved config
origin.json           content hashes of the data set and the store that the run began with, and how it streams rows
metrics.jsonl         one line for each epoch
tensorboard/          the same numbers for TensorBoard
values.zarr           values and frequencies after each epoch
plans.zarr            the plan of each stage
checkpoint/           the newest complete training state, until the run is finished
weights.safetensors   weights after the last epoch
best.safetensors      weights after the epoch with the best test accuracy
summary.json          written last: a run that has it is finished
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kcd_pipeline.config import read_yaml, write_yaml
from kcd_pipeline.errors import UserError
from kcd_pipeline.files import read_json, write_json, write_whole


class RunFolder:
    """Paths and small files of one run; nothing is created before something is written."""

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
        """True if a run was begun in this folder."""
        return self.config.is_file()

    @property
    def finished(self) -> bool:
        """True if the run in this folder has done its last epoch."""
        return self.summary.is_file()

    def begin(self, config: Mapping[str, Any], origin: Mapping[str, Any]) -> None:
        """Make the folder that of a run; the config is written last, because it is what marks a run."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.origin, dict(origin))
        write_whole(self.config, write_yaml(config))

    def read_config(self) -> dict[str, Any]:
        """Return the resolved config, as plain data.

        Raises
        ------
        UserError
            If the folder is not a run.
        """
        try:
            return read_yaml(self.config)
        except UserError as error:
            raise UserError(f"{self.path} is not the folder of a run: no readable config.yaml ({error})") from error

    def read_origin(self) -> dict[str, Any]:
        """Return the content hashes of the data set and the store that the run began with.

        Raises
        ------
        UserError
            If they cannot be read.
        """
        try:
            origin: dict[str, Any] = read_json(self.origin)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path} does not say which data set and store the run began with: no readable origin.json "
                f"({error}), so it cannot be gone on with. Restore the file from a copy. Set run.dir to another folder "
                f"to start anew."
            ) from error
        return origin

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return one mapping for each epoch, in order; a last line that was cut short is left out."""
        if not self.metrics.is_file():
            return []
        lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def truncate_metrics(self, epochs: int) -> None:
        """Keep the lines of the first `epochs` epochs; later ones are trained again from the checkpoint."""
        kept = [line for line in self.read_metrics() if line["epoch"] < epochs]
        write_whole(self.metrics, "".join(json.dumps(line) + "\n" for line in kept))

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add the line of one epoch."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, which finishes the run, and remove the checkpoint, which a finished run does not need."""
        write_json(self.summary, summary)
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    def read_summary(self) -> dict[str, Any]:
        """Return the summary of a finished run.

        Raises
        ------
        OSError, ValueError
            If the file is missing or is not JSON.
        """
        summary: dict[str, Any] = read_json(self.summary)
        return summary
