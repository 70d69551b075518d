"""A page in Chromium, wide and narrow, light and dark: by what is on it, not by how it is written."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from tests.support.reports import made_details, made_run

from kcd_pipeline.reports.compute import compare
from kcd_pipeline.reports.render.page import render_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ODD = "<b>$x$ & co"
WIDTHS = {"wide": 1400, "narrow": 390}

pytestmark = [
    pytest.mark.pages,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to show the page"),
]


def made_page(file: Path, *, arms: int = 4, seeds: int = 2, epochs: int = 4) -> Path:
    """Write the page of `arms` arms: none, kd, then kcd with different settings, one of which has an odd name."""
    settings: list[tuple[str, dict[str, Any]]] = [("none", {}), ("kd", {}), ("kcd", {"loss": ODD})]
    settings += [("kcd", {"lr": 0.001 * number}) for number in range(3, arms)]
    runs = [made_run(name, seed=seed, epochs=epochs, **more) for name, more in settings for seed in range(seeds)]
    comparison = compare(runs)
    details = [made_details(arm.first) for arm in comparison.arms]
    file.write_text(render_page(comparison, details, command="kcd-pipeline report runs/made"), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_page(tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


def opened(browser: Browser, file: Path, width: int = 1400, scheme: Any = "light") -> tuple[Page, list[str]]:
    """Return the page with its charts drawn, and a list to which its errors and its requests are added."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: told.append(request.url) if request.url.startswith("http") else None)
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-charts=drawn]", timeout=60_000)
    return page, told


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_every_chart_is_drawn_and_axe_finds_nothing(
    browser: Browser, page_file: Path, width: str, scheme: str
) -> None:
    page, told = opened(browser, page_file, WIDTHS[width], scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
    charts = page.locator("[data-chart]")
    assert charts.count() > 0
    for chart in charts.all():
        box = chart.locator("svg").bounding_box()
        name = chart.get_attribute("data-chart")
        assert box is not None, name
        assert 250 <= box["width"] <= WIDTHS[width], name
        assert chart.locator("[class*=mark-]:is(path, rect, line, circle), [class*=mark-] path").count() > 1, name
        assert len(chart.locator("..").get_attribute("aria-label") or "") > 30, name
    assert [f"{found['id']}: {found['nodes'][0]['html']}" for found in Axe().run(page).response["violations"]] == []
    assert told == []
    page.close()


def test_a_mark_that_is_pointed_at_shows_its_value(browser: Browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file)
    chart = page.locator("[data-chart=accuracy-epoch]")
    chart.scroll_into_view_if_needed()
    chart.locator(".mark-symbol path").last.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert re.search(r"accuracy.*\d\d\.\d", page.inner_text("#vg-tooltip-element"), re.DOTALL)
    page.close()


def test_an_arm_that_is_switched_off_leaves_the_charts_by_the_keyboard_alone(browser: Browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file)
    points = page.locator("[data-chart=accuracy-epoch] .mark-symbol path")
    drawn = points.count()
    page.locator("input[data-arm='1']").focus()
    page.keyboard.press("Space")
    page.wait_for_function(
        "n => document.querySelectorAll('[data-chart=accuracy-epoch] .mark-symbol path').length < n", arg=drawn
    )
    assert points.count() < drawn
    page.get_by_role("button", name="none", exact=True).click()
    page.wait_for_function("!document.querySelectorAll('[data-chart=accuracy-epoch] .mark-symbol path').length")
    page.get_by_role("button", name="all", exact=True).click()
    page.wait_for_function(
        "n => document.querySelectorAll('[data-chart=accuracy-epoch] .mark-symbol path').length == n", arg=drawn
    )
    page.close()


def test_a_table_sorts_by_its_headings_and_says_so(browser: Browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file)
    table = page.locator("#runs table").first
    heading = table.get_by_role("columnheader", name="test accuracy")
    column = heading.evaluate("cell => cell.cellIndex")
    cells = table.locator(f"tbody tr > :nth-child({column + 1})")
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    rising = [float(text.rstrip("%")) for text in cells.all_inner_texts()]
    assert heading.get_attribute("aria-sort") == "ascending"
    assert rising == sorted(rising)
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(text.rstrip("%")) for text in cells.all_inner_texts()] == sorted(rising, reverse=True)
    page.close()


def test_contents_lead_to_every_section_and_the_skip_link_to_the_results(browser: Browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file, WIDTHS["narrow"])
    sections = page.locator("main > section").evaluate_all("found => found.map(section => '#' + section.id)")
    links = page.locator("nav a").evaluate_all("found => found.map(link => link.getAttribute('href'))")
    assert links == sections
    for section in sections:
        page.locator(f"nav a[href='{section}']").click()
        assert page.locator(f"{section} > h2").bounding_box()["y"] < 900, section  # type: ignore[index]
    page.keyboard.press("Home")
    page.reload()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.close()


def test_a_wide_table_scrolls_by_itself_with_a_cue_and_its_first_column_stays(
    browser: Browser, page_file: Path
) -> None:
    page, _ = opened(browser, page_file, WIDTHS["narrow"])
    region = page.locator("#runs .scroll").first
    assert region.evaluate("box => box.scrollWidth > box.clientWidth")
    assert page.locator("#runs .cue").first.is_visible()
    assert region.get_attribute("tabindex") == "0"
    before = region.locator("tbody th").first.bounding_box()
    region.evaluate("box => { box.scrollLeft = 150 }")
    assert region.locator("tbody th").first.bounding_box() == before
    page.close()


def test_the_numbers_of_a_chart_are_a_table_when_asked_for(browser: Browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file)
    numbers = page.locator("[data-numbers=accuracy-epoch]")
    assert numbers.locator("table").count() == 0
    numbers.locator("summary").click()
    numbers.locator("table").wait_for()
    assert numbers.locator("tbody tr").count() == 4 * 4  # four arms, four epochs
    assert ODD in numbers.locator("tbody").inner_text()
    page.close()


def test_the_page_of_sixty_runs_is_small(browser: Browser, tmp_path: Path) -> None:
    file = made_page(tmp_path / "many.html", arms=60, seeds=1, epochs=100)
    assert file.stat().st_size < 3_000_000
    page, told = opened(browser, file)
    assert told == []
    page.close()
