"""The boundary of the command line: the one place where an error becomes a message and an exit code.

Exit codes: 0 done, 1 failed, 2 the user can mend it, 130, 143 and 129 ended by a signal.

A store's error says its problem, and advises in the terms of the library (`kcd_stores.errors.Remedy`). Here the advice
is given by the commands and the keys of a recipe that follow it.
"""

import errno
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

import click

from kcd_pipeline.cli.asked import Asked
from kcd_pipeline.errors import EndedElsewhereError, FailedError, UserError
from kcd_pipeline.message_copies import copy_message
from kcd_pipeline.plain_text import shown
from kcd_pipeline.signals import exit_code, first_words, raised_as_errors
from kcd_pipeline.terminal import take_all_characters
from kcd_stores.errors import Remedy, StoreError, StoreUsageError

ADVICE = {
    Remedy.CORRECT_LOCATION: "Mend store.path, or the place that the command was given.",
    Remedy.GIVE_FOLDER: "Set store.path to a folder.",
    Remedy.GIVE_NEW_FOLDER: "Set store.path to a new folder.",
    Remedy.GIVE_STORE_OR_NEW_FOLDER: (
        "Set store.path to a folder that `kcd-pipeline extract-teacher` made, or to a new one."
    ),
    Remedy.SHARE_FOLDER: (
        "Let every process see the same folder at store.path, such as one of a shared file system, or use a URL; then "
        "run the same command again."
    ),
    Remedy.MAKE_STORE: (
        "Make it with `kcd-pipeline extract-teacher CONFIG`, or set store.path to the place where it is."
    ),
    Remedy.FINISH_STORE: "Run the same `kcd-pipeline extract-teacher` again: it makes only what is missing.",
    Remedy.REPLACE_STORE: (
        "Extract it anew with `kcd-pipeline extract-teacher CONFIG --overwrite`, or use another store.path."
    ),
    Remedy.MATCH_STORE: (
        "Point store.path at the store that belongs to this config, change the config to what the store holds, or "
        "extract it anew with `kcd-pipeline extract-teacher CONFIG --overwrite`."
    ),
    Remedy.RESTORE_STORE: (
        "Restore the file from a copy, or extract the store anew with "
        "`kcd-pipeline extract-teacher CONFIG --overwrite`."
    ),
    Remedy.LIMIT_VIEWS: (
        "Set store.views to the number that it has, or to a smaller one, or let `kcd-pipeline extract-teacher` add "
        "views."
    ),
    Remedy.FINISH_CONDENSED: "Run the same `kcd-pipeline condense` again to finish it.",
    Remedy.REPLACE_CONDENSED: "Make it anew with `kcd-pipeline condense` and --overwrite.",
    Remedy.REPEAT_RUN: "Restore the file from a copy, or repeat the run with `kcd-pipeline distill` and --overwrite.",
    Remedy.RAISE_MEMORY: "Raise store.memory.",
    Remedy.INSTALL_OBSTORE: 'Install it, in the checkout of kcd-pipeline: pip install -e ".[remote]"',
    Remedy.CHECK_URL: "Check store.path and the variables AWS_... (or GOOGLE_..., AZURE_...).",
    Remedy.MAKE_BUCKET: (
        "Make the bucket, or set store.path to one that exists, or AWS_ENDPOINT_URL to the server that has it."
    ),
    Remedy.GET_PERMISSION: "Ask its owner for permission (chmod, chown), or name a copy of your own.",
    Remedy.LOOK_AGAIN: (
        "Run the same command again: it says whether the store that is there now is the one that it asks for."
    ),
    Remedy.TRY_AGAIN: ("Check the network and the server, then run the same command again: it goes on from there."),
}


CHAIN = "All that is missing, in order: `{}`. If there is a store already, set store.path to the place where it is."


class Grouped(click.Group):
    """Group whose help lists its commands under headings, and whose commands never end in a bare traceback."""

    def __init__(self, *args: Any, headings: dict[str, list[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headings = headings
        self._received: list[int] = []  # signals that asked this call to end

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in self._headings.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, names in self._headings.items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(78)) for name in names])

    def main(self, *args: Any, **extra: Any) -> Any:
        take_all_characters()
        with raised_as_errors() as self._received:
            return super().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except KeyboardInterrupt as error:  # click would end with "Aborted!" and 1
            self._end_by_signal(error)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as error:
            self._end_by_signal(error)
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            if self._received:  # its exception became another one on its way
                self._end_by_signal(error)
            _end(*explain(error, ctx.obj))

    def _end_by_signal(self, error: BaseException) -> NoReturn:
        number = (self._received or [getattr(error, "number", signal.SIGINT)])[0]
        again = "the same command, without --overwrite," if "--overwrite" in sys.argv else "the same command"
        _end(f"{first_words(number)}. What was complete is kept; {again} goes on from there.", exit_code(number))


def explain(error: Exception, asked: Asked | None = None) -> tuple[str, int]:
    """Return the message of an error for the user, and the exit code.

    Parameters
    ----------
    asked
        The recipe that the command was asked to work on, for advice that names it.
    """
    if isinstance(error, UserError | StoreUsageError):
        return f"Error: {advised(error, asked)}", 2
    if isinstance(error, EndedElsewhereError):
        return "", 1
    if isinstance(error, FailedError | StoreError):
        return f"Failed: {advised(error, asked)}", 1
    if _is_lack_of_memory(error):
        reason = str(error).strip().partition("\n")[0] or "no more was to be had"
        return (
            f"Failed: out of memory ({reason}). What was complete before is kept. Use smaller batches (distill, "
            f"teacher or store.batch_size), a smaller store.memory, or another device.",
            1,
        )
    if isinstance(error, OSError) and error.errno is not None:
        return f"{_system_reason(error)}{_file(error)}. What was complete before is kept.", _code(error)
    return (
        f"Failed in a way that was not foreseen: {type(error).__name__}: {error}. Run it again as "
        f"`kcd-pipeline --debug ...` for the traceback, and report it with that.",
        1,
    )


def _is_lack_of_memory(error: Exception) -> bool:
    """Return True if memory could not be had, of the machine or of a GPU; torch says so in the words of a message."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    words = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc", "not enough memory")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def advised(error: Exception, asked: Asked | None = None) -> str:
    """Return the message of an error; that of a store's error with advice in commands and keys."""
    message = str(error)
    if isinstance(error, StoreError) and error.remedy is not None:
        chained = asked and asked.command == "distill" and error.remedy is Remedy.MAKE_STORE
        message = error.with_advice(CHAIN.format(asked.chain()) if asked and chained else ADVICE[error.remedy])
    return message if asked is None else asked.filled_in(message)


def _speaker() -> str:
    """Return the rank as a prefix of messages; nothing for the first of several ranks."""
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f"[rank {rank}] "


def _system_reason(error: OSError) -> str:
    reasons = {
        errno.ENOSPC: "Failed: the disk is full",
        errno.EACCES: "Error: permission denied",
        errno.EROFS: "Error: the file system is read-only",
        errno.EPERM: "Error: not permitted",
    }
    return reasons.get(error.errno or 0, f"Failed: {error.strerror or error}")


def _code(error: OSError) -> int:
    return 2 if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) else 1


def _file(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _end(message: str, code: int) -> NoReturn:
    if message:
        with suppress(OSError):  # the terminal may be gone, as after SIGHUP
            click.echo(f"{_speaker()}{shown(message)}", err=True)
        copy_message(shown(message))
    sys.exit(code)
