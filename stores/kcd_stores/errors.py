"""What can go wrong with a store, said to a person: the problem, its consequence, the fix."""


class StoreError(Exception):
    """Base of every error that a store raises on purpose."""


class StoreUsageError(StoreError):
    """The caller asked for something that this store is not: missing, of another kind, a mismatch."""


class StoreMismatchError(StoreUsageError):
    """The store was made from something else than what is asked for."""


class IncompleteStoreError(StoreUsageError):
    """Blocks that are needed were never recorded complete."""


class CorruptStoreError(StoreError):
    """Data that is recorded complete is missing, unreadable or not finite.

    Attributes
    ----------
    what
        The file or files and what is wrong with them, without the advice of the whole message.
    """

    def __init__(self, message: str, *, what: str) -> None:
        super().__init__(message)
        self.what = what
