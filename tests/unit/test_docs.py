"""What the documentation says is what the code does."""

import re
from pathlib import Path

import pytest

from kcd_pipeline.config import load_config, recipe_names
from kcd_pipeline.config.reference import reference

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_key_reference_is_the_schema() -> None:
    written = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == reference() + "\n", "run `python -m kcd_pipeline.config.reference > docs/config.md`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_recipes_that_the_readme_names_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9-]+/[a-z0-9-]+)`", text))
    assert named
    assert named <= set(recipe_names())


def test_the_readmes_own_recipe_is_a_valid_one(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "mine.yaml").write_text(recipe)
    config = load_config(str(tmp_path / "mine.yaml"), ["seed=2", "distill.method=kd"])
    assert str(config.run_dir) == "runs/flowers/resnet8-kd-seed2"
