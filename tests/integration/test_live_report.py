"""A report that is served while students are trained: Chromium shows each new epoch without a click.

The server is a process of its own. The students are trained here, so that each of their epochs can wait for the page.
"""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright
from tests.support.commands import succeed
from tests.support.files import file_contents

from kcd_pipeline.training import checkpoint, recorder

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 120  # seconds for anything that is waited for, on a busy machine
NARROW = 390

pytestmark = [pytest.mark.pages, pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to show the page")]


@contextmanager
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve the report of `folder`/runs on a free port; yield the process and the page's address."""
    said = folder / "said.txt"
    command = [sys.executable, "-m", "kcd_pipeline", "report", "runs", "--serve", "--port", "0"]
    with said.open("wb") as stderr:
        server = subprocess.Popen(command, cwd=folder, stderr=stderr, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", said.read_text())):
            assert time.monotonic() < end, said.read_text()
            assert server.poll() is None, said.read_text()
            time.sleep(0.1)
        yield server, found[0]
    finally:
        server.kill()
        server.wait(PATIENCE)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": NARROW, "height": 800})
        page.set_default_timeout(1000 * PATIENCE)
        yield page
        chromium.close()


def train(run: str, *settings: str, after_epoch: Callable[[int], None]) -> None:
    """Train a student of two epochs into runs/`run`; call `after_epoch` with 1, then with 2."""
    save = checkpoint.save_checkpoint

    def save_and_look(accelerator: Any, folder: Any, epoch: int, **facts: Any) -> None:
        save(accelerator, folder, epoch, **facts)
        after_epoch(epoch + 1)

    recipe = ("data.limit_per_class=10", "store.path=none.zarr", "distill.epochs=2", f"run.dir=runs/{run}", *settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "save_checkpoint", save_and_look)
        succeed("distill", "digits", "--method", "none", *(word for each in recipe for word in ("--set", each)))


def wait_for_text(page: Page, text: str) -> None:
    page.wait_for_function("text => document.body.innerText.includes(text)", arg=text)


def wait_for_charts(page: Page) -> None:
    page.wait_for_selector("html[data-charts=drawn]")
    page.wait_for_timeout(300)  # the place moves with the charts


def violations(page: Page) -> list[str]:
    return [f"{found['id']}: {found['nodes'][0]['html']}" for found in Axe().run(page).response["violations"]]


def nothing(epoch: int) -> None:
    """Let the training go on."""


def test_the_page_follows_runs_from_before_they_begin(
    tmp_path: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    with served(tmp_path) as (server, address):
        page.goto(address)
        wait_for_text(page, "No run has been begun yet.")
        wait_for_text(page, "0 runs finished and 0 not finished.")

        def sees_the_epoch(epoch: int) -> None:
            wait_for_text(page, f"No run is finished yet, so there is nothing to compare. 1 run not finished: {epoch}")
            wait_for_charts(page)
            assert page.locator("[data-chart=accuracy-epoch] .mark-line path").count() > 0

        train("first", after_epoch=sees_the_epoch)
        train("second", "distill.lr=0.02", after_epoch=nothing)
        wait_for_text(page, "2 runs finished and 0 not finished.")
        wait_for_charts(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
        assert violations(page) == []

        page.locator("input[data-arm='1']").uncheck()
        page.locator("figure details").first.evaluate("details => { details.open = true; }")
        page.evaluate("document.querySelector('#runs').scrollIntoView()")
        top = page.locator("#runs").evaluate("section => section.getBoundingClientRect().top")

        def is_where_it_was(epoch: int) -> None:
            if epoch > 1:
                return
            wait_for_text(page, "1 run not finished: 1 of 2 epochs done.")
            wait_for_charts(page)
            assert not page.locator("input[data-arm='1']").is_checked()
            assert page.locator("figure details").first.evaluate("details => details.open")
            moved = page.locator("#runs").evaluate("section => section.getBoundingClientRect().top") - top
            assert abs(moved) < 80

        train("third", "seed=1", after_epoch=is_where_it_was)
        before = file_contents(tmp_path / "runs")
        wait_for_text(page, "3 runs finished and 0 not finished.")
        assert file_contents(tmp_path / "runs") == before, "a rendering writes nothing to the runs"

        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 130
        assert "Traceback" not in (tmp_path / "said.txt").read_text()
        wait_for_text(page, "The server does not answer")
        assert errors == []
