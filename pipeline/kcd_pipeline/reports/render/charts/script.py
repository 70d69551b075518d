"""The JavaScript of a page: bundled once, and kept where fingerprints of data sets are kept too."""

import hashlib
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import vl_convert

from kcd_pipeline.files import cache_folder, write_whole


@cache
def javascript() -> str:
    """Return Vega, Vega-Lite, Vega-Embed and `charts.js` as one script, which loads nothing.

    Bundling takes 2 seconds. So the script is kept in a file, which is believed only if it is whole.
    """
    snippet = files("kcd_pipeline.reports.render").joinpath("assets", "charts.js").read_text(encoding="utf-8")
    made_of = hashlib.sha256(f"{version('vl-convert-python')}\n{snippet}".encode()).hexdigest()
    folder = cache_folder()
    if folder is None:
        return _bundled(snippet)
    file = folder / f"charts-{made_of}"
    script = _kept(file)
    if script is None:
        script = _bundled(snippet)
        with suppress(OSError):  # without a place, the next page takes longer, and that is all
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(file, f"{_checksum(file, script)}\n{script}")
    return script


def _bundled(snippet: str) -> str:
    script: str = vl_convert.javascript_bundle(snippet)
    return script


def _kept(file: Path) -> str | None:
    """Return the script in `file`, or None if there is none, or the file is not as it was written."""
    try:
        checksum, _, script = file.read_bytes().decode(errors="replace").partition("\n")
    except OSError:
        return None
    return script if checksum == _checksum(file, script) else None


def _checksum(file: Path, script: str) -> str:
    return hashlib.sha256((file.name + script).encode()).hexdigest()
