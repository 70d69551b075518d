"""Equal rows: an arm that is stopped where another one, which condenses, has been taught as many samples."""

from kcd_pipeline.config import Config, DistillConfig, Study
from kcd_pipeline.errors import UserError
from kcd_pipeline.runs import RunFolder, open_values


def require_stoppable(study: Study, first: str, second: str, config: Config, stopped: Config) -> None:
    """Raise UserError unless the arm `second`, of config `stopped`, can be stopped at the rows of the arm `first`."""
    where = f"{study.path}: compare: '{second}' at the rows of '{first}'"
    if stopped.distill.method == "kcd":
        raise UserError(
            f"{where}: '{second}' is of method kcd, which cannot be stopped within a stage; expected an arm of method "
            f"none or kd. Name the two the other way round, or compare them by budget: epochs."
        )
    if config.data != stopped.data:
        raise UserError(
            f"{where}: their data differ, so equal rows are not equally many passes over one data set. Compare them by "
            f"budget: epochs."
        )


def overrides_at_rows(distill: DistillConfig, counterpart: RunFolder) -> tuple[str, ...]:
    """Return the overrides by which a student is taught as many samples as the finished run `counterpart` was.

    It does not stop early, although the counterpart may have. Its schedule is fitted: with R samples in all, of N, it
    has `ceil(R / N)` epochs; a warm-up is the same fraction of them as before, and explicit milestones stand at the
    same fraction, to the next whole epoch.

    Raises
    ------
    DamagedError, StoreError
        If the run is damaged.
    """
    rows = sum(line["samples"] for line in counterpart.read_metrics())
    epochs = -(-rows // open_values(counterpart).samples)
    fitted: tuple[str, ...] = (f"distill.rows={rows}", f"distill.epochs={epochs}")
    if distill.patience is not None:
        fitted = (*fitted, "distill.patience=null")  # it might end before it has been taught as much
    if distill.warmup:
        fitted = (*fitted, f"distill.warmup={distill.warmup * epochs / distill.epochs:g}")
    if distill.milestones is None:
        return fitted
    scaled = sorted({max(1, round(milestone * epochs / distill.epochs)) for milestone in distill.milestones})
    return (*fitted, f"distill.milestones={scaled}")
