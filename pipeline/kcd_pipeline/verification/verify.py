"""`kcd-pipeline verify`: a store read whole, and compared with its teacher."""

from kcd_pipeline.config import Config
from kcd_pipeline.errors import FailedError
from kcd_pipeline.progress import progress_bar
from kcd_pipeline.verification.against_teacher import compare_with_teacher
from kcd_stores import IncompleteStoreError, KnowledgeStore, Verdict, verify_store

LISTED = 8  # damaged blocks named before "and n more"


def verify(path: str, teacher: Config | None, *, rows: int) -> str:
    """What to say of a sound store.

    Raises
    ------
    StoreUsageError
        If it is no store, or not finished.
    FailedError
        If it is damaged, or does not say what `teacher` says.
    """
    layout = KnowledgeStore.open(path).layout
    with progress_bar() as bar:
        task = bar.add_task("verifying", total=layout.views * layout.samples, note="", unit="rows")
        verdict = verify_store(path, lambda done: bar.advance(task, done))
    _refuse(path, verdict)
    said = f"The store at {path} is sound: {verdict.rows:,} rows read, every checksum right, every value finite."
    if teacher is None:
        return said
    found = compare_with_teacher(teacher, rows=rows)
    return (
        f"{said} {found.rows} rows made again by the teacher differ by {found.mean:.2g} on the mean and "
        f"{found.largest:.2g} at most (total variation at T = 4; up to {found.tolerance:g} on the mean is arithmetic)."
    )


def _refuse(path: str, verdict: Verdict) -> None:
    if verdict.damage:
        listed = "\n".join(f"  {damage}" for damage in verdict.damage[:LISTED])
        more = f"\n  and {len(verdict.damage) - LISTED} more" if len(verdict.damage) > LISTED else ""
        raise FailedError(
            f"the store at {path} is damaged; {verdict.rows:,} rows are sound:\n{listed}{more}\nRestore what is "
            f"damaged from a copy, or extract the store anew with `kcd-pipeline extract-teacher CONFIG --overwrite`."
        )
    if verdict.missing:
        view, block = verdict.missing[0]
        raise IncompleteStoreError(
            f"the store at {path} is undamaged but not finished: {len(verdict.missing)} blocks are missing, the first "
            f"is block {block} of view {view}. Run the same `kcd-pipeline extract-teacher` again to finish it."
        )
