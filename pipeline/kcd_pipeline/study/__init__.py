"""Studies: a question of several arms and seeds, from its file to a report.

`kcd_pipeline.study.runner.run_study` carries out a plan; it is not imported here, for it loads what trains.
"""

from kcd_pipeline.study.arms import Arm
from kcd_pipeline.study.frame import require_begun, study_frame
from kcd_pipeline.study.plan import Pair, StudyPlan, StudyRun, plan_study

__all__ = ["Arm", "Pair", "StudyPlan", "StudyRun", "plan_study", "require_begun", "study_frame"]
