"""The report served while runs go on: the same page, rendered anew as epochs end."""

from pathlib import Path

from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import keep_quiet, say
from kcd_pipeline.reports.live.page import LivePage, Source
from kcd_pipeline.reports.live.server import LiveServer

__all__ = ["Source", "serve"]


def serve(source: Source, *, command: str, port: int) -> None:
    """Serve the page of runs on 127.0.0.1 until the process is asked to end. Nothing is written.

    Parameters
    ----------
    source
        Returns the folders of the runs, or folders that have some below them, and the study that they belong to.
    command
        The command that the foot of the page names.
    port
        The port; 0 for any that is free.

    Raises
    ------
    UserError
        If a folder is not there or holds something else than runs, or if the port cannot be had.
    FailedError, StoreError
        If a run cannot be read.
    """
    folders, frame = source()
    missing = [folder for folder in folders if not folder.exists()]
    if frame is None and missing:
        raise UserError(
            f"there is nothing at {missing[0]} (in {Path.cwd()}). Give the folders of runs, or a folder in which runs "
            f"are being made."
        )
    page = LivePage(source, command=command)
    with LiveServer(page, port) as server:
        page.current()  # what is wrong from the beginning ends the command
        say(f"The report is at {server.address} and follows the runs. Ctrl-C ends the serving, not the runs.")
        keep_quiet()  # what reading a run says is said once, not at every rendering
        server.serve_forever()
