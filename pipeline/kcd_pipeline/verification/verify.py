"""`kcd-pipeline verify`: read a whole store, and compare it with its teacher."""

from kcd_pipeline.config import Config
from kcd_pipeline.errors import FailedError
from kcd_pipeline.progress import progress_bar
from kcd_pipeline.store_opening import open_store
from kcd_stores import IncompleteStoreError, Verdict, verify_store

LISTED = 8  # damaged blocks that are named before "and n more"


def verify(path: str, teacher: Config | None, *, rows: int) -> str:
    """Verify the store at `path`, and return the sentences to print about a sound one.

    Parameters
    ----------
    teacher
        The recipe whose teacher makes about `rows` rows again for comparison; None to leave that out.

    Raises
    ------
    StoreUsageError
        If it is no store, or not finished.
    FailedError
        If it is damaged, or its rows are not those of the teacher.
    """
    layout = open_store(path).layout
    with progress_bar() as bar:
        task = bar.add_task("verifying", total=layout.views * layout.samples, note="", unit="rows")
        verdict = verify_store(path, lambda done: bar.advance(task, done))
    _require_sound(path, verdict)
    sound = f"The store at {path} is sound: {verdict.rows:,} rows read, every checksum right, every value finite."
    if teacher is None:
        return sound
    from kcd_pipeline.verification.against_teacher import compare_with_teacher  # it loads torch

    found = compare_with_teacher(teacher, rows=rows)
    return (
        f"{sound} {found.rows} rows made again by the teacher differ by {found.mean:.2g} on the mean and "
        f"{found.largest:.2g} at most (total variation at T = 4; up to {found.tolerance:g} on the mean is arithmetic)."
    )


def _require_sound(path: str, verdict: Verdict) -> None:
    """Raise FailedError if the store is damaged, IncompleteStoreError if blocks are missing."""
    if verdict.damage:
        listed = "\n".join(f"  {damage}" for damage in verdict.damage[:LISTED])
        more = f"\n  and {len(verdict.damage) - LISTED} more" if len(verdict.damage) > LISTED else ""
        raise FailedError(
            f"the store at {path} is damaged; {verdict.rows:,} rows are sound:\n{listed}{more}\nRestore what is "
            f"damaged from a copy, or extract the store anew with `kcd-pipeline extract-teacher CONFIG --overwrite`."
        )
    if len(verdict.missing):
        view, block = verdict.missing[0].tolist()
        because = f" ({'; '.join(verdict.unreadable[:LISTED])})" if verdict.unreadable else ""
        raise IncompleteStoreError(
            f"the store at {path} is undamaged but not finished: {len(verdict.missing)} blocks are missing, the first "
            f"is block {block} of view {view}{because}. Run the same `kcd-pipeline extract-teacher` again to finish it."
        )
