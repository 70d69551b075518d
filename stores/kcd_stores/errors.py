"""Errors of stores and of the records of runs, and what can be done about each of them.

    StoreError                 something failed
    ├── CorruptStoreError      data is missing or damaged
    ├── StoreReplacedError     another process replaced or removed the store
    └── StoreUsageError        the caller can mend it
        ├── StoreMismatchError
        ├── StoreInUseError
        └── IncompleteStoreError

A message has a problem and, often, a `Remedy`: advice in the terms of this library. A program that has commands and
settings of its own says `error.problem`, and words `error.remedy` in these.
"""

from enum import Enum


class Remedy(Enum):
    """Ways to mend an error. The value of each is the advice as this library words it."""

    CORRECT_LOCATION = "Give another path or URL."
    GIVE_FOLDER = "Give a folder."
    GIVE_NEW_FOLDER = "Give a new folder."
    GIVE_STORE_OR_NEW_FOLDER = "Give the folder of a knowledge store, or a new one."
    SHARE_FOLDER = "Let every process see the same folder, such as one of a shared file system, or use a URL."
    MAKE_STORE = "Make it first, or give the place where it is."
    FINISH_STORE = "Go on with its extraction, which makes only what is missing."
    REPLACE_STORE = "Make it anew in its place, or give another place."
    MATCH_STORE = "Give the store that was made from what you expect, or make it anew."
    RESTORE_STORE = "Restore the file from a copy, or make the store anew."
    LIMIT_VIEWS = "Ask for no more views than there are, or let the store grow."
    FINISH_CONDENSED = "Go on with its export, which makes only what is missing."
    REPLACE_CONDENSED = "Export it anew in its place."
    REPEAT_RUN = "Restore the file from a copy, or repeat the run from its beginning."
    RAISE_MEMORY = "Allow more memory."
    INSTALL_OBSTORE = "Install it: pip install obstore"
    CHECK_URL = "Check the URL and the variables AWS_... (or GOOGLE_..., AZURE_...)."
    MAKE_BUCKET = "Make the bucket, or give a URL in another one, or set AWS_ENDPOINT_URL to the server that has it."
    LOOK_AGAIN = "Open the store that is there now, and look whether it is the one that you expect."
    GET_PERMISSION = "Ask its owner for permission, or use a copy of your own."
    TRY_AGAIN = "Check the network and the server, then try again."


class StoreError(Exception):
    """Base of all errors that stores raise on purpose.

    Parameters
    ----------
    problem
        One or more sentences: what was found, what was expected, and where.
    remedy
        What can be done about it; None if the problem says it, or nothing is known.

    Attributes
    ----------
    problem, remedy
        The parameters. The message, `str(error)`, is the problem and then the advice of the remedy.
    """

    def __init__(self, problem: str, *, remedy: Remedy | None = None) -> None:
        super().__init__(problem if remedy is None else _with_advice(problem, remedy.value))
        self.problem, self.remedy = problem, remedy

    def with_advice(self, advice: str) -> str:
        """Return the problem, and then other advice than that of the remedy."""
        return _with_advice(self.problem, advice)


def _with_advice(problem: str, advice: str) -> str:
    return f"{problem}{advice}" if problem.endswith("\n") else f"{problem} {advice}"


class StoreUsageError(StoreError):
    """A store is missing, is of another kind, or cannot do what it was asked for."""


class StoreMismatchError(StoreUsageError):
    """A store was made from something else than was expected."""


class StoreInUseError(StoreUsageError):
    """Another process is writing the store, or the run, that was to be written."""


class StoreReplacedError(StoreError):
    """A store was replaced or removed while this process was reading it or writing to it."""


class IncompleteStoreError(StoreUsageError):
    """Blocks or arrays that are needed were never written."""


class OutOfRangeError(ValueError):
    """A number is outside the range of the encoding that should hold it."""


class CorruptStoreError(StoreError):
    """Data that is recorded complete is missing, cannot be read, or is not finite.

    Parameters
    ----------
    problem, remedy
        See `StoreError`.
    damage
        The file and what is wrong with it, in a few words; the whole problem if None.
    """

    def __init__(self, problem: str, *, damage: str | None = None, remedy: Remedy | None = None) -> None:
        super().__init__(problem, remedy=remedy)
        self.damage = problem if damage is None else damage
