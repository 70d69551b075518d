"""The versions of the software that numbers depend on, as stores, runs and weights record them."""

import platform
from importlib.metadata import version

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
        "torchvision": version("torchvision"),
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "zarr": zarr.__version__,
    }
