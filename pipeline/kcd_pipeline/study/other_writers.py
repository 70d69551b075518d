"""Other processes that write where a study is about to write, such as commands of one that was killed just now."""

import time
from pathlib import Path

from kcd_pipeline.progress import say
from kcd_pipeline.study.commands import PATIENCE_SECONDS
from kcd_stores import StoreError, StoreInUseError, masked, one_writer

LOOK_SECONDS = 0.5


class OtherWriters:
    """Waits for other processes to end, while they may still be commands of a study that was killed.

    Those end by themselves within PATIENCE_SECONDS of the kill. A process that goes on for longer is somebody else's,
    and the command that needs the place then says so.
    """

    def __init__(self) -> None:
        self._until = time.monotonic() + PATIENCE_SECONDS
        self._said: set[str] = set()

    def hold(self, where: str | Path) -> bool:
        """Return True if another process writes the run or store at `where` and may still end soon."""
        if time.monotonic() > self._until or not _is_written(where):
            return False
        place = masked(str(where))
        if place not in self._said:
            self._said.add(place)
            say(f"another process is writing {place}: waiting for it to end")
        return True

    def wait_for(self, where: str | Path) -> None:
        """Wait until no other process writes at `where`, or there is no hope that it ends soon."""
        while self.hold(where):
            time.sleep(LOOK_SECONDS)


def _is_written(where: str | Path) -> bool:
    try:
        with one_writer(where):
            return False
    except StoreInUseError:
        return True
    except StoreError:  # the command that writes there says what is wrong
        return False
