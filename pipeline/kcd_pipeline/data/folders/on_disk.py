"""A split whose pictures stay on disk, each decoded when it is needed."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kcd_pipeline.augmentation import Augmentation, Frame, ViewSource
from kcd_pipeline.data.folders.listing import Listing
from kcd_pipeline.data.folders.loader import PictureViews
from kcd_pipeline.errors import UserError
from kcd_pipeline.files import write_whole

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises of damaged files


def open_picture(path: Path) -> Image.Image:
    """The picture in `path`, decoded, as RGB.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    try:
        with Image.open(path) as file:
            return file.convert("RGB")
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read as an image: {error}. Mend or remove the file.") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureSplit:
    """On disk: the pictures of `listing`, brought to `frame`, decoded by `workers` processes (0: by this one)."""

    listing: Listing
    frame: Frame
    workers: int

    def __len__(self) -> int:
        return len(self.listing)

    @cached_property
    def labels(self) -> Tensor:
        """`[N]` int64."""
        return torch.from_numpy(self.listing.labels)

    @property
    def image_shape(self) -> list[int]:
        """[3, size, size]."""
        return [3, self.frame.size, self.frame.size]

    def image(self, sample: int) -> Tensor:
        """One picture as it is evaluated: uint8 [3, size, size]."""
        return self.frame.centred(open_picture(self.listing.path(sample)))

    def view(self, sample: int, view: int, augmentation: Augmentation) -> Tensor:
        """One picture as `augmentation` shows it: uint8 [3, size, size]."""
        return augmentation.picture(open_picture(self.listing.path(sample)), self.frame, sample, view)

    def fingerprint(self, classes: Sequence[str]) -> str:
        """SHA-256 over frame, class names, and of each file in order its label and the SHA-256 of its bytes.

        Names and places of files do not count. Reading every byte of a large set takes minutes, so the result is kept
        (in `$XDG_CACHE_HOME/kcd-pipeline`, or `~/.cache/kcd-pipeline`) for as long as no file's path, size or time of
        change differs.
        """
        kept = _cache_folder() / f"fingerprint-{self._look_of_files(classes)}"
        if kept.is_file():
            return kept.read_text(encoding="ascii").strip()
        found = self._content(classes)
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, found)
        except OSError:  # a home that cannot be written to costs time, and nothing else
            pass
        return found

    def _content(self, classes: Sequence[str]) -> str:
        digest = hashlib.sha256(repr((self.image_shape, self.frame.resize, list(classes))).encode())
        with ThreadPoolExecutor() as pool:  # reading and hashing happen outside the interpreter lock
            of_files = pool.map(_file_digest, map(self.listing.path, range(len(self))))
            for label, of_file in zip(self.listing.labels.tolist(), of_files, strict=True):
                digest.update(label.to_bytes(8, "little") + of_file)
        return digest.hexdigest()

    def _look_of_files(self, classes: Sequence[str]) -> str:
        """SHA-256 over what the file system says of the files, and all that the fingerprint depends on beside them."""
        digest = hashlib.sha256(repr((str(self.listing.root.resolve()), self.frame, list(classes))).encode())
        for sample, label in enumerate(self.listing.labels.tolist()):
            path = self.listing.path(sample)
            stat = path.stat()
            digest.update(f"{label} {path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def limited(self, per_class: int) -> "PictureSplit":
        """The first `per_class` samples of each class, in the same order."""
        return replace(self, listing=self.listing.limited(per_class))

    def chosen(self, samples: NDArray[np.int64]) -> "PictureSplit":
        """The samples `samples[K]` alone, in that order."""
        return replace(self, listing=self.listing.chosen(samples))

    def views(
        self,
        augmentation: Augmentation,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        resident: str = "auto",
    ) -> ViewSource:
        """Batches of it as a model's input, decoded ahead of need; none are in memory to be `resident`."""
        return PictureViews(self, augmentation, mean=mean, std=std, device=device)


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}. Mend or remove the file.") from error


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kcd-pipeline"
