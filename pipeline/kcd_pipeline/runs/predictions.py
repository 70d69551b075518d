"""The predictions of a finished run on the test set, from which top-5 and per-class accuracy and confusion follow."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from kcd_pipeline.errors import DamagedError
from kcd_pipeline.files import write_whole

DTYPE = np.dtype(np.int32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Classes that a student found likeliest for each of N test images.

    Attributes
    ----------
    likeliest
        `[N, k]` int32: likeliest first; k is 5, or the number of classes if there are fewer.
    labels
        `[N]` int32: the true classes.
    """

    likeliest: NDArray[np.int32]
    labels: NDArray[np.int32]

    def __post_init__(self) -> None:
        found = (self.likeliest.dtype, self.labels.dtype, self.likeliest.shape[:1], self.likeliest.ndim)
        if found != (DTYPE, DTYPE, self.labels.shape, 2):
            raise ValueError(
                f"expected likeliest [N, k] and labels [N], both int32, found {list(self.likeliest.shape)} "
                f"{self.likeliest.dtype} and {list(self.labels.shape)} {self.labels.dtype}"
            )

    def write(self, path: Path) -> None:
        """Write the file at `path`, whole or not at all."""
        write_whole(path, save({"likeliest": self.likeliest, "labels": self.labels}))


def read_predictions(path: Path, *, sha256: str | None = None) -> Predictions | None:
    """Return the predictions at `path`; None if there are none and none were recorded, as in the runs of version 0.1.

    Parameters
    ----------
    sha256
        The SHA-256 of the file, in hex, that the run recorded.

    Raises
    ------
    DamagedError
        If the file cannot be read or is not what was written, or a recorded one is missing.
    """
    try:
        content = path.read_bytes()
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("its SHA-256 is not the one in summary.json")
        arrays = load(content)
        return Predictions(likeliest=arrays["likeliest"], labels=arrays["labels"])
    except FileNotFoundError as error:
        if sha256 is None:
            return None
        raise DamagedError(f"{path} is missing, but summary.json records it. Restore it from a copy.") from error
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise DamagedError(f"{path} does not hold the predictions of a run: {error}.") from error
