"""A dask client that leaves nothing behind where it cannot connect."""

from distributed import Client


class TidyClient(Client):  # type: ignore[misc]  # partial hints, which are skipped (pyproject.toml)
    """Closed at once where its scheduler does not answer.

    dask's own is closed whenever it happens to be collected, and if that is while another event loop is being started,
    both wait for ever.
    """

    def __init__(self, address: str, *, timeout: float) -> None:
        try:
            super().__init__(address, timeout=timeout, set_as_default=False)
        except BaseException:
            self.close()
            raise
