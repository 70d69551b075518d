"""The page of real, tiny runs."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.runs import forget_record
from tests.support.tiny_runs import ODD_NAME, SECTIONS, kcd


@pytest.fixture(scope="module")
def page(play: SimpleNamespace) -> Path:
    """The page of the runs on one store and of a run with an awkward name, in a folder that did not exist."""
    html: Path = play.folder / "pages" / "new" / "report.html"
    result = kcd("report", *play.runs, play.folder / ODD_NAME, "--html", html)
    assert result.exit_code == 0, result.output
    return html


class Loads(HTMLParser):
    """Collects the addresses that a page would fetch, its ids, and the ids that its `#` references name."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.named: set[str] = set()
        self.tags: list[str] = []
        self.style = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("src", "href", "xlink:href", "srcset", "data", "poster", "action"):
                if (value or "").startswith("#"):
                    self.named.add((value or "")[1:])
                else:
                    self.fetched.append(value or "")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "style":
            self.style += data


def test_page_holds_everything_and_may_fetch_nothing(page: Path) -> None:
    text = page.read_text()
    loads = Loads()
    loads.feed(text)
    assert loads.fetched == []
    assert not {"link", "iframe", "object", "base", "img"} & set(loads.tags)
    assert 'content="default-src &#39;none&#39;; script-src &#39;sha256-' in text
    assert all(target.startswith("data:image/webp;base64,") for target in re.findall(r"url\(([^)]*)\)", loads.style))
    assert "@import" not in loads.style
    assert len(loads.ids) == len(set(loads.ids))
    assert loads.named <= set(loads.ids)
    assert set(SECTIONS) <= set(loads.ids)
    assert text.count('class="picture p-') == 3 * 24  # 12 at either end of three arms


def test_page_names_its_runs_and_escapes_them(page: Path) -> None:
    text = page.read_text()
    for name in ("kcd0", "kcd1", "kd", "none"):
        assert f"</svg>{name}</th>" in text
    assert "kd &lt;b&gt;$x$ &amp; co" in text
    assert "<b>$x$" not in text
    assert "same seed 0" in text  # the copy is told


def test_the_same_runs_give_the_same_page(page: Path, play: SimpleNamespace) -> None:
    before = page.read_bytes()
    assert kcd("report", *play.runs, play.folder / ODD_NAME, "--html", page).exit_code == 0
    assert page.read_bytes() == before


def test_page_without_its_data_set_says_so(play: SimpleNamespace, tmp_path: Path) -> None:
    run = shutil.copytree(play.folder / "none", tmp_path / "moved")
    forget_record(run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(
        config.replace("name: digits\n", "name: fashion-mnist\n").replace("root: data\n", f"root: {tmp_path}\n")
    )
    html = tmp_path / "page.html"
    assert kcd("report", run, "--html", html).exit_code == 0
    assert "The pictures cannot be shown: fashion-mnist is not in" in html.read_text()
    assert 'class="picture' not in html.read_text()


def test_page_of_another_data_set_shows_no_wrong_pictures(play: SimpleNamespace, tmp_path: Path) -> None:
    run = shutil.copytree(play.folder / "none", tmp_path / "changed")
    forget_record(run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("limit_per_class: 20", "limit_per_class: 19"))
    html = tmp_path / "page.html"
    assert kcd("report", run, "--html", html).exit_code == 0
    assert "values of 200 samples, but 190 are found now" in html.read_text()
