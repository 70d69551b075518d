"""dask's settings, which it takes from files and from variables called DASK_...: here they change nothing.

Import this module before dask itself, which reads its files when it is imported.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from kcd_pipeline.errors import UserError

try:
    import dask
except ValueError as error:  # a file of its configuration cannot be read
    reason = " ".join(str(error).split())
    raise UserError(f"dask cannot be loaded: {reason}. Mend that file, or move it away.") from error

PAGES = (
    "distributed.scheduler.http.routes",
    "distributed.worker.http.routes",
    "distributed.nanny.http.routes",
)  # pages that any user of this machine could read
# dask looks so long after each death whether the worker is back, and gives its place up for good if it is just then
# starting again after another death
NEVER = "1000 days"


@contextmanager
def settings_of_own_cluster() -> Iterator[None]:
    """Let dask have its defaults within the block, with what differs for a cluster of this program's own.

    Only the folder for temporary files stays as the user has set it.
    """
    import distributed  # noqa: F401  # it adds its own to dask's defaults

    different = {
        "temporary-directory": dask.config.get("temporary-directory", None),
        # daemons may have no children, but data.workers decode pictures; workers end with this process all the same
        "distributed.worker.daemon": False,
        # without dask's MALLOC_TRIM_THRESHOLD_, which returns memory at once: a teacher on small images would take
        # two fifths longer. Memory of a thread's own is returned too, whatever is asked for (freed_memory), and a
        # worker's teacher is in a thread: at 224 pixels it would take twice as long
        "distributed.nanny.pre-spawn-environ": {"MALLOC_ARENA_MAX": "1"},
        "distributed.deploy.lost-worker-timeout": NEVER,
        **{name: ["distributed.http.health"] for name in PAGES},
    }
    with dask.config.set(dask.config.merge(*dask.config.defaults)), dask.config.set(different):
        yield
