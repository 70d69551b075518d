"""The two ways in which a command ends badly; the CLI turns them into messages and exit codes."""


class UserError(Exception):
    """Something asked for is wrong or missing, and the user can mend it: exit code 2.

    The message is one paragraph: what was found, what was expected, which file or key, what to do.
    """


class FailedError(Exception):
    """Something went wrong that the user did not ask for, such as logits that are not finite: exit code 1."""


class EndedElsewhereError(Exception):
    """Another of the processes that work together has failed, and has said why: exit code 1, without a message."""
