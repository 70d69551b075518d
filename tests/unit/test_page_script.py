"""The script of a page is bundled once, and kept; a file that is not as it was written is made anew."""

from pathlib import Path
from unittest.mock import patch

import pytest
import vl_convert

from kcd_pipeline.reports.render.charts.script import javascript


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "kcd-pipeline"


def made() -> tuple[str, int]:
    """Return the script as a new process would get it, and how often it was bundled."""
    with patch.object(vl_convert, "javascript_bundle", return_value="draw('é')\n") as bundle:
        return javascript.__wrapped__(), bundle.call_count


def test_it_is_bundled_once(cache: Path) -> None:
    assert [made(), made()] == [("draw('é')\n", 1), ("draw('é')\n", 0)]
    assert len(list(cache.iterdir())) == 1


def test_another_version_bundles_its_own(cache: Path) -> None:
    made()
    with patch("kcd_pipeline.reports.render.charts.script.version", return_value="0.0"):
        assert made() == ("draw('é')\n", 1)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data.replace(b"draw", b"steal"), lambda _: b""]
)
def test_a_file_that_was_changed_is_made_anew(cache: Path, change: object) -> None:
    assert callable(change)
    made()
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(change(whole))
    assert made() == ("draw('é')\n", 1)
    assert file.read_bytes() == whole


def test_without_a_place_it_is_bundled_each_time(cache: Path) -> None:
    cache.write_text("no folder")
    assert [made(), made()] == [("draw('é')\n", 1), ("draw('é')\n", 1)]
