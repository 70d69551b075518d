"""A trial of several encodings on some rows, and the choice of the smallest one that keeps them well enough.

Letters: n rows, C classes, T temperature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.encodings import Encoding, encoding_label
from kcd_stores.errors import OutOfRangeError
from kcd_stores.knowledge.fidelity import agreement, mean_divergence, written_and_read

TEMPERATURES = (1.0, 4.0)  # T at which students are taught most often; the divergence must be small at both
UNBOUNDED = "unbounded"
PIECE_LOGITS = 2**22  # whose divergence is computed at a time, in some arrays of float64


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """An encoding that was tried.

    Attributes
    ----------
    bytes_per_row
        Bytes on disk of a row of logits.
    mean_kl
        Mean KL(teacher || stored) in nats at each of `TEMPERATURES`; None where it is unbounded.
    top1
        Share of rows, 0 to 1, whose largest logit is of the same class.
    """

    encoding: Encoding
    bytes_per_row: float
    mean_kl: tuple[float | None, ...]
    top1: float

    def is_within(self, max_kl: float) -> bool:
        """Return True if the divergence is at most `max_kl` at every temperature."""
        return all(found is not None and found <= max_kl for found in self.mean_kl)


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodingTrial:
    """The encodings that were tried on `rows` rows, by ascending size, and the limit `max_kl` that one had to keep."""

    rows: int
    max_kl: float
    candidates: tuple[Candidate, ...]

    @property
    def chosen(self) -> Candidate:
        """The smallest encoding within the limit; ValueError is raised if there is none."""
        within = [candidate for candidate in self.candidates if candidate.is_within(self.max_kl)]
        if not within:
            raise ValueError(f"no encoding that was tried has a mean divergence of at most {self.max_kl:g} nats")
        return within[0]

    def as_attribute(self) -> dict[str, Any]:
        """Return the trial as the attributes of a store hold it."""
        return {
            "rows": self.rows,
            "max_kl": self.max_kl,
            "temperatures": list(TEMPERATURES),
            "candidates": [
                {
                    "encoding": encoding_label(candidate.encoding),
                    "bytes_per_row": candidate.bytes_per_row,
                    "mean_kl": list(candidate.mean_kl),
                    "top1": candidate.top1,
                    "chosen": candidate is self.chosen,
                }
                for candidate in self.candidates
            ],
        }


def try_encodings(rows: NDArray[np.float32], encodings: Sequence[Encoding], *, max_kl: float) -> EncodingTrial:
    """Write `rows[n, C]` of logits, float32, in each of `encodings`, read them back, and compare.

    An encoding in whose range a logit does not lie is left out.

    Raises
    ------
    ValueError
        If a logit is not finite.
    """
    candidates = []
    for encoding in encodings:
        try:
            stored, size = written_and_read(rows, encoding)
        except OutOfRangeError:
            continue
        candidates.append(
            Candidate(
                encoding=encoding,
                bytes_per_row=size / len(rows),
                mean_kl=tuple(_mean_kl(rows, stored, temperature) for temperature in TEMPERATURES),
                top1=agreement(rows, stored),
            )
        )
    return EncodingTrial(
        rows=len(rows), max_kl=max_kl, candidates=tuple(sorted(candidates, key=lambda one: one.bytes_per_row))
    )


def _mean_kl(teacher: NDArray[np.float32], stored: NDArray[Any], temperature: float) -> float | None:
    """Return the mean divergence at a temperature, computed some rows at a time; None if it is unbounded."""
    step = max(PIECE_LOGITS // teacher.shape[1], 1)
    total = 0.0
    for first in range(0, len(teacher), step):
        piece = slice(first, first + step)
        found = mean_divergence(teacher[piece], stored[piece], temperature)
        if found is None:
            return None
        total += found * len(teacher[piece])
    return total / len(teacher)


def trial_lines(trial: Mapping[str, Any]) -> list[str]:
    """Return a heading, the names of the columns, and a line for each encoding that was tried, the chosen one marked.

    `trial` is what the attributes of a store hold (`EncodingTrial.as_attribute`).
    """
    temperatures = " and ".join(f"{value:g}" for value in trial["temperatures"])
    heading = (
        f"encodings tried on {trial['rows']:,} rows; the smallest with a mean KL of at most {trial['max_kl']:g} nats "
        f"at T = {temperatures} is chosen:"
    )
    columns = ["bytes a row", *(f"KL at T = {value:g}" for value in trial["temperatures"]), "top-1 agreement"]
    rows = [["", *columns], *(_cells(candidate) for candidate in trial["candidates"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    marks = ["", *("  <- chosen" if candidate["chosen"] else "" for candidate in trial["candidates"])]
    return [heading, *(f"  {line}{mark}" for line, mark in zip(lines, marks, strict=True))]


def _cells(candidate: Mapping[str, Any]) -> list[str]:
    divergences = (UNBOUNDED if found is None else f"{found:.1e}" for found in candidate["mean_kl"])
    return [candidate["encoding"], f"{candidate['bytes_per_row']:.1f}", *divergences, f"{candidate['top1']:.2%}"]
