"""The documentation agrees with the code: links, names, recipes, lists and snippets."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import kcd_stores
from kcd_pipeline.cli import main
from kcd_pipeline.cli.reference import reference as command_reference
from kcd_pipeline.config import load_config, recipe_names
from kcd_pipeline.config.reference import reference
from kcd_stores import KnowledgeWriter, Layout, make_encoding

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
FILE = re.compile(r"\b(?:tests|docs|pipeline|stores|examples)/[\w/.-]+\.(?:py|md|svg|png)\b")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_the_key_reference_is_the_schema() -> None:
    written = (DOCS / "reference" / "config.md").read_text(encoding="utf-8")
    assert written == reference() + "\n", "run `python -m kcd_pipeline.config.reference > docs/reference/config.md`"


def test_the_command_reference_is_what_the_commands_say() -> None:
    written = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert written == command_reference() + "\n", "run `python -m kcd_pipeline.cli.reference > docs/reference/cli.md`"


@each_page
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    named = set(FILE.findall(page.read_text(encoding="utf-8")))
    assert sorted(name for name in named if "NAME" not in name and not (ROOT / name).exists()) == []


@each_page
def test_names_of_the_code_exist(page: Path) -> None:
    named = set(re.findall(r"\bkcd_(?:stores|pipeline)(?:\.\w+)+", page.read_text(encoding="utf-8")))
    assert sorted(name for name in named if not exists(name)) == []


def exists(name: str) -> bool:
    """Return True if the dotted `name` is a module, or something inside one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[cut:]:
            found = getattr(found, attribute, None)
        return found is not None
    return False


@each_page
def test_recipes_that_are_named_exist(page: Path) -> None:
    folders = "|".join({name.split("/")[0] for name in recipe_names() if "/" in name})
    named = set(re.findall(rf"(?<![\w/])(?:{folders})/\w+-[\w-]+", page.read_text(encoding="utf-8")))
    assert named <= set(recipe_names())
    assert named or page.name not in ("own-teacher.md", "savings.md")


def test_the_recipe_for_own_images_is_a_valid_one(tmp_path: Path) -> None:
    text = (DOCS / "how-to" / "own-images.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "mine.yaml").write_text(recipe)
    config = load_config(str(tmp_path / "mine.yaml"), ["seed=2", "distill.method=kd"])
    assert str(config.run_dir) == "runs/flowers/resnet8-kd-seed2"


def test_the_list_of_models_is_what_the_command_prints() -> None:
    listed = CliRunner().invoke(main, ["models"]).output
    assert listed in (DOCS / "reference" / "models.md").read_text(encoding="utf-8")


def test_the_api_reference_has_all_that_the_stores_export() -> None:
    page = (DOCS / "reference" / "api" / "stores.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: kcd_stores\.(\w+)$", page, flags=re.MULTILINE)
    assert sorted(shown) == sorted(kcd_stores.__all__)


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    listed = re.findall(r"[\w/-]+\.md", navigation)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def programs_over_a_store() -> list[str]:
    text = (DOCS / "how-to" / "own-loop.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(3), ids=["batches", "torch dataset", "zarr"])
def test_programs_over_a_store_run_as_they_stand(tmp_path: Path, number: int) -> None:
    layout = Layout(views=8, samples=1437, classes=10, block_rows=256, chunk_rows=256)
    path = tmp_path / "runs" / "digits" / "store.zarr"
    writer = KnowledgeWriter.create(path, layout=layout, encoding=make_encoding("float16"), made_from={})
    for view, block in layout.all_blocks():
        writer.write_block(view, block, np.zeros((len(layout.rows(block)), 10), np.float32), seconds=0)
    programs = programs_over_a_store()
    assert len(programs) == 3
    done = subprocess.run(
        [sys.executable, "-c", programs[number]], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    if number == 0:
        lines = done.stdout.splitlines()
        assert len(lines) == 2 * 23  # 1,437 samples in batches of 64
        assert lines[0] == "0 (64,) (64, 10)"
