"""Copies of a command's messages, which a study keeps in its logs while the command speaks on the terminal."""

import os
from contextlib import suppress
from pathlib import Path

COPIED_TO = "KCD_MESSAGES_COPIED_TO"  # variable: the file that messages are added to


def copy_message(message: str) -> None:
    """Add a message to the file that the environment names for copies, if it names one."""
    if file := os.environ.get(COPIED_TO):
        with (
            suppress(OSError),
            Path(file).open("a", encoding="utf-8") as copies,
        ):
            copies.write(f"{message}\n")
