"""Callables of the user's own: where they are found, what is refused by name, and when their source has changed."""

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcd_pipeline.config import Config, load_config
from kcd_pipeline.errors import UserError
from kcd_pipeline.own_parts import KINDS, load_part, part_digest

ROOT = Path(__file__).parents[2]
KEY = "condense.value"
SOURCE = "def one():\n    return 1\n\n\nclass Group:\n    two = staticmethod(lambda: 2)\n\n\nnumber = 3\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, which holds a module and a package that offers what its module `inner` defines."""
    (tmp_path / "kcd_own_module.py").write_text(SOURCE)
    (tmp_path / "kcd_own_package").mkdir()
    (tmp_path / "kcd_own_package" / "__init__.py").write_text("from kcd_own_package.inner import one\n")
    (tmp_path / "kcd_own_package" / "inner.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("kcd_own_")]:
        del sys.modules[name]


def refusal(name: str) -> str:
    with pytest.raises(UserError) as caught:
        load_part(name, KEY)
    return str(caught.value)


def test_a_module_of_the_working_folder_is_found_and_the_path_is_left_as_it_was(here: Path) -> None:
    path = list(sys.path)
    assert load_part("kcd_own_module:one", KEY)() == 1
    assert sys.path == path
    assert load_part("kcd_own_module:Group.two", KEY)() == 2


def test_what_is_missing_is_named_with_the_key_and_the_folder(here: Path) -> None:
    assert refusal("kcd_own_nowhere:one") == (
        f"there is no 'kcd_own_nowhere:one', which condense.value names: No module named 'kcd_own_nowhere'. Expected "
        f"package.module:callable, importable from the environment or from {here}."
    )
    assert "module 'kcd_own_module' has no attribute 'two'" in refusal("kcd_own_module:two")
    assert (
        refusal("kcd_own_module:number")
        == "'kcd_own_module:number', which condense.value names, is a int, expected something to call"
    )


@pytest.mark.parametrize(
    ("source", "said"), [("1 / 0", "ZeroDivisionError: division by zero"), ("raise SystemExit(3)", "SystemExit: 3")]
)
def test_a_module_that_fails_is_the_users_to_mend(here: Path, source: str, said: str) -> None:
    (here / "kcd_own_broken.py").write_text(source)
    assert said in refusal("kcd_own_broken:one")


def test_the_digest_is_that_of_the_modules_file(here: Path) -> None:
    assert part_digest("kcd_own_module:one", KEY) == hashlib.sha256(SOURCE.encode()).hexdigest()


@pytest.mark.parametrize("changed", ["__init__.py", "inner.py"])
def test_the_digest_of_what_a_package_offers_is_also_that_of_where_it_is_defined(here: Path, changed: str) -> None:
    before = part_digest("kcd_own_package:one", KEY)
    file = here / "kcd_own_package" / changed
    file.write_text(f"{file.read_text()}# changed\n")
    assert part_digest("kcd_own_package:one", KEY) != before


def test_a_part_without_a_source_file_is_refused() -> None:
    with pytest.raises(UserError, match=r"'time:sleep', which condense.value names, has no file of source"):
        part_digest("time:sleep", KEY)


# --- the registry, the page and the examples ---------------------------------------------------------------


def test_every_key_of_the_registry_is_one_of_a_recipe() -> None:
    for kind in KINDS.values():
        for key in (*kind.keys, *kind.keys.values()):
            section, name = key.split(".")[:2]
            fields = Config.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
            assert name in fields, f"{key} is no key of a recipe"


def test_the_page_shows_the_examples_as_they_stand_and_names_every_key() -> None:
    page = (ROOT / "docs" / "how-to" / "bring-your-own.md").read_text(encoding="utf-8")
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "examples" / "own_parts").glob("*.py")]
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    of_the_reader = [block for block in blocks if "check_augmentation(" in block]
    assert len(of_the_reader) == 1
    assert all(any(block in source for source in sources) for block in blocks if block not in of_the_reader)
    keys = {key for kind in KINDS.values() for key in kind.keys}
    assert sorted(key for key in keys if f"`{key}`" not in page) == []


def test_the_recipe_of_the_examples_names_every_kind_but_models() -> None:
    plain = load_config(str(ROOT / "examples" / "own_parts" / "recipe.yaml")).plain()
    text = str(plain)
    modules = {file.stem for file in (ROOT / "examples" / "own_parts").glob("*.py")} - {"__init__"}
    assert {name for name in modules if f"own_parts.{name}:" in text} == modules
