"""The programs of the page on Python run in order, and print what the page shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "python.md"
NEEDS_IMAGES = "MyImages("  # a program that stands for data of the reader's own


def without_numbers(text: str) -> str:
    return re.sub(r"\d+(\.\d*)?", "#", re.sub(r"\s+", " ", text.strip()))


@pytest.mark.pages
def test_the_programs_of_the_page_run_and_print_what_it_shows(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    programs = [part for part in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if NEEDS_IMAGES not in part]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(programs)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert without_numbers(done.stdout) == without_numbers(shown), done.stdout
