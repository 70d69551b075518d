"""What a store saves: the teacher's cost, measured once, against what live teachers would have cost. Pure maths."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Economics:
    """One store and the students that share it.

    Attributes
    ----------
    seconds
        Of teacher, for the whole store: measured while it was extracted.
    rows
        Rows of the whole store, V * N.
    rows_trained
        Knowledge rows of each student; a live teacher would have run once for each of them.
    """

    seconds: float
    rows: int
    rows_trained: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.rows < 1 or not self.seconds >= 0:
            raise ValueError(f"a store has rows and took time, got {self.rows} rows and {self.seconds} s")
        if any(rows < 1 for rows in self.rows_trained):
            raise ValueError(f"only students that learnt from knowledge share a store's cost, got {self.rows_trained}")

    @property
    def students(self) -> int:
        """n, the students that share the store."""
        return len(self.rows_trained)

    @property
    def seconds_per_row(self) -> float:
        """The teacher's measured cost of one row."""
        return self.seconds / self.rows

    @property
    def live_seconds(self) -> tuple[float, ...]:
        """What each student would have paid a live teacher: its rows at the measured cost of a row."""
        return tuple(rows * self.seconds_per_row for rows in self.rows_trained)

    @property
    def share(self) -> float | None:
        """Each student's part of the store's seconds; None where no student shares it."""
        return self.seconds / self.students if self.students else None

    @property
    def pays_off_at(self) -> int | None:
        """The number of such students at which the store has paid for itself; None where there is no student.

        ceil(store seconds / mean live seconds of a student). The measured seconds stand on both sides of the
        fraction and cancel, so it is worked out in whole rows: exact, where floats would at times be one off.
        """
        return _ceil_div(self.rows * self.students, sum(self.rows_trained)) if self.students else None

    @property
    def paid_off(self) -> bool:
        """The students there are have paid for the store."""
        return sum(self.rows_trained) >= self.rows

    @property
    def saved_seconds(self) -> float:
        """What live teachers would have cost all students, less the store; negative until it has paid for itself."""
        return (sum(self.rows_trained) - self.rows) * self.seconds_per_row


def economics(seconds: float, rows: int, rows_trained: Sequence[int]) -> Economics:
    """Of a store, over the students among `rows_trained` that learnt from knowledge at all."""
    return Economics(seconds=seconds, rows=rows, rows_trained=tuple(trained for trained in rows_trained if trained))


def _ceil_div(number: int, by: int) -> int:
    return -(-number // by)
