"""The files that a study ends with: its results for machines, and its report for people."""

from kcd_pipeline.files import write_json
from kcd_pipeline.reports import report, results
from kcd_pipeline.reports.compute import FramedArm, StudyFrame
from kcd_pipeline.study.outcome import StudyOutcome
from kcd_pipeline.study.plan import StudyPlan
from kcd_pipeline.study.states import RunStates

RESULTS, PAGE = "study.json", "report.html"


def write_results(plan: StudyPlan, states: RunStates) -> StudyOutcome:
    """Write study.json and report.html of the runs that are finished, and print their table.

    Returns
    -------
    StudyOutcome
        It names no files if no run is finished.
    """
    places = [(arm.name, seed) for arm in plan.arms for seed in plan.study.seeds]
    finished = tuple(states.finished[place][0] for place in places if place in states.finished)
    failed = tuple(states.failed[place] for place in places if place in states.failed)
    if not finished:
        return StudyOutcome(finished=(), failed=failed, results=None, page=None)
    folder, frame = plan.study.folder, _frame_of_finished(plan, states)
    runs = list(dict.fromkeys(run.folder for run in finished))
    facts = {
        "base": plan.study.base,
        "seeds": list(plan.study.seeds),
        "overrides": {arm.name: list(arm.overrides) for arm in plan.arms},
        "failed": {run.name: run.line for run in failed},
    }
    write_json(folder / RESULTS, {"study": facts, **results(runs, frame)})
    report(runs, frame=frame, html=folder / PAGE)
    return StudyOutcome(finished=finished, failed=failed, results=folder / RESULTS, page=folder / PAGE)


def _frame_of_finished(plan: StudyPlan, states: RunStates) -> StudyFrame:
    """Return the frame of a study with the runs that are finished and sound; a damaged one would end the report."""
    arms = [
        FramedArm(
            name=arm.name,
            folders=tuple(
                states.finished[arm.name, seed][0].folder
                for seed in plan.study.seeds
                if (arm.name, seed) in states.finished
            ),
            planned=len(plan.study.seeds),
        )
        for arm in plan.arms
    ]
    pairs = tuple((pair.first, pair.second, pair.budget) for pair in plan.pairs)
    return StudyFrame(title=plan.study.title, arms=tuple(arms), pairs=pairs)
