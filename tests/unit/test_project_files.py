"""The files around the code agree with each other: versions, gates, layers."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert yaml.safe_load(text("CITATION.cff"))["version"] == version
    released = re.findall(r"^## \[(\d[\d.]*)\]", text("CHANGELOG.md"), flags=re.MULTILINE)
    assert released[0] == version


def test_the_hooks_are_the_gates_of_ci() -> None:
    gates = [re.sub(r'"\$venv/bin/([\w-]+)"', r"\1", line) for line in text(".ci/run").splitlines()]
    hooks = [hook["entry"] for hook in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"][0]["hooks"]]
    missing = [hook for hook in hooks if not any(re.search(rf"(^|\s){re.escape(hook)}(\s|$)", gate) for gate in gates)]
    assert not missing


def test_the_picture_of_the_layers_shows_every_room() -> None:
    (picture,) = re.findall(r"```text\n(.*?)```", text("CONTRIBUTING.md"), flags=re.DOTALL)
    contracts = [contract for contract in PROJECT["tool"]["importlinter"]["contracts"] if contract["type"] == "layers"]
    rooms = {
        room.strip().removeprefix("kcd_pipeline.")
        for contract in contracts
        if contract.get("containers", ["kcd_stores"]) == ["kcd_stores"]
        for layer in contract["layers"]
        for room in re.split("[|:]", layer)
    }
    assert len(rooms) > 25
    assert rooms <= set(re.findall(r"\w+", picture))


def test_the_files_that_contributors_are_sent_to_exist() -> None:
    named = re.findall(r"`([\w./-]*/[\w.-]+\.(?:py|md|toml))`", text("CONTRIBUTING.md"))
    assert len(named) > 15
    assert not [name for name in named if "NAME" not in name and not (ROOT / name).exists()]
