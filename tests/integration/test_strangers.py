"""Stores and runs of strangers: no code that they name is run, and nothing that they hold is obeyed or leaked.

The store and the runs are the committed ones, with what they hold changed: models, names, facts and labels.
"""

import base64
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.commands import run_command, succeed

COMMITTED = Path(__file__).parents[1] / "data" / "format-1"
EVIL = "from pathlib import Path\nPath('was_run').touch()\ndef build(**_): Path('was_run').touch()\n"
HOSTILE = "a<script>alert(1)</script>\x1b]0;owned\x07\x1b[2J\r\x9b1mb\u202ec\udcff<!--x-->'\"&{{7*7}}"
SECRET = "https://me:hunter2@host/store.zarr?X-Amz-Signature=abcdef"
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the committed store and runs, which is the current folder; a module `evil` lies there too."""
    folder = tmp_path / "stranger"
    shutil.copytree(COMMITTED, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "evil.py").write_text(EVIL)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    return folder


def replaced(value: Any, change: Callable[[str, Any], Any], key: str = "") -> Any:
    """Return plain data in which `change(key, leaf)` has replaced every leaf."""
    if isinstance(value, dict):
        return {name: replaced(inner, change, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, change, key) for inner in value]
    return change(key, value)


def change_all(folder: Path, change: Callable[[str, Any], Any]) -> None:
    """Change every leaf of the facts of the store and of both runs."""
    for run in (folder / "finished", folder / "unfinished"):
        config = replaced(yaml.safe_load((run / "config.yaml").read_text()), change)
        text = yaml.safe_dump(config).replace(r"\uDCFF", "")  # half a surrogate pair is no YAML that is read
        (run / "config.yaml").write_text(text)
    summary = json.loads((folder / "finished" / "summary.json").read_text())
    (folder / "finished" / "summary.json").write_text(json.dumps(replaced(summary, change)))
    metadata = json.loads((folder / "store.zarr" / "zarr.json").read_text())
    attributes = metadata["attributes"]
    attributes["made_from"] = replaced(attributes["made_from"], change)
    (folder / "store.zarr" / "zarr.json").write_text(json.dumps(metadata))


COMMANDS = (
    ("inspect", "finished"),
    ("inspect", "unfinished"),
    ("inspect", "store.zarr"),
    ("report", "finished"),
    ("report", "finished", "--json"),
    ("report", "finished", "--html", "page.html"),
    ("verify", "store.zarr"),
    ("condense", "finished", "--export", "condensed.zarr"),
)


def test_no_module_that_a_store_or_a_run_names_is_imported(place: Path) -> None:
    change_all(place, lambda key, leaf: "evil:build" if leaf == "tiny_student:tiny" else leaf)
    assert "evil:build" in (place / "finished" / "config.yaml").read_text()
    assert "evil:build" in (place / "store.zarr" / "zarr.json").read_text()
    for command in COMMANDS:
        ended = run_command(*command)
        assert "not foreseen" not in ended.output, ended.output
    assert "evil:build" in succeed("inspect", "finished")
    assert "evil" not in sys.modules
    assert not (place / "was_run").exists()


class Page(HTMLParser):
    """Collects what a page would run or fetch, its policy, and the texts of its scripts and of their data."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []
        self.policy = ""
        self.scripts: list[str] = []
        self.data: list[str] = []
        self._texts: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("iframe", "object", "embed", "link", "base", "form"):
            self.active.append(tag)
        self.active += [key for key, _ in attrs if key.startswith("on")]
        found = dict(attrs)
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy += str(found["content"])
        if tag == "script":
            self.active += ["src"] if "src" in found else []
            self._texts = self.data if found.get("type") == "application/json" else self.scripts
            self._texts.append("")

    def handle_data(self, data: str) -> None:
        if self._texts is not None:
            self._texts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._texts = None

    def handle_comment(self, data: str) -> None:
        assert "script" not in data or "&lt;" in data


def digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def hostile(key: str, leaf: Any) -> Any:
    """Make every name hostile that decides nothing about the run."""
    told = ("student", "model", "weights", "root", "classes", "split", "path", "kcd-pipeline", "python", "name")
    return f"{leaf}{HOSTILE}" if isinstance(leaf, str) and key in told and leaf not in ("kd", "digits") else leaf


def test_nothing_from_outside_is_obeyed_by_a_terminal_or_a_browser(place: Path) -> None:
    change_all(place, hostile)
    run = shutil.copytree(place / "finished", place / "run\x1b[2J\n<script>x\u202e")
    for command in (*COMMANDS, ("report", run), ("inspect", run), ("report", run, "finished", "--html", "both.html")):
        ended = run_command(*command)
        assert "not foreseen" not in ended.output, ended.output
        assert UNFIT.search(ended.output) is None, (command, UNFIT.search(ended.output))
    assert r"\x1b[2J" in succeed("inspect", "finished")
    text = succeed("report", run)
    assert r"run\x1b[2J\n<script>x\u202e" in text
    for name in ("page.html", "both.html"):
        content = (place / name).read_text()
        parser = Page()
        parser.feed(content)
        assert parser.active == []
        assert set(map(digest, parser.scripts)) == set(re.findall("'sha256-(.*?)'", parser.policy)), "only its own"
        assert "script-src 'sha256-" in parser.policy
        assert all("alert(1)" not in script for script in parser.scripts)
        assert all("<" not in data for data in parser.data)
        for script in parser.scripts:
            content = content.replace(script, "")
        assert content.count("<script") == len(parser.scripts) + len(parser.data)
        assert "alert(1)" in content, "it is shown"
        assert UNFIT.search(content) is None


def test_secrets_of_urls_are_in_no_page_and_on_no_terminal(place: Path) -> None:
    """Newer versions write none into a run; an older one may have."""
    change_all(place, lambda key, leaf: SECRET if leaf == "store.zarr" else leaf)
    for command in COMMANDS:
        ended = run_command(*command)
        assert "not foreseen" not in ended.output, ended.output
        assert not {"hunter2", "abcdef"} & set(re.findall(r"\w+", ended.output)), ended.output
    content = (place / "page.html").read_text()
    assert "https://***@host/store.zarr?***" in content
    assert "hunter2" not in content
    assert "X-Amz" not in content
