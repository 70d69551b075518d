"""A report that is served while a student is trained: Chromium shows new epochs without a click."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from tests.support.files import file_contents

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 120  # seconds for anything that is waited for, on a busy machine
RECIPE = ("--method", "none", "--set", "data.limit_per_class=20", "--set", "store.path=none.zarr")

pytestmark = [pytest.mark.pages, pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to show the page")]


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kcd_pipeline", *words]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def train(folder: Path, name: str, epochs: int) -> subprocess.Popen[str]:
    return start(
        folder, "distill", "digits", *RECIPE, "--set", f"run.dir=runs/{name}", "--set", f"distill.epochs={epochs}"
    )


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@contextmanager
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve the report of `folder`/runs on a free port; yield the process and the page's address."""
    server = start(folder, "report", "runs", "--serve", "--port", "0")
    try:
        assert server.stderr is not None
        line = server.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line + server.stderr.read()
        yield server, found[0]
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


def epochs_shown(page: Page) -> int:
    """Return the epochs done that the page shows of its one unfinished run; 0 if it shows none."""
    found = re.search(r"(\d+) of 300", page.locator("#runs").inner_text())
    return int(found[1]) if found else 0


def wait_for_text(page: Page, text: str) -> None:
    page.wait_for_function("text => document.body.innerText.includes(text)", arg=text, timeout=1000 * PATIENCE)


def test_the_page_follows_runs_from_before_they_begin(tmp_path: Path, browser: Browser) -> None:
    (tmp_path / "runs").mkdir()
    with served(tmp_path) as (server, address):
        page = browser.new_page(viewport={"width": 390, "height": 800})
        told: list[str] = []
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto(address)
        assert "0 runs finished" in page.locator("aside.live").inner_text()

        run = train(tmp_path, "long", epochs=300)
        try:
            wait_for(lambda: epochs_shown(page) > 0, "an epoch on the page")
            seen = epochs_shown(page)
            wait_for(lambda: epochs_shown(page) > seen, "a later epoch on the page")
        finally:
            run.send_signal(signal.SIGTERM)
            run.communicate(timeout=PATIENCE)
        assert (tmp_path / "runs" / "long" / "metrics.jsonl").is_file()
        page.wait_for_selector("[data-chart=accuracy-epoch] svg", timeout=1000 * PATIENCE)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert [found["id"] for found in Axe().run(page).response["violations"]] == []

        short = train(tmp_path, "short", epochs=1)
        assert short.communicate(timeout=PATIENCE)[0] is None
        assert short.returncode == 0
        wait_for_text(page, "1 run finished")
        before = file_contents(tmp_path / "runs")
        page.evaluate("document.querySelector('#runs').scrollIntoView()")
        numbers = page.locator("details").first
        numbers.evaluate("details => { details.open = true; }")
        top = page.locator("#runs").evaluate("section => section.getBoundingClientRect().top")
        os.utime(tmp_path / "runs" / "short" / "config.yaml")
        page.evaluate("window.old = true")
        page.wait_for_function("!window.old", timeout=1000 * PATIENCE)
        page.wait_for_selector("html[data-charts=drawn]", timeout=1000 * PATIENCE)
        page.wait_for_timeout(500)
        assert page.locator("details").first.evaluate("details => details.open"), "what was open stays open"
        moved = page.locator("#runs").evaluate("section => section.getBoundingClientRect().top") - top
        assert abs(moved) < 80, "the reader's place stays"
        assert file_contents(tmp_path / "runs") == before, "nothing is written to the runs"

        assert told == []
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=PATIENCE)
        assert server.returncode == 130
        assert "Traceback" not in said
        wait_for_text(page, "The server does not answer")
        page.close()
