"""The bytes of the files in a folder."""

from pathlib import Path


def file_contents(folder: str | Path) -> dict[str, bytes]:
    """Return the bytes of each file below `folder`, by its path relative to it."""
    root = Path(folder)
    files = (file for file in sorted(root.rglob("*")) if file.is_file())
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


def knowledge_contents(store: str | Path) -> dict[str, bytes]:
    """Return the bytes of each file of a store, except the record of the time that blocks took."""
    return {name: content for name, content in file_contents(store).items() if not name.startswith("seconds/")}
