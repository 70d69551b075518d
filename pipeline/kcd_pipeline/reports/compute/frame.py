"""The frame of a study: the names of its arms, the folders of their runs, and the pairs that it compares."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Budget = Literal["epochs", "rows"]


@dataclass(frozen=True, kw_only=True)
class FramedArm:
    """An arm that a study names.

    Attributes
    ----------
    name
        Its name in the study.
    folders
        The folders of its runs, finished or not, one for each seed. An arm that is stopped at the rows of another has
        a folder only once the other's run of that seed is finished.
    planned
        The number of runs that it shall have.
    """

    name: str
    folders: tuple[Path, ...]
    planned: int


@dataclass(frozen=True, kw_only=True)
class StudyFrame:
    """A study as a report needs it.

    Attributes
    ----------
    title
        The study's question.
    arms
        Its arms, in the order of the study.
    pairs
        Names of the arms that are compared, and `epochs` if they have equal epochs, or `rows` if the second was stopped
        at the number of rows that the first was taught.
    """

    title: str
    arms: tuple[FramedArm, ...]
    pairs: tuple[tuple[str, str, Budget], ...]

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"two arms of a study have the same name: {names}")
        strangers = {name for pair in self.pairs for name in pair[:2]} - set(names)
        if strangers:
            raise ValueError(f"a study compares {', '.join(sorted(strangers))}, but its arms are {', '.join(names)}")
