"""Folders are the architecture: imports obey the layers, slow libraries are not loaded early, no module is too long."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def fresh(code: str, folder: Path) -> str:
    """Run `code` in a fresh interpreter, started in `folder`; return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_imports_obey_the_layers() -> None:
    pytest.importorskip("importlinter")
    command = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", command], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_stores_load_neither_torch_nor_the_pipeline(tmp_path: Path) -> None:
    loaded = fresh(
        "import sys, json, kcd_stores; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))", tmp_path
    )
    modules = set(json.loads(loaded))
    assert "kcd_stores" in modules
    assert not modules & {"torch", "torchvision", "kcd_pipeline", "accelerate"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["distill", "--help"], ["no-such-command"], ["models"]]
)
def test_help_and_lists_load_no_torch(tmp_path: Path, arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from kcd_pipeline.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    print('torch' in sys.modules, 'sklearn' in sys.modules, 'kcd_pipeline.cli' in sys.modules)\n"
    )
    assert fresh(code, tmp_path).splitlines()[-1] == "False False True"


@pytest.mark.parametrize("arguments", [["inspect", "store.zarr"], ["verify", "store.zarr"], ["report", "finished"]])
def test_looking_around_loads_no_torch(tmp_path: Path, arguments: list[str]) -> None:
    old = REPOSITORY / "tests" / "data" / "format-1"
    code = (
        "import sys\n"
        "from kcd_pipeline.cli import main\n"
        "try:\n"
        f"    main({[arguments[0], str(old / arguments[1])]!r})\n"
        "except SystemExit as end:\n"
        "    print(end.code, 'torch' in sys.modules)\n"
    )
    assert fresh(code, tmp_path).splitlines()[-1] == "0 False"


def test_extraction_of_images_in_memory_loads_neither_torchvision_nor_scikit_learn(tmp_path: Path) -> None:
    """Half the time in which a process starts would be theirs; scikit-learn is where the images of digits lie."""
    code = (
        "import sys, kcd_pipeline.extraction\n"
        "from kcd_pipeline.data import digits\n"
        "slow = {'torchvision', 'sklearn', 'torch._dynamo'}\n"
        "print(len(digits.load()[0]), sorted(slow & set(sys.modules)))"
    )
    assert fresh(code, tmp_path) == "1437 []"


@pytest.mark.parametrize("name", ["pipeline", "stores", "configs", "tests"])
def test_source_roots_are_not_importable_from_elsewhere(tmp_path: Path, name: str) -> None:
    code = f"import importlib.util; print(importlib.util.find_spec({name!r}), importlib.util.find_spec('kcd_pipeline'))"
    found, package = fresh(code, tmp_path).split(maxsplit=1)
    assert found == "None"
    assert package.startswith("ModuleSpec")


def test_every_module_can_be_imported(tmp_path: Path) -> None:
    code = (
        "import pkgutil, importlib, kcd_pipeline, kcd_stores\n"
        "names = [m.name for p in (kcd_pipeline, kcd_stores)\n"
        "         for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.') if not m.name.endswith('__main__')]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names))"
    )
    assert int(fresh(code, tmp_path)) > 40


def test_no_module_is_longer_than_500_lines() -> None:
    sources = [file for root in ("pipeline", "stores") for file in (REPOSITORY / root).rglob("*.py")]
    assert len(sources) > 40
    too_long = {file.name: lines for file in sources if (lines := len(file.read_text().splitlines())) > 500}
    assert not too_long
