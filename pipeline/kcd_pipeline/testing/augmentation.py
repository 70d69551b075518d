"""A proof, by trying, that an augmentation can be replayed.

Letters: N images, B samples of a batch, P parameters of a view, C channels, H and W pixels.
"""

import pickle
import random
import subprocess
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.testing import elsewhere
from kcd_pipeline.testing.elsewhere import digest_of, parameters_and_views

VIEWS = (0, 1, 7, 1000)
CHILD_SECONDS = 300

Made = tuple[NDArray[Any], Tensor]  # parameters [P, N] and pixels [N, C, H, W]


class BrokenRuleError(AssertionError):
    """A rule that an augmentation breaks; the message names it."""


def check_augmentation(augmentation: Any, images: Tensor) -> None:
    """Require that the views of `augmentation` can be replayed: each is a function of (seed, sample, view) alone.

    Its parameters and pixels must be the same whatever the batch, the order, the global random states and the process;
    shape and dtype of images must be kept, and what it is given must stay as it is.

    Parameters
    ----------
    augmentation
        An object with `parameters(index, view, height, width)` and `apply(images, parameters)`, as a recipe names it
        in `augmentation.name`. It must be picklable, as worker processes need it.
    images
        `[N, C, H, W]` uint8, at least 3 of them that are not all alike, such as `torch.randint(256, (20, 3, 32, 32),
        dtype=torch.uint8)`.

    Raises
    ------
    BrokenRuleError
        If it breaks a rule; the message names it, with the view where that was seen.
    ValueError
        If `images` are no such tensor.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or len(images) < 3:
        raise ValueError(f"images are {images.dtype} {list(images.shape)}, expected uint8 [N, C, H, W], N at least 3")
    for view in VIEWS:
        whole = _require_well_formed(augmentation, images, view)
        for way, rule in WAYS.items():
            _require_same(rule, view, way(augmentation, images, view), whole)
    if images.shape[1] == 3:
        _require_same_pictures(augmentation, images)
    _require_several_views(augmentation, images)
    _require_same_elsewhere(augmentation, images)


def _require_well_formed(augmentation: Any, images: Tensor, view: int) -> Made:
    """Return parameters and views of all images as one batch; raise unless shapes are right and nothing is changed."""
    index, views = np.arange(len(images)), np.full(len(images), view)
    given, before = images.clone(), (index.copy(), views.copy())
    parameters = augmentation.parameters(index, views, *images.shape[2:])
    if not isinstance(parameters, np.ndarray) or parameters.ndim != 2 or parameters.shape[1] != len(images):
        shape = list(getattr(parameters, "shape", ())) or type(parameters).__name__
        raise BrokenRuleError(
            f"parameters returns {shape}, expected a numpy array [P, {len(images)}], a column a sample"
        )
    kept = parameters.copy()
    made = augmentation.apply(given, torch.from_numpy(parameters.copy()).to(images.device))
    if not isinstance(made, Tensor) or (made.shape, made.dtype) != (images.shape, images.dtype):
        found = f"{made.dtype} {list(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
        raise BrokenRuleError(
            f"apply returns {found} in view {view}, expected uint8 {list(images.shape)} as it was given"
        )
    if not torch.equal(given, images):
        raise BrokenRuleError(f"apply changes the images that it is given, in view {view}: it must return others")
    if not (np.array_equal(index, before[0]) and np.array_equal(views, before[1])):
        raise BrokenRuleError(f"parameters changes the arrays that it is given, in view {view}")
    return kept, made.clone()


# --- the same views in other ways ---------------------------------------------------------------------------


def _require_same(rule: str, view: int, made: Made, whole: Made) -> None:
    """Raise unless what was `made` in another way is what the `whole` batch made."""
    for name, same in (("parameters", np.array_equal(made[0], whole[0])), ("pixels", torch.equal(made[1], whole[1]))):
        if not same:
            raise BrokenRuleError(f"{rule}, view {view} has other {name}. Draw them from (seed, sample, view) alone")


def _joined(parts: list[Made]) -> Made:
    return np.concatenate([part for part, _ in parts], axis=1), torch.cat([made for _, made in parts])


def _one_by_one(augmentation: Any, images: Tensor, view: int) -> Made:
    samples = np.arange(len(images))[:, None]
    return _joined([parameters_and_views(augmentation, images, sample, view) for sample in samples])


def _in_two(augmentation: Any, images: Tensor, view: int) -> Made:
    batches = np.split(np.arange(len(images)), [len(images) // 3])
    return _joined([parameters_and_views(augmentation, images, batch, view) for batch in batches])


def _backwards(augmentation: Any, images: Tensor, view: int) -> Made:
    parameters, made = parameters_and_views(augmentation, images, np.arange(len(images))[::-1].copy(), view)
    return parameters[:, ::-1], made.flip(0)


def _amid_others(augmentation: Any, images: Tensor, view: int) -> Made:
    index = np.arange(len(images))
    parameters_and_views(augmentation, images, index, view + 1)
    return parameters_and_views(augmentation, images, index, view)


def _reseeded(augmentation: Any, images: Tensor, view: int) -> Made:
    with torch.random.fork_rng(devices=[]):
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  # the state that others draw from
        try:
            torch.manual_seed(12345)
            random.seed(12345)
            np.random.seed(12345)  # noqa: NPY002
            return parameters_and_views(augmentation, images, np.arange(len(images)), view)
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


WAYS = {
    _one_by_one: "it depends on the batch: one image at a time",
    _in_two: "it depends on the batch: as two batches in place of one",
    _backwards: "it depends on the order of the samples: backwards",
    _amid_others: "it depends on the views that were made before: after another one",
    _reseeded: "it depends on a global random state: with that seeded anew",
}


def _require_same_pictures(augmentation: Any, images: Tensor) -> None:
    """Raise unless it gives the same view of a picture again, of the size that is asked for; if it takes pictures."""
    height, width = images.shape[2:]
    picture, crop = functional.to_pil_image(images[0]), CentreCrop(size=min(height, width), resize=min(height, width))
    if hasattr(augmentation, "augment_pictures"):
        name, made = "augment_pictures", [_one_picture(augmentation, picture, crop, view) for view in (0, 1, 0)]
    elif hasattr(augmentation, "augment_picture"):
        name, made = "augment_picture", [augmentation.augment_picture(picture, crop, 0, view) for view in (0, 1, 0)]
    else:
        return
    first, _, again = made
    if (list(first.shape), first.dtype) != ([3, crop.size, crop.size], torch.uint8):
        raise BrokenRuleError(
            f"{name} returns {first.dtype} {list(first.shape)}, expected uint8 {[3, crop.size, crop.size]}"
        )
    if not torch.equal(first, again):
        raise BrokenRuleError(f"{name} gives another view 0 of sample 0 when it is asked again")


def _one_picture(augmentation: Any, picture: Image.Image, crop: CentreCrop, view: int) -> Tensor:
    """Return a view of `picture` as sample 0, drawn together with one of sample 1."""
    made: Tensor = next(augmentation.augment_pictures([picture, picture], crop, np.arange(2), view))
    return made


# --- another process, and other views -----------------------------------------------------------------------


def _require_same_elsewhere(augmentation: Any, images: Tensor) -> None:
    """Raise unless a new process, which has only a pickle of the augmentation, makes the same views."""
    try:
        sent = pickle.dumps((sys.path, pickle.dumps(augmentation), images.cpu().numpy(), VIEWS))
    except Exception as error:
        raise BrokenRuleError(
            f"it cannot be sent to another process, where workers make views: {type(error).__name__}: {error}. Define "
            f"its class at the top of a module, and keep no open file, lock or lambda in it"
        ) from error
    child = subprocess.run(
        [sys.executable, elsewhere.__file__], input=sent, capture_output=True, timeout=CHILD_SECONDS, check=False
    )
    if child.returncode:
        said = child.stderr.decode(errors="replace").strip().splitlines()
        raise BrokenRuleError(
            f"it cannot be used in another process: {said[-1] if said else 'the process died'}. Define its class in a "
            f"module that can be imported by its name, not in a notebook or a script"
        )
    if child.stdout.decode().split() != digest_of(augmentation, images.cpu(), VIEWS):
        raise BrokenRuleError(
            "it depends on the process: a new one makes other views. Do not draw from hash(), id(), the time, or a "
            "generator that is seeded when the module is imported"
        )


def _require_several_views(augmentation: Any, images: Tensor) -> None:
    """Raise if parameters are drawn and are all the same, in every view of every image."""
    index = np.arange(len(images))
    drawn = [augmentation.parameters(index, np.full(len(index), view), *images.shape[2:]) for view in VIEWS]
    if all(len(part) for part in drawn) and len({part[:, :1].tobytes() for part in drawn}) == 1 and _alike(drawn[0]):
        raise BrokenRuleError(
            "it does not look at sample or view: all of them have the same parameters. Draw from both, for example by "
            "kcd_stores.philox.draws(seed, index, view, count)"
        )


def _alike(parameters: NDArray[Any]) -> bool:
    return bool((parameters == parameters[:, :1]).all())
