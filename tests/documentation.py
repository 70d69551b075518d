"""Run the command blocks of a page, in order and in one shell, and read what the page says that they print.

    python -m tests.documentation README.md docs/tutorial.md

runs the pages and writes into them what their commands print now.
"""

import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```bash\n(?P<command>.*?)```\n(?:\n```text\n(?P<shown>.*?)```\n)?", flags=re.DOTALL)
END = "--- end of a block ---"
LIMIT_SECONDS = 900  # a page takes about one minute; a busy machine may take ten times that
# numbers that differ from machine to machine: accuracies, times, sizes of files, decimals
MEASURED = re.compile(r"\d[\d,]*(?:\.\d+)?(?=%| s\b| kB\b| MB\b| B\b)|\d+\.\d+")
NUMBER = re.compile(r"\d[\d,.]*\d|\d")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A command block of a page, and the output that the page shows after it (None if it shows none)."""

    command: str
    shown: str | None

    @property
    def installs(self) -> bool:
        """True if it installs packages, which takes minutes and a network: `.ci/run` runs these as they stand."""
        return "pip install" in self.command


def blocks_of(page: Path) -> list[Block]:
    """Return the command blocks of `page` in order."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(command=match["command"], shown=match["shown"]) for match in found]


def run(blocks: Sequence[Block], folder: Path) -> list[str]:
    """Run `blocks` one after another in a shell in `folder`; return the standard output of each.

    `folder/.venv` is a real virtual environment that sees the packages of the running one, in place of the one that
    the page's install line would make.

    Raises
    ------
    AssertionError
        If a command fails; the message has what it wrote.
    """
    _make_environment(folder / ".venv")
    script = "set -e -o pipefail\n" + "".join(f"{block.command}\necho '{END}'\n" for block in blocks)
    variables = {**os.environ, "COLUMNS": "200"}
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that what a shell has started can be ended with it
    )
    try:
        printed, said = shell.communicate(timeout=LIMIT_SECONDS)
    except BaseException:
        os.killpg(shell.pid, signal.SIGKILL)
        raise
    outputs = printed.split(f"{END}\n")[:-1]
    if shell.returncode:
        raise AssertionError(f"{blocks[len(outputs)].command}ended with {shell.returncode}:\n{said[-3000:]}")
    return outputs


def comparable(output: str) -> list[str]:
    """Return the lines of `output` without what differs from machine to machine.

    Measured numbers become `#`, whatever their sign; in lines of estimates and in plans, which follow from measured
    values, all numbers do. The mark of the best mean goes, and so does the width of columns.
    """
    plans, lines = "Plans, by stage" in output, []
    for line in output.splitlines():
        varies = plans or "about" in line or "estimated" in line
        masked = (NUMBER if varies else MEASURED).sub("#", line.replace("★", ""))
        signless = re.sub(r"(?<!\S)-#", "#", masked)
        lines.append(re.sub("─+", "─", " ".join(signless.split())))
    return [line for line in lines if line]


def _make_environment(folder: Path) -> None:
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    seen = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "running.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in seen))
    (folder / "bin" / "kcd-pipeline").symlink_to(Path(sysconfig.get_path("scripts")) / "kcd-pipeline")


def _write_outputs(page: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        blocks = [block for block in blocks_of(page) if not block.installs]
        outputs = dict(zip((block.command for block in blocks), run(blocks, Path(folder)), strict=True))

    def with_output(match: re.Match[str]) -> str:
        printed = outputs.get(match["command"])
        if match["shown"] is None or printed is None:
            return match[0]
        lines = "\n".join(line.rstrip() for line in printed.rstrip().splitlines())
        return f"```bash\n{match['command']}```\n\n```text\n{lines}\n```\n"

    page.write_text(BLOCK.sub(with_output, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        _write_outputs(Path(argument))
