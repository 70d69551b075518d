"""Small text files beside the pictures."""

from pathlib import Path

from kcd_pipeline.data.pictures.unreadable import cannot_be_read, printable
from kcd_pipeline.errors import UserError


def read_text(path: Path) -> str:
    """Return the content of `path`, which must be UTF-8, with or without a mark in front that says so.

    Raises
    ------
    UserError
        If it cannot be read, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise cannot_be_read(path, error) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{printable(path)} is not text in UTF-8: line {line} holds the byte 0x{content[error.start]:02x}. Save it "
            f"as UTF-8."
        ) from error
