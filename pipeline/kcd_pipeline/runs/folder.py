"""The folder of a run: the paths in it, and its small files.

config.yaml           the resolved config
origin.json           content hashes of the data set and the store that the run began with, and how it streams rows
metrics.jsonl         one line for each epoch
tensorboard/          the same numbers for TensorBoard, with more beside them
trackers.json         where trackers of experiments have the run, if `run.trackers` names some
values.zarr           values and frequencies after each epoch
plans.zarr            the plan of each stage
blends/               the teacher's rows of blended pictures, a store for each stage that has any
checkpoint/           the newest two complete training states, until the run is finished
weights.safetensors   weights after the last epoch
best.safetensors      weights after the epoch with the best accuracy on validation images, or where there are none on
                      the test set
weights-ema.safetensors   the average of the weights after the last epoch, with `ema`
summary.json          written last: a run that has it is finished
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kcd_pipeline.config import in_todays_words, read_yaml, write_yaml
from kcd_pipeline.errors import DamagedError, UserError
from kcd_pipeline.files import read_json, write_json, write_whole
from kcd_pipeline.runs.manifest import find_checkpoints, read_manifest
from kcd_pipeline.runs.record import RECORD, Record, json_digest, lines_digest, parse_record, read_sealed, sealed
from kcd_pipeline.runs.settings import fixed_settings
from kcd_stores.scratch import Scratch

LARGEST_METRIC = 1e18  # of anything that is counted or measured of an epoch
WHOLE_METRICS = {"epoch", "samples", "rows", "steps", "bytes_read", "teacher_rows", "ranks"}
REQUIRED_METRICS = {"epoch", "samples", "rows", "seconds"}
OWN_METRICS = "metrics"  # of the user's own, by their names
AVERAGED = "ema_"  # before the name of an accuracy: that of the averaged weights
ACCURACIES = {"test_accuracy", "validation_accuracy"}  # a line has one of them: that by which the best epoch is chosen


class RunFolder:
    """Paths and small files of one run; nothing is created before something is written."""

    def __init__(self, path: str | Path) -> None:
        self.path = path = Path(path)
        self.config = path / "config.yaml"
        self.origin = path / "origin.json"
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"
        self.tensorboard = path / "tensorboard"
        self.trackers = path / "trackers.json"
        self.values = path / "values.zarr"
        self.plans = path / "plans.zarr"
        self.blends = path / "blends"
        self.checkpoint = path / "checkpoint"
        self.predictions = path / "predictions.safetensors"
        self.weights = path / "weights.safetensors"
        self.best_weights = path / "best.safetensors"
        self.averaged_weights = path / "weights-ema.safetensors"

    def scratch(self) -> Scratch:
        """Return a place for arrays of this process; only rank 0 is sure to see the folder."""
        return Scratch(self.path if self.path.is_dir() else None)

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
        """Return the resolved config, as plain data in the words of today.

        Raises
        ------
        UserError
            If the folder is not a run.
        """
        config: Any = self._read_written_config()  # anyone may have written the file, so it can hold anything
        return in_todays_words(config) if isinstance(config, dict) else config

    def _read_written_config(self) -> dict[str, Any]:
        """Return the resolved config in the words of the version that wrote it, of which a record has the digest."""
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
            origin = read_json(self.origin)
            if not isinstance(origin, dict):
                raise ValueError(f"it holds {type(origin).__name__}, expected names and hashes")
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"{self.path} does not say which data set and store the run began with: no readable origin.json "
                f"({error}), so it cannot be gone on with. Restore the file from a copy. Set run.dir to another folder "
                f"to start anew."
            ) from error
        return origin

    def read_streaming(self) -> str | None:
        """Return the mode of streaming that the run began with; None without a run, or one that does not say it."""
        if not self.exists or not self.origin.is_file():
            return None
        mode = self.read_origin().get("streaming")
        return mode if isinstance(mode, str) else None

    # --- metrics ------------------------------------------------------------------------------------------

    def metrics_lines(self) -> list[bytes]:
        """Return the lines of metrics.jsonl, without a last one that was cut short."""
        if not self.metrics.is_file():
            return []
        return [line for line in self.metrics.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return one mapping for each epoch, in order; a last line that was cut short is left out.

        Raises
        ------
        DamagedError
            If a line is not that of its epoch.
        """
        return [self._parse_metrics(epoch, line) for epoch, line in enumerate(self.metrics_lines())]

    def _parse_metrics(self, epoch: int, line: bytes) -> dict[str, Any]:
        try:
            parsed = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DamagedError(f"{self.metrics} is damaged: line {epoch + 1}: {error}.") from error
        whole = isinstance(parsed, dict) and parsed.keys() >= REQUIRED_METRICS and parsed.keys() & ACCURACIES
        if not whole or parsed["epoch"] != epoch:
            raise DamagedError(f"{self.metrics} is damaged: line {epoch + 1} is not that of epoch {epoch + 1}.")
        for key, number in parsed.items():
            if key == OWN_METRICS and _are_own_metrics(number):
                continue
            kinds = (int,) if key in WHOLE_METRICS else (int, float)
            if type(number) not in kinds or not 0 <= number <= LARGEST_METRIC:
                raise DamagedError(f"{self.metrics} is damaged: line {epoch + 1}: {key} is {str(number)[:40]}.")
        metrics: dict[str, Any] = parsed
        return metrics

    def truncate_metrics(self, epochs: int) -> None:
        """Keep the lines of the first `epochs` epochs; later ones are trained again from the checkpoint."""
        write_whole(self.metrics, b"".join(self.metrics_lines()[:epochs]))

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add the line of one epoch, durably."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    # --- summary and record -------------------------------------------------------------------------------

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, which finishes the run, and remove the checkpoints, which a finished run does not need.

        Raises
        ------
        DamagedError
            If the newest checkpoint, whose record becomes that of the run, is gone or damaged meanwhile.
        """
        record = self.recorded()
        if record is None or record.epochs != len(self.metrics_lines()):
            raise DamagedError(f"{self.checkpoint} has lost the checkpoint after the last epoch.")
        write_json(self.summary, sealed({**summary, RECORD: record.model_dump(mode="json")}))
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    def read_summary(self) -> dict[str, Any]:
        """Return the summary of a finished run.

        Raises
        ------
        DamagedError
            If it is not what was written.
        """
        try:
            return read_sealed(self.summary)
        except FileNotFoundError as error:
            raise DamagedError(f"{self.summary} is missing.") from error

    def recorded(self) -> Record | None:
        """Return the record of a run: of all its epochs if it is finished, else of those up to its newest checkpoint.

        It is None for a run of the first format, and for one that has no checkpoint yet.

        Raises
        ------
        DamagedError
            If the summary of a finished run, or the manifest of every checkpoint, is not what was written.
        """
        if self.finished:
            summary = self.read_summary()
            return parse_record(summary[RECORD], self.summary) if RECORD in summary else None
        damage: DamagedError | None = None
        for checkpoint in find_checkpoints(self.checkpoint):
            try:
                return read_manifest(checkpoint).record
            except DamagedError as error:
                damage = damage or error  # the run would go on from the checkpoint before, if that is sound
        if damage is not None:
            raise damage
        return None

    def record(self, epochs: int, *, plans: Sequence[str] = (), values: Sequence[str] = ()) -> Record:
        """Return the record of the first `epochs` epochs of a run, given the digests of its plans and values."""
        try:
            config, origin = json_digest(fixed_settings(self._read_written_config())), json_digest(self.read_origin())
        except (UserError, TypeError) as error:  # keys of several types cannot be put in order
            raise DamagedError(f"{self.path} is damaged: {error}") from error
        return Record(
            epochs=epochs,
            config=config,
            origin=origin,
            metrics=lines_digest(self.metrics_lines()[:epochs]),
            plans=tuple(plans),
            values=tuple(values),
        )

    def require_recorded(self, record: Record) -> None:
        """Raise DamagedError unless config, origin and metrics are those of `record`."""
        found = self.record(record.epochs)
        lines = len(self.metrics_lines())
        if lines < record.epochs or (self.finished and lines > record.epochs):
            raise DamagedError(f"{self.metrics} is damaged: it has {lines} whole lines, expected {record.epochs}.")
        for key, file in {"config": self.config, "origin": self.origin, "metrics": self.metrics}.items():
            if getattr(found, key) != getattr(record, key):
                raise DamagedError(f"{file} is damaged: it is not what the run recorded.")


def _are_own_metrics(found: Any) -> bool:
    """Return whether `found` can be metrics of the user's own: numbers by name, or null where one was not finite."""
    return isinstance(found, dict) and all(
        number is None or (type(number) in (int, float) and abs(number) <= LARGEST_METRIC) for number in found.values()
    )
