"""Patterns that name several files: braces with a range or a list, and wildcards."""

import glob
import re
from collections.abc import Iterator
from pathlib import Path

from kcd_pipeline.data.pictures.unreadable import printable
from kcd_pipeline.errors import UserError
from kcd_stores import masked

RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}", re.ASCII)
LIST = re.compile(r"\{([^{}]*,[^{}]*)\}")
MOST_FILES = 100_000


def files_of(root: Path, pattern: str, key: str) -> list[Path]:
    """Return the files below `root` that `pattern` names: braces in their order, and what wildcards find by name.

    Parameters
    ----------
    key
        The key of the recipe that holds the pattern, for messages.

    Raises
    ------
    UserError
        If there is no such file, braces name one that is missing, or one is named twice.
    """
    if pattern.startswith("pipe:") or "://" in pattern:
        raise UserError(
            f"{key} is {masked(pattern)}: files are read from a disk, and neither pipes nor URLs are. Fetch them, set "
            f"data.root to the folder that holds them and {key} to their names."
        )
    names: list[str] = []
    for name in _expanded(pattern, key):
        names += sorted(glob.glob(name, root_dir=root)) if glob.has_magic(name) else [name]  # noqa: PTH207  # Path.glob takes no absolute pattern
        if len(names) > MOST_FILES:
            raise UserError(f"{key}: {pattern} names more than {MOST_FILES:,} files. Give it a smaller range.")
    files = [root / name for name in names]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None or not files:
        found = "there is no file" if missing is None else f"there is no {printable(missing)}"
        raise UserError(
            f"{found} that {key}, {pattern}, names in {printable(root.resolve())}. Set data.root to the folder that "
            f"holds the files and {key} to their names, such as train-{{0000..0099}}.tar or train-*.tar."
        )
    if len(set(files)) < len(files):
        raise UserError(f"{key}: {pattern} names a file twice. Name each once.")
    return files


def _expanded(pattern: str, key: str) -> Iterator[str]:
    """Yield the names that the braces of `pattern` stand for, as bash expands them."""
    span, options = RANGE.search(pattern), LIST.search(pattern)
    match = min((found for found in (span, options) if found), key=lambda found: found.start(), default=None)
    if match is None:
        yield pattern
        return
    before, after = pattern[: match.start()], pattern[match.end() :]
    for text in _numbers(match, pattern, key) if match is span else match[1].split(","):
        yield from _expanded(before + text + after, key)


def _numbers(match: re.Match[str], pattern: str, key: str) -> Iterator[str]:
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise UserError(f"{key}: {pattern} counts from {first} to {last}. Write the smaller number first.")
    padded = any(len(text) > 1 and text.startswith("0") for text in match.groups())
    width = max(map(len, match.groups())) if padded else 0
    return (f"{number:0{width}d}" for number in range(first, last + 1))
