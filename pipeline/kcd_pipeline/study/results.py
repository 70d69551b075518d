"""The files that a study ends with: its results for machines, and its report for people."""

from kcd_pipeline.study.outcome import StudyOutcome
from kcd_pipeline.study.plan import StudyPlan
from kcd_pipeline.study.states import RunStates


def write_results(plan: StudyPlan, states: RunStates) -> StudyOutcome:
    places = [(arm.name, seed) for arm in plan.arms for seed in plan.study.seeds]
    finished = tuple(states.finished[place][0] for place in places if place in states.finished)
    failed = tuple(states.failed[place] for place in places if place in states.failed)
    return StudyOutcome(finished=finished, failed=failed, results=None, page=None)
