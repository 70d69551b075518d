"""The bytes of the files in a folder."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def file_contents(folder: str | Path) -> dict[str, bytes]:
    """Return the bytes of each file below `folder`, by its path relative to it."""
    root = Path(folder)
    files = (file for file in sorted(root.rglob("*")) if file.is_file())
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


def knowledge_contents(store: str | Path) -> dict[str, bytes]:
    """Return the bytes of each file of a store, without what is measured or drawn; see `knowledge_files`."""
    return knowledge_files(file_contents(store))


def knowledge_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of a store, by name, without what differs between two stores of the same knowledge.

    These are the time that blocks took, the generation, and the checksum and the seals that it is in.
    """
    kept = {name: content for name, content in files.items() if not name.startswith("seconds/")}
    metadata = json.loads(kept["zarr.json"])
    for name in ("generation", "checksum"):
        metadata["attributes"].pop(name, None)
    kept["zarr.json"] = json.dumps(metadata, indent=2).encode()
    if "checksums/zarr.json" not in files:
        return kept
    entries = json.loads(files["checksums/zarr.json"])["shape"][2]
    for name in kept:
        if name.startswith("checksums/c/"):
            kept[name] = np.frombuffer(kept[name][:-4], "<u4").reshape(-1, entries)[:, :-1].tobytes()
    return kept
