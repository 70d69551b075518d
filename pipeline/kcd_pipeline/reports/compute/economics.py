"""The savings of a store: its measured teacher time, compared with the time of a live teacher for each student."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Economics:
    """The cost of one store and of the students that share it.

    Attributes
    ----------
    seconds
        Teacher time for the whole store, measured while it was extracted.
    rows
        Rows of the whole store, V * N.
    rows_trained
        Knowledge rows that each student was trained on. A live teacher would have run once for each of them.
    rows_judged
        Rows of blended pictures that the teacher was asked for by all students together, in spite of the store.
    """

    seconds: float
    rows: int
    rows_trained: tuple[int, ...]
    rows_judged: int = 0

    def __post_init__(self) -> None:
        if self.rows < 1 or not self.seconds >= 0:
            raise ValueError(f"a store has rows and took time, got {self.rows} rows and {self.seconds} s")
        if any(rows < 1 for rows in self.rows_trained):
            raise ValueError(f"only students that learnt from knowledge share a store's cost, got {self.rows_trained}")

    @property
    def student_count(self) -> int:
        """The number of students that share the store."""
        return len(self.rows_trained)

    @property
    def seconds_per_row(self) -> float:
        """The teacher's measured time for one row."""
        return self.seconds / self.rows

    @property
    def live_seconds(self) -> tuple[float, ...]:
        """For each student, the time of a live teacher: the student's rows at the measured time for a row."""
        return tuple(rows * self.seconds_per_row for rows in self.rows_trained)

    @property
    def mean_live_seconds(self) -> float | None:
        """Mean time of a live teacher for one student; None if there is no student."""
        return sum(self.live_seconds) / self.student_count if self.student_count else None

    @property
    def seconds_per_student(self) -> float | None:
        """The store's seconds divided by its students; None if there is no student."""
        return self.seconds / self.student_count if self.student_count else None

    @property
    def pays_off_at(self) -> int | None:
        """The number of such students at which the store has paid for itself; None if it never will, or without any.

        It is ceil(store seconds / mean seconds that the store spares a student). The measured time for a row is in both
        and cancels, so the result is computed from whole rows: it is exact, where floats would sometimes be one off.
        """
        return _ceil_div(self.rows * self.student_count, self.rows_spared) if self.rows_spared > 0 else None

    @property
    def rows_spared(self) -> int:
        """The rows that live teachers would have computed for all students, less those that the teacher computed."""
        return sum(self.rows_trained) - self.rows_judged

    @property
    def paid_off(self) -> bool:
        """True if the students so far have paid for the store."""
        return self.rows_spared >= self.rows

    @property
    def saved_seconds(self) -> float:
        """The time of live teachers for all students less that of the store; negative until the store has paid off."""
        return (self.rows_spared - self.rows) * self.seconds_per_row


def store_economics(seconds: float, rows: int, rows_trained: Sequence[int], rows_judged: int = 0) -> Economics:
    """Return the economics of a store, shared by those runs of `rows_trained` that learnt from knowledge at all."""
    taught = tuple(trained for trained in rows_trained if trained)
    return Economics(seconds=seconds, rows=rows, rows_trained=taught, rows_judged=rows_judged)


def _ceil_div(number: int, by: int) -> int:
    return -(-number // by)
