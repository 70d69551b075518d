"""A trained model in a format that others load: written, compared with torch's outputs on real images, then kept.

Letters: n images, C classes.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kcd_pipeline.augmentation import Identity
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.handover.evaluation import data_of, recorded_config
from kcd_pipeline.handover.formats import FORMATS, Runs
from kcd_pipeline.handover.pictures import find_pictures, images_of_dataset
from kcd_pipeline.handover.student import Student
from kcd_stores.storage.durable import flush_to_disk

COMPARED = 16  # images: a moment for any model, and enough to see that a batch of any size is taken
TOLERANCE = 1e-4  # of the largest logit: float32 in another order of summation differs by a hundredth of this


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written and compared.

    Attributes
    ----------
    difference
        The largest absolute difference of its logits from torch's.
    largest
        The largest absolute logit of torch.
    images
        Number of real images that both were shown.
    """

    file: Path
    difference: float
    largest: float
    images: int


def export_student(
    student: Student, path: Path, to: Path, *, form: str, pictures: Sequence[Path] = (), overwrite: bool = False
) -> Exported:
    """Write `student`, which was loaded from `path`, to the file `to`; nothing is left there if anything fails.

    Parameters
    ----------
    form
        A name of `FORMATS`.
    pictures
        Files or folders to compare on. Without them, test images of the run that `path` belongs to are taken.

    Raises
    ------
    UserError
        If the file exists, the format needs an extra that is not installed, or there are no images to compare on.
    FailedError
        If the model cannot be written in this format, or the file's outputs are not the model's.
    """
    if to.exists() and not overwrite:
        raise UserError(f"{to} exists. Give another file by -o, or replace it by --overwrite.")
    if not to.parent.is_dir():
        raise UserError(f"there is no folder {to.parent}, in which {to.name} should be written. Make it first.")
    if others := [name for name, other in FORMATS.items() if to.suffix == other.suffix and name != form]:
        raise UserError(
            f"{to} has the ending of the format {others[0]}, and --format is {form}, whose files end in "
            f"{FORMATS[form].suffix}. Change one of them."
        )
    write = FORMATS[form].writer()
    images = _real_images(student, path, pictures)
    with _errors_name(to), tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}-") as folder:
        draft = Path(folder) / to.name
        runs = write(student, draft)
        difference, largest = _largest_difference(student, runs, images, form)
        _keep(draft, to)
    return Exported(file=to, difference=difference, largest=largest, images=len(images))


def _real_images(student: Student, path: Path, pictures: Sequence[Path]) -> Tensor:
    """Return up to COMPARED images, spread over those that there are, as the model takes them: `[n, ...]`."""
    if pictures:
        found = find_pictures(pictures)
        return student.preprocess.batch([found[place] for place in _spread(len(found))])
    config = recorded_config(path)
    if config is None:
        raise UserError(
            f"{student.source} does not belong to a run whose test images could be taken, and the exported model is "
            f"compared with the model on real images. Name pictures, or a folder of them, by --images."
        )
    try:
        test = images_of_dataset(data_of(config, trusted=False), student).dataset.test
    except (UserError, FailedError) as error:
        raise UserError(
            f"the test images of the run in {path}, on which the exported model would be compared with the model, "
            f"cannot be had: {error} Name pictures, or a folder of them, by --images."
        ) from error
    preprocess = student.preprocess
    views = test.views(Identity(), mean=preprocess.mean, std=preprocess.std, device=torch.device("cpu"))
    return views.batch(np.array(_spread(len(views))), 0)


def _spread(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, COMPARED).astype(int)).tolist()


@torch.inference_mode()
def _largest_difference(student: Student, runs: Runs, images: Tensor, form: str) -> tuple[float, float]:
    """Return the largest difference between both logits, in a batch of all images and of one, and the largest logit.

    Raises
    ------
    FailedError
        If they differ by more than rounding, or are not finite.
    """
    worst, largest = 0.0, 0.0
    batches = (images if len(images) > 1 else images.repeat(2, 1, 1, 1), images[:1])
    for batch in batches:
        expected = student.model(batch).float()
        found = runs(batch.contiguous())
        if found.shape != expected.shape:
            raise FailedError(
                f"the model as {form} gives {list(found.shape)} for {len(batch)} images, expected "
                f"{list(expected.shape)}. Nothing was written. Export it in another format."
            )
        worst = max(worst, float((found - expected).abs().max()))
        largest = max(largest, float(expected.abs().max()))
    if not worst <= TOLERANCE * max(largest, 1.0):
        raise FailedError(
            f"the model as {form} does not give what it gives in torch: on {len(images)} images logits differ by up to "
            f"{worst:.2g}, and at most {TOLERANCE * max(largest, 1.0):.2g} are rounding. Nothing was written. Export "
            f"it in another format, or with another version of the library."
        )
    return worst, largest


@contextmanager
def _errors_name(to: Path) -> Iterator[None]:
    """Have errors of the system, such as a full disk, name the file `to`, and not a draft of it or nothing."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(to)) from error


def _keep(draft: Path, to: Path) -> None:
    """Give a finished file its name, durably."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(to)
    flush_to_disk(to.parent)
