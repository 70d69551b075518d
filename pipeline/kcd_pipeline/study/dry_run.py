"""The cost of a study before it is run: runs, rows, bytes and hours, from what is there and from a short trial."""

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kcd_pipeline.config import Config, as_override
from kcd_pipeline.progress import human_seconds
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.study.capacity import measure_capacity
from kcd_pipeline.study.plan import StudyPlan
from kcd_pipeline.study.rows import expected_samples
from kcd_pipeline.study.states import RunStates
from kcd_pipeline.study.stores import open_whole_store
from kcd_stores import human_bytes, masked

TRIAL_BATCHES = 16
FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """The cost of training: seconds a row, bytes a run, and words that say where these come from."""

    seconds_of_row: float
    bytes_of_run: float
    source: str


def dry_run_lines(plan: StudyPlan, *, jobs: int | None) -> list[str]:
    """Return the lines of a dry run: one for each arm, then teacher and store, then the sum; nothing is written.

    Rows are samples trained on, each counted once an epoch. The hours are those of training alone: evaluations and
    starts of processes come on top.

    Raises
    ------
    UserError
        If a trial is needed, and its data cannot be read.
    """
    states = RunStates(plan)
    samples = _samples(states, plan)
    configs = {arm.name: _config(plan, arm.name) for arm in plan.arms}
    rows = {name: expected_samples(_counted(plan, name, configs), samples) for name in configs}
    to_do = {name: sum(place[0] == name for place in _open_places(plan, states)) for name in configs}
    lines = [_arm_line(plan, states, name, to_do[name], rows[name]) for name in configs]
    lines += [f"Failed before it starts: {failed}" for failed in states.failed.values()]
    lines += _store_lines(configs, samples)
    if not any(to_do.values()):
        return [*lines, "All runs are done: `kcd-pipeline study` would only write the report."]
    cost = _measured(states) or _tried(plan, samples)
    left = sum(to_do[name] * rows[name] for name in configs)
    capacity = measure_capacity([configs[name] for name in configs if to_do[name]], jobs)
    seconds = left * cost.seconds_of_row / min(capacity.jobs, sum(to_do.values()))
    return [
        *lines,
        f"To do: {sum(to_do.values())} of {states.total} runs, {left:,} rows, about "
        f"{human_bytes(round(cost.bytes_of_run * sum(to_do.values())))} of run folders, about {human_seconds(seconds)} "
        f"of training, {capacity.jobs} at a time ({capacity.reason}). Time and bytes are from {cost.source}.",
    ]


def _config(plan: StudyPlan, name: str) -> Config:
    """Return the config of an arm with the first seed; of one at equal rows it is that without the stop."""
    arm = plan.arm(name)
    run = plan.resolve(arm, plan.study.seeds[0])
    if run is not None:
        return run.config
    return plan.study.recipe.config((*plan.study.overrides, *arm.overrides, *plan.study.last_overrides))


def _counted(plan: StudyPlan, name: str, configs: Mapping[str, Config]) -> Config:
    """Return the config whose rows an arm has: its own, or that of the arm at whose rows it is stopped."""
    return configs[plan.arm(name).rows_of or name]


def _open_places(plan: StudyPlan, states: RunStates) -> list[tuple[str, int]]:
    """Return arm and seed of each run that is still to be made."""
    places = [(arm.name, seed) for arm in plan.arms for seed in plan.study.seeds]
    return [place for place in places if place not in states.finished and place not in states.failed]


def _arm_line(plan: StudyPlan, states: RunStates, name: str, to_do: int, rows: int) -> str:
    begun = sum(run.arm.name == name and RunFolder(run.folder).exists for run in states.ready)
    done = sum(place[0] == name for place in states.finished)
    parts = [f"{done} done"] if done else []
    parts += [f"{to_do} to do{f' ({begun} of them begun)' if begun else ''}"] if to_do else []
    return f"{name}: {len(plan.study.seeds)} runs ({', '.join(parts) or 'none can be made'}) of {rows:,} rows each"


def _samples(states: RunStates, plan: StudyPlan) -> int:
    """Return the number of training samples: as a finished run or the store has it, else by loading the data."""
    for _, record in states.finished.values():
        first = record.metrics[0]
        return round(first["samples"] / first["kept_fraction"])
    store = open_whole_store(plan.runs[0].config)
    if store is not None:
        return store.layout.samples
    from kcd_pipeline.data import load_dataset  # it loads torch

    return len(load_dataset(plan.runs[0].config.data).train)


def _store_lines(configs: Mapping[str, Config], samples: int) -> list[str]:
    """Return a line about the teacher and the store of each store that arms are taught from."""
    taught = {config.store.path: config for config in configs.values() if config.distill.method != "none"}
    lines = []
    for path, config in taught.items():
        store = open_whole_store(config)
        rows = config.store.views * samples
        if store is not None:
            lines.append(f"Store {masked(path)}: there, {human_bytes(store.inventory.bytes_on_disk())}.")
        elif config.teacher.weights.is_file():
            lines.append(f"Store {masked(path)}: to be made, {rows:,} rows by the teacher {config.teacher.weights}.")
        else:
            lines.append(
                f"Store {masked(path)}: to be made, {rows:,} rows, once the teacher {config.teacher.model} has been "
                f"trained for {config.teacher.epochs} epochs ({samples * config.teacher.epochs:,} rows of its own) "
                f"into {config.teacher.weights}."
            )
    return lines


def _measured(states: RunStates) -> _Cost | None:
    """Return the cost as the finished runs of the study had it; None without any."""
    records = [record for _, record in states.finished.values()]
    if not records:
        return None
    return _Cost(
        seconds_of_row=statistics.median(record.seconds / record.samples_trained for record in records),
        bytes_of_run=statistics.mean(_bytes_below(record.path) for record in records),
        source=f"the {len(records)} finished runs" if len(records) > 1 else "the finished run",
    )


def _tried(plan: StudyPlan, samples: int) -> _Cost:
    """Return the cost as a student of the first arm has it, trained on a few batches in a folder that is removed."""
    from kcd_pipeline.distillation import distill  # it loads torch

    study, config = plan.study, plan.runs[0].config
    rows = min(TRIAL_BATCHES * config.distill.batch_size, samples)
    with tempfile.TemporaryDirectory() as folder:
        trial = study.recipe.config(
            (
                *plan.runs[0].overrides,
                "distill.method=none",  # which needs no store, and costs a step nearly as much as the others
                "distill.epochs=1",
                f"distill.rows={rows}",
                "data.test_limit_per_class=1",
                as_override("run.dir", Path(folder) / "trial"),
            )
        )
        done = distill(trial)
        written = _bytes_below(done.folder.path)
        later_epochs = 3 * FLOAT_BYTES * samples * (config.distill.epochs - 1)  # values, frequencies, latest worths
        return _Cost(
            seconds_of_row=done.summary["seconds"] / rows,
            bytes_of_run=written + later_epochs,
            source=f"a trial of {rows:,} rows",
        )


def _bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
