"""The end of a study: which of its runs are finished, and why others are not."""

from dataclasses import dataclass
from pathlib import Path

from kcd_pipeline.errors import FailedError
from kcd_pipeline.study.plan import StudyRun


@dataclass(frozen=True, kw_only=True)
class FailedRun:
    """A run that did not finish.

    Attributes
    ----------
    name
        Its arm and its seed.
    line
        The last message about it, in one line.
    log
        The file of all its messages; None if it was not started.
    command
        The command that makes it by itself; None if it cannot be made before another run is.
    """

    name: str
    line: str
    log: Path | None = None
    command: str | None = None

    def __str__(self) -> str:
        log = f" Log: {self.log}." if self.log else ""
        again = f" By itself: {self.command}" if self.command else ""
        return f"{self.name} failed: {self.line}{log}{again}"


@dataclass(frozen=True, kw_only=True)
class StudyOutcome:
    """All runs of a study, once none of them goes on.

    Attributes
    ----------
    finished, failed
        The runs, in the order of arms and seeds.
    results
        The file of results; None if no run is finished.
    page
        The report; None if no run is finished.
    """

    finished: tuple[StudyRun, ...]
    failed: tuple[FailedRun, ...]
    results: Path | None
    page: Path | None

    def require_all(self) -> None:
        """Raise FailedError, naming them, if runs have failed."""
        if self.failed:
            names = "; ".join(run.name for run in self.failed)
            raise FailedError(
                f"{len(self.failed)} of {len(self.failed) + len(self.finished)} runs have failed: {names}. The lines "
                f"above say why. Mend that and give the same command again: it makes what is missing."
            )
