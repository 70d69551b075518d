"""The one place where an error becomes a message and an exit code.

0: done; 1: it failed; 2: the user can mend it; 130: interrupted.
"""

import errno
import os
import sys
import traceback
from typing import Any

import click

from kcd_pipeline.errors import EndedElsewhereError, FailedError, UserError
from kcd_stores.errors import StoreError, StoreUsageError

INTERRUPTED = 130


class Grouped(click.Group):
    """A group whose help lists its commands under headings, and whose commands never end in a bare traceback."""

    def __init__(self, *args: Any, headings: dict[str, list[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headings = headings

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in self._headings.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, names in self._headings.items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(78)) for name in names])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            _end(
                "Interrupted. What was complete is kept; the same command goes on from there (distill: with --resume).",
                INTERRUPTED,
            )
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            _end(*explain(error))


def explain(error: Exception) -> tuple[str, int]:
    """The message and the exit code of an error."""
    if isinstance(error, UserError | StoreUsageError):
        return f"Error: {error}", 2
    if isinstance(error, EndedElsewhereError):
        return "", 1
    if isinstance(error, FailedError | StoreError):
        return f"Failed: {error}", 1
    if isinstance(error, OSError) and error.errno is not None:
        return f"{_system_reason(error)}{_file(error)}. What was complete before is kept.", _code(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return f"Failed: out of memory ({error}). Use smaller batches (…batch_size) or another device.", 1
    return (
        f"Failed in a way that was not foreseen: {type(error).__name__}: {error}. Run it again as "
        f"`kcd-pipeline --debug ...` for the traceback, and report it with that.",
        1,
    )


def _speaker() -> str:
    """Which of several ranks says it, where it is not the first."""
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


def _end(message: str, code: int) -> None:
    if message:
        click.echo(f"{_speaker()}{message}", err=True)
    sys.exit(code)
