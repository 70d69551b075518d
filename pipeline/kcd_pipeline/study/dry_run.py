"""The cost of a study before it is run: runs, rows, bytes and hours, from what is there and from short trials."""

import statistics
from collections.abc import Mapping

from kcd_pipeline.config import Config
from kcd_pipeline.progress import human_seconds
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.study.capacity import measure_capacity
from kcd_pipeline.study.plan import StudyPlan, StudyRun
from kcd_pipeline.study.rows import expected_samples, follows_schedule
from kcd_pipeline.study.states import RunStates
from kcd_pipeline.study.stores import open_whole_store
from kcd_pipeline.study.trials import Cost, StoreCost, bytes_below, try_store, try_student
from kcd_stores import human_bytes, masked


def dry_run_lines(plan: StudyPlan, *, jobs: int | None) -> list[str]:
    """Return the lines of a dry run: one for each arm, then teacher and store, then the sum; nothing is written.

    Rows are samples trained on, each counted once an epoch. The hours are those of training and extraction alone:
    evaluations and starts of processes come on top.

    Raises
    ------
    UserError, FailedError
        If a trial is needed, and its data or the teacher's weights cannot be read.
    """
    states = RunStates(plan)
    samples = _samples(states, plan)
    configs = {arm.name: _config(plan, arm.name) for arm in plan.arms}
    to_do = {name: sum(place[0] == name for place in _open_places(plan, states)) for name in configs}
    lines = [_arm_line(plan, states, name, to_do[name], _counted(plan, name, configs), samples) for name in configs]
    lines += [f"Failed before it starts: {failed}" for failed in states.failed.values()]
    lines += _validation_lines(configs)
    store_lines, store_seconds = _stores(plan, samples)
    lines += store_lines
    if not any(to_do.values()):
        return [*lines, "All runs are done: `kcd-pipeline study` would only write the report."]
    return [*lines, _sum_line(plan, states, configs, to_do, samples, store_seconds, jobs)]


def _sum_line(
    plan: StudyPlan,
    states: RunStates,
    configs: Mapping[str, Config],
    to_do: Mapping[str, int],
    samples: int,
    store_seconds: float,
    jobs: int | None,
) -> str:
    """Return the line about all that is to be done; stores take `store_seconds` before the first student begins."""
    cost = _measured(states) or try_student(plan, samples)
    counted = {name: _counted(plan, name, configs) for name, runs in to_do.items() if runs}
    left = sum(to_do[name] * expected_samples(config, samples) for name, config in counted.items())
    most = "" if all(map(follows_schedule, counted.values())) else "up to "
    capacity = measure_capacity([configs[name] for name in counted], jobs)
    runs = sum(to_do.values())
    seconds = left * cost.seconds_of_row / min(capacity.jobs, runs)
    folders = human_bytes(round(cost.bytes_of_run * runs))
    whole = f"; with teacher and store about {human_seconds(seconds + store_seconds)}" if store_seconds else ""
    return (
        f"To do: {runs} of {states.total} runs, {most}{left:,} rows, about {folders} of run folders, "
        f"{most or 'about '}{human_seconds(seconds)} of training, {capacity.jobs} at a time "
        f"({capacity.reason}){whole}. Time and bytes of runs are from {cost.source}."
    )


def _config(plan: StudyPlan, name: str) -> Config:
    """Return the config of an arm with the first seed; of one at equal rows it is that without the stop."""
    arm = plan.arm(name)
    run = plan.resolve(arm, plan.study.seeds[0])
    if run is not None:
        return run.config
    return plan.study.recipe.config((*plan.study.overrides, *arm.overrides, *plan.study.last_overrides))


def _validation_lines(configs: Mapping[str, Config]) -> list[str]:
    """Return a line about the arms that have validation images; none where no arm has."""
    by = {name: config.data.validation for name, config in configs.items() if config.data.validation is not None}
    if not by:
        return []
    which = f"data.validation: {', '.join(dict.fromkeys(map(str, by.values())))}"
    arms = "" if len(by) == len(configs) else f" of {', '.join(by)}"
    return [
        f"Best epochs{arms} are chosen by validation images ({which}); the test set is looked at after the last epoch."
    ]


def _counted(plan: StudyPlan, name: str, configs: Mapping[str, Config]) -> Config:
    """Return the config whose rows an arm has: its own, or that of the arm at whose rows it is stopped."""
    return configs[plan.arm(name).rows_of or name]


def _open_places(plan: StudyPlan, states: RunStates) -> list[tuple[str, int]]:
    """Return arm and seed of each run that is still to be made."""
    places = [(arm.name, seed) for arm in plan.arms for seed in plan.study.seeds]
    return [place for place in places if place not in states.finished and place not in states.failed]


def _arm_line(plan: StudyPlan, states: RunStates, name: str, to_do: int, counted: Config, samples: int) -> str:
    begun = sum(run.arm.name == name and RunFolder(run.folder).exists for run in states.ready)
    done = sum(place[0] == name for place in states.finished)
    parts = [f"{done} done"] if done else []
    parts += [f"{to_do} to do{f' ({begun} of them begun)' if begun else ''}"] if to_do else []
    most = "" if follows_schedule(counted) else "up to "
    return (
        f"{name}: {len(plan.study.seeds)} runs ({', '.join(parts) or 'none can be made'}) of "
        f"{most}{expected_samples(counted, samples):,} rows each"
    )


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


def _stores(plan: StudyPlan, samples: int) -> tuple[list[str], float]:
    """Return a line about each store that arms are taught from, and the seconds that the missing ones take."""
    runs: dict[str, StudyRun] = {}
    for run in (part for whole in plan.runs for part in whole.for_each_teacher()):
        before = runs.get(run.config.store.path)
        if run.config.distill.method != "none" and (
            before is None or before.config.store.views < run.config.store.views
        ):
            runs[run.config.store.path] = run
    lines, seconds = [], 0.0
    for path, run in runs.items():
        store = open_whole_store(run.config)
        if store is not None:
            lines.append(f"Store {masked(path)}: there, {human_bytes(store.inventory.bytes_on_disk())}.")
            continue
        cost = try_store(plan, run, samples)
        lines.append(_missing_store_line(run, cost))
        seconds += cost.teacher_seconds + cost.seconds
    return lines, seconds


def _missing_store_line(run: StudyRun, cost: StoreCost) -> str:
    teacher = run.config.teacher
    by = f"by the teacher {teacher.weights}"
    if cost.teacher_seconds:
        epochs = f"{teacher.epochs} {'epoch' if teacher.epochs == 1 else 'epochs'}"
        by = (
            f"once the teacher {teacher.model} has been trained into {teacher.weights} ({epochs}, about "
            f"{human_seconds(cost.teacher_seconds)})"
        )
    return (
        f"Store {masked(run.config.store.path)}: to be made, {cost.rows:,} rows, {'up to' if cost.most else 'about'} "
        f"{human_bytes(cost.bytes)}, about {human_seconds(cost.seconds)}, {by}; from a trial."
    )


def _measured(states: RunStates) -> Cost | None:
    """Return the cost as the finished runs of the study had it; None without any."""
    records = [record for _, record in states.finished.values()]
    if not records:
        return None
    return Cost(
        seconds_of_row=statistics.median(record.seconds / record.samples_trained for record in records),
        bytes_of_run=statistics.mean(bytes_below(record.path) for record in records),
        source=f"the {len(records)} finished runs" if len(records) > 1 else "the finished run",
    )
