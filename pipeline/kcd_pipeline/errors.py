"""The ways in which a command ends badly; the command line turns them into messages and exit codes."""


class UserError(Exception):
    """A request is wrong or lacks something, and the user can mend it: exit code 2.

    The message is one paragraph: what was found, what was expected, which file or key it is about, and what to do.
    """


class FailedError(Exception):
    """A command failed although nothing asked of it was wrong, such as for logits that are not finite: exit code 1."""


class DamagedError(FailedError):
    """A file of a run is missing, or is not what was written.

    Attributes
    ----------
    problem
        The message without the advice at its end.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem} Restore it from a copy, or repeat the run with --overwrite.")
        self.problem = problem


class EndedElsewhereError(Exception):
    """Another of the processes that work together failed and said why: exit code 1, without a message."""
