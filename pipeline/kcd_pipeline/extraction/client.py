"""A dask client that leaves nothing behind where it cannot connect."""

from distributed import Client


class TidyClient(Client):  # type: ignore[misc]  # partial hints, which are skipped (pyproject.toml)
    """Of the scheduler at `address`; closed at once where it does not answer within `timeout` seconds.

    dask's own is closed whenever it happens to be collected, and if that is while another event loop is being started,
    both wait for ever.

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
