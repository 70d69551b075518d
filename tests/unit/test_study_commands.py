"""Commands that a study starts: the message that is kept of them, and their end when that of the study comes."""

from pathlib import Path

import pytest

from kcd_pipeline.study.commands import Command, Ended


@pytest.mark.parametrize(
    ("code", "lines", "line"),
    [
        (0, ["epoch 1\n", "resnet8 by kd: 54.30%\n"], "resnet8 by kd: 54.30%"),
        (2, ["epoch 1\n", "Error: it differs:\n", "  seed: 1\n", "Set it.\n"], "Error: it differs: seed: 1 Set it."),
        (1, [], "it ended with exit code 1 and no message"),
        (-9, ["epoch 1\n"], "killed by SIGKILL, most often for a lack of memory. epoch 1"),
    ],
)
def test_the_last_message_of_a_command_is_one_line(code: int, lines: list[str], line: str) -> None:
    assert Ended.of(code, lines) == Ended(code=code, line=line)


def test_a_command_whose_input_ends_is_terminated(tmp_path: Path) -> None:
    command = Command(["demo"], folder=tmp_path, log=tmp_path / "log")
    command.ask_to_end()
    ended = command.wait(60)
    assert ended is not None
    assert ended.code == 143
    assert "Terminated (SIGTERM)" in ended.line
