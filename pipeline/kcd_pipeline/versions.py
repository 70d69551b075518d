"""The versions of the software that numbers depend on, as stores, runs and weights record them."""

import platform
import re
from importlib.util import find_spec
from pathlib import Path

import numpy
import PIL
import torch
import zarr

from kcd_pipeline import __version__


def software_versions() -> dict[str, str]:
    """Return the versions of all software that the last bits of a row or of a weight may depend on."""
    return {
        "kcd-pipeline": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": _torchvision_version(),
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "zarr": zarr.__version__,
    }


def _torchvision_version() -> str:
    """Return `torchvision.__version__`, build included, from the file that sets it: importing takes seconds."""
    spec = find_spec("torchvision")
    file = Path("" if spec is None or spec.origin is None else spec.origin).with_name("version.py")
    found = re.search(r"^__version__ = '([^']+)'", file.read_text(encoding="utf-8"), re.M) if file.is_file() else None
    if found is None:
        import torchvision

        return str(torchvision.__version__)
    return found[1]
