"""The page of runs that go on: rendered when they have changed, and kept until they change again."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from kcd_pipeline.plain_text import shown_in_line
from kcd_pipeline.reports.collect import collect_runs
from kcd_pipeline.reports.collect.details import collect_details
from kcd_pipeline.reports.compute import Comparison, StudyFrame, compare
from kcd_pipeline.reports.live.watch import state_digest
from kcd_pipeline.reports.render.page import render_page
from kcd_pipeline.reports.wording import counted

SHORTEST_PAUSE = 2.0  # seconds between two renderings: epochs of small students end several times a second
PAUSE_OF_COST = 4.0  # seconds of pause for each second of the processor that a rendering took: the runs need it more

Source = Callable[[], tuple[Sequence[Path], StudyFrame | None]]


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A page as it is served.

    Attributes
    ----------
    digest
        The state of the runs that the page shows.
    html
        The page, encoded as UTF-8.
    problem
        The reason why there is no page of a newer state; None if there is no such reason.
    """

    digest: str
    html: bytes
    problem: str | None = None

    @property
    def state(self) -> bytes:
        """The answer to the page's question for news, as JSON."""
        return json.dumps({"digest": self.digest, "problem": self.problem}).encode()


class LivePage:
    """The page of the runs of a source, which any number of threads may ask for.

    It is rendered when it is asked for and the runs have changed, but not again within a pause, so that the rendering
    takes little from the runs that it shows. While a state cannot be shown, such as that of a run whose files are just
    being replaced, the page before stays, with the reason.

    Parameters
    ----------
    source
        Returns the folders of the runs, or folders that have some below them, and the study that they belong to.
    command
        The command that the foot of the page names.
    """

    def __init__(self, source: Source, *, command: str) -> None:
        self._source, self._command = source, command
        self._lock = threading.Lock()
        self._rendered: Rendered | None = None
        self._watched: Sequence[Path] = ()
        self._due = 0.0  # of time.monotonic

    def current(self) -> Rendered:
        """Return the page as it is now.

        Raises
        ------
        UserError, FailedError, StoreError
            If the runs cannot be read, and no page has been rendered yet.
        """
        with self._lock:
            before = self._rendered
            if before is not None and time.monotonic() < self._due:
                return before
            if before is not None and state_digest(self._watched) == before.digest:
                return before
            began = time.thread_time()  # on a busy machine, much less than the time that passes
            try:
                self._rendered = self._render()
            except Exception as error:  # whatever a run that is being written leads to: the next look may see it whole
                if before is None:
                    raise
                problem = shown_in_line(str(error))
                self._rendered = Rendered(digest=before.digest, html=before.html, problem=problem)
            cost = 0.0 if before is None else time.thread_time() - began  # the first one also loads libraries
            self._due = time.monotonic() + max(SHORTEST_PAUSE, PAUSE_OF_COST * cost)
            return self._rendered

    def _render(self) -> Rendered:
        folders, frame = self._source()
        self._watched = [*folders, *(folder for arm in frame.arms for folder in arm.folders)] if frame else folders
        digest = state_digest(self._watched)  # before they are read: what is written meanwhile is on the next page
        found = collect_runs(folders, live=True)
        comparison = compare(found.finished, found.unfinished, frame)
        details = collect_details([arm.first for arm in comparison.arms], comparison.runs)
        live = _script(digest, _progress(comparison))
        html = render_page(comparison, details, command=self._command, live=live)
        return Rendered(digest=digest, html=html.encode())


def _progress(comparison: Comparison) -> str:
    """Return a sentence on how far the runs are."""
    done, begun = len(comparison.runs), len(comparison.unfinished)
    if comparison.planned is None:
        return f"{counted(done, 'run')} finished and {begun} not finished."
    runs = counted(comparison.planned, "run")
    return f"{done} of {runs} finished, {begun} begun and {comparison.not_begun} not begun."


def _script(digest: str, progress: str) -> str:
    """Return the JavaScript that asks for news."""
    facts = json.dumps({"digest": digest, "progress": progress}).replace("<", "\\u003c")
    asset = files("kcd_pipeline.reports.render").joinpath("assets", "live.js")
    return f"const served = {facts};\n{asset.read_text(encoding='utf-8')}"
