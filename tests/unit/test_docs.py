"""What the documentation says is what the code does."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kcd_pipeline.cli import main
from kcd_pipeline.config import load_config, recipe_names
from kcd_pipeline.config.reference import reference
from kcd_stores import KnowledgeWriter, Layout, make_encoding

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_key_reference_is_the_schema() -> None:
    written = (ROOT / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    assert written == reference() + "\n", "run `python -m kcd_pipeline.config.reference > docs/reference/config.md`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_recipes_that_are_named_exist(page: Path) -> None:
    folders = "|".join({name.split("/")[0] for name in recipe_names() if "/" in name})
    named = set(re.findall(rf"(?<![\w/])(?:{folders})/\w+-[\w-]+", page.read_text(encoding="utf-8")))
    assert named <= set(recipe_names())
    assert named or page.name != "README.md"


def test_the_readmes_own_recipe_is_a_valid_one(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "mine.yaml").write_text(recipe)
    config = load_config(str(tmp_path / "mine.yaml"), ["seed=2", "distill.method=kd"])
    assert str(config.run_dir) == "runs/flowers/resnet8-kd-seed2"


def test_the_list_of_models_is_what_the_command_prints() -> None:
    listed = CliRunner().invoke(main, ["models"]).output
    assert listed in (ROOT / "docs" / "reference" / "models.md").read_text(encoding="utf-8")


def readmes_python() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## The store on its own")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(2), ids=["batches", "torch dataset"])
def test_the_readmes_loops_over_a_store_run_as_they_stand(tmp_path: Path, number: int) -> None:
    layout = Layout(views=8, samples=1437, classes=10, block_rows=256, chunk_rows=256)
    path = tmp_path / "runs" / "digits" / "store.zarr"
    writer = KnowledgeWriter.create(path, layout=layout, encoding=make_encoding("float16"), made_from={})
    for view, block in layout.all_blocks():
        writer.write_block(view, block, np.zeros((len(layout.rows(block)), 10), np.float32), seconds=0)
    snippets = readmes_python()
    assert len(snippets) == 2
    done = subprocess.run(
        [sys.executable, "-c", snippets[number]], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    if number == 0:
        lines = done.stdout.splitlines()
        assert len(lines) == 2 * 23  # 1,437 samples in batches of 64
        assert lines[0] == "0 (64,) (64, 10)"
