"""A dask client that leaves nothing behind if it cannot connect."""

from distributed import Client


class TidyClient(Client):  # type: ignore[misc]  # partial hints, which are skipped (pyproject.toml)
    """A client of the scheduler at `address`, which closes at once if nobody answers within `timeout` seconds.

    dask closes its own client when that is garbage-collected. If another event loop is just being started then, both
    wait for ever.

    Raises
    ------
    OSError, ValueError
        dask's own: nobody answers, or the address makes no sense.
    """

    def __init__(self, address: str, *, timeout: float) -> None:
        try:
            super().__init__(address, timeout=timeout, set_as_default=False)
        except BaseException:
            self.close()
            raise
