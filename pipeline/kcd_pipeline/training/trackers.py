"""Trackers of experiments, such as Weights & Biases and MLflow, by accelerate: they are told what TensorBoard is shown.

A tracker is no part of a run. One that cannot be started ends the run before its first epoch; one that fails later is
left behind, and the user is told so. Where a tracker's run is found again is kept in the run's trackers.json, so that a
resumed run adds to it.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.files import read_json, write_json
from kcd_pipeline.progress import say
from kcd_pipeline.runs import RunFolder

PROJECT = "kcd-pipeline"
SWANLAB_ID = 21  # characters
PLAIN = (bool, int, float, str)
LONGEST_REASON = 400  # characters of another library's message


def _end_wandb(tracker: Any) -> None:
    tracker.tracker.finish(exit_code=1)


def _end_mlflow(tracker: Any) -> None:
    import mlflow

    mlflow.end_run("FAILED")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of tracker.

    Attributes
    ----------
    package
        The package to install, whose module has the same name.
    start_with
        (id, name of the run, True if it was begun before) -> arguments that begin the run, or find it again.
    read_id
        Returns the id that a tracker has given a run; None if it took the one that it was started with.
    end_failed
        Ends a run that did not finish, where the tracker makes a difference between the two.
    """

    package: str
    start_with: Callable[[str, str, bool], dict[str, Any]]
    read_id: Callable[[Any], str | None] = lambda tracker: None
    end_failed: Callable[[Any], None] | None = None


# by the names of `run.trackers`, which are accelerate's
KINDS = {
    "wandb": Kind(
        package="wandb",
        start_with=lambda id, name, begun: {"id": id, "name": name, "resume": "allow"},
        end_failed=_end_wandb,
    ),
    "mlflow": Kind(
        package="mlflow",
        start_with=lambda id, name, begun: {"run_id": id} if begun else {"run_name": name},
        read_id=lambda tracker: str(tracker.tracker.info.run_id),
        end_failed=_end_mlflow,
    ),
    "trackio": Kind(
        package="trackio", start_with=lambda id, name, begun: {"name": f"{name}-{id[:8]}", "resume": "allow"}
    ),
    "swanlab": Kind(
        package="swanlab",
        start_with=lambda id, name, begun: {"id": id[:SWANLAB_ID], "experiment_name": name, "resume": "allow"},
    ),
    "comet_ml": Kind(
        package="comet_ml", start_with=lambda id, name, begun: {"experiment_key": id, "mode": "get_or_create"}
    ),
}


def require_trackers(names: Sequence[str]) -> None:
    """Raise UserError if the package of a tracker in `names` is not installed."""
    for name in names:
        package = KINDS[name].package
        found = find_spec(package)
        if found is None or found.origin is None:  # without an origin it is a folder of that name, which trackers make
            raise UserError(
                f"run.trackers names {name}, but the package {package} is not installed. Install it with `pip install "
                f"{package}`, or leave {name} out of run.trackers: TensorBoard's file is written in any case."
            )


class Trackers:
    """The trackers of one run; a context manager, within which their runs are open. Only rank 0 has one.

    Parameters
    ----------
    names
        `run.trackers`.
    settings
        All settings of the run, with dotted keys.
    """

    def __init__(self, names: Sequence[str], folder: RunFolder, settings: Mapping[str, Any]) -> None:
        self._names, self._folder = tuple(dict.fromkeys(names)), folder
        self._settings = {key: value if isinstance(value, PLAIN) else str(value) for key, value in settings.items()}
        self._open: dict[str, Any] = {}

    def __enter__(self) -> Self:
        try:
            for name in self._names:
                self._start(name)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, tracker in list(self._open.items()):
            end_failed = KINDS[name].end_failed
            self._try(name, tracker.finish if error is None or end_failed is None else partial(end_failed, tracker))

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Tell every tracker the numbers of an epoch (0-based) by their names."""
        for name, tracker in list(self._open.items()):
            self._try(name, partial(tracker.log, dict(numbers), step=epoch))

    def _start(self, name: str) -> None:
        ids = self._read_ids()
        begun = name in ids
        identity = ids.get(name) or secrets.token_hex(16)
        try:
            tracker = LOGGER_TYPE_TO_CLASS[name](
                PROJECT, **KINDS[name].start_with(identity, self._folder.path.resolve().name, begun)
            )
            tracker.start()
            self._open[name] = tracker
            if not begun:
                tracker.store_init_configuration(self._settings)
        except Exception as error:  # each library has errors of its own
            raise FailedError(self._cannot_start(name, error, begun)) from error
        if not begun:
            write_json(self._folder.trackers, ids | {name: KINDS[name].read_id(tracker) or identity})

    def _cannot_start(self, name: str, error: Exception, begun: bool) -> str:
        gone = f" If it has lost this run, remove {self._folder.trackers}: another is begun then." if begun else ""
        return (
            f"run.trackers: {name} could not be started ({type(error).__name__}: {_first_line(error)}). No epoch was "
            f"trained. Log in to it, set it to its offline mode, or leave {name} out of run.trackers.{gone}"
        )

    def _read_ids(self) -> dict[str, str]:
        try:
            ids = read_json(self._folder.trackers)
            if not isinstance(ids, dict) or not all(isinstance(value, str) for value in ids.values()):
                raise ValueError("it holds no ids by names of trackers")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self._folder.trackers} cannot be read ({error}), and it tells where trackers have this run. Restore "
                f"it from a copy, or remove it to begin another run there."
            ) from error
        return ids

    def _try(self, name: str, action: Callable[[], None]) -> None:
        """Carry out an action of a tracker; leave the tracker behind, and say so, if it fails."""
        try:
            action()
        except Exception as error:  # each library has errors of its own, and none is worth a training
            del self._open[name]
            say(
                f"run.trackers: {name} has failed ({type(error).__name__}: {_first_line(error)}) and is told nothing "
                f"more. Training goes on; its numbers are in {self._folder.metrics} and for TensorBoard."
            )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:LONGEST_REASON] if str(error).strip() else "no reason given"
