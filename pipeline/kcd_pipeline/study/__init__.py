"""Studies: a question of several arms and seeds, from its file to a report."""

from kcd_pipeline.study.arms import Arm
from kcd_pipeline.study.frame import study_frame
from kcd_pipeline.study.plan import Pair, StudyPlan, StudyRun, plan_study

__all__ = ["Arm", "Pair", "StudyPlan", "StudyRun", "plan_study", "study_frame"]
