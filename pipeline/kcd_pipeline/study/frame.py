"""A study as its report needs it: the folders of the runs that are there, and the frame of arms and pairs."""

from collections.abc import Sequence
from pathlib import Path

from kcd_pipeline.errors import UserError
from kcd_pipeline.reports.compute import FramedArm, StudyFrame
from kcd_pipeline.runs import RunFolder
from kcd_pipeline.study.plan import StudyPlan


def study_frame(plan: StudyPlan) -> tuple[list[Path], StudyFrame]:
    """Return the folders in which a run of the study was begun, and the frame in which a report compares them.

    Raises
    ------
    DamagedError, StoreError
        If a run to whose rows another one is fitted is damaged.
    """
    arms = []
    for arm in plan.arms:
        runs = [plan.resolve(arm, seed) for seed in plan.study.seeds]
        folders = tuple(run.folder for run in runs if run is not None)
        arms.append(FramedArm(name=arm.name, folders=folders, planned=len(runs)))
    pairs = tuple((pair.first, pair.second, pair.budget) for pair in plan.pairs)
    begun = [folder for arm in arms for folder in arm.folders if RunFolder(folder).exists]
    return list(dict.fromkeys(begun)), StudyFrame(title=plan.study.title, arms=tuple(arms), pairs=pairs)


def require_begun(plan: StudyPlan, folders: Sequence[Path]) -> None:
    """Raise UserError if `folders`, those of the runs that were begun, are none."""
    if not folders:
        raise UserError(
            f"{plan.study.path}: no run of the study has been begun (in {Path.cwd()}); the first would be "
            f"{plan.runs[0].folder}. Train them with `kcd-pipeline study {plan.study.path}`, from the folder where the "
            f"data are. If it was trained with --set, give the report the same."
        )
