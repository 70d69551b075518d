"""Small files that are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from kcd_pipeline.files import write_whole


def test_a_file_that_cannot_be_written_leaves_the_earlier_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "summary.json"
    write_whole(file, "before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, "after")
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]
    assert file.read_text() == "before"
