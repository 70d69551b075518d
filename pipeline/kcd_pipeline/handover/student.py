"""A trained model as it is handed over: built and filled from nothing but its file of weights."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kcd_pipeline.data.preprocessing import Preprocessing
from kcd_pipeline.errors import UserError
from kcd_pipeline.handover.header import Header, parse_header
from kcd_pipeline.models import fill_model, load_weights, model_for
from kcd_pipeline.models.external import without_pretrained
from kcd_pipeline.own_parts import is_own_part, is_passed_object
from kcd_pipeline.runs import read_settings, require_run
from kcd_stores import masked, open_storage
from kcd_stores.storage.location import parent_and_name, parse_location

WEIGHTS = "weights.safetensors"  # of a run, in its folder

# arguments of timm that name other files or places: the weights are here, so none of them is looked for
ELSEWHERE = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


@dataclass(frozen=True, kw_only=True, eq=False)
class Student:
    """A trained model with all that is needed to use it; a teacher's weights give one too.

    Attributes
    ----------
    model
        `images[B, C, H, W]` float32 -> `logits[B, classes]`, in evaluation mode, on the CPU.
    preprocess
        Turns a path or a PIL picture into such an image `[C, H, W]`, as the test images were.
    classes
        Names of the classes, in the order of the logits.
    label_names
        Names that people use for the classes, if `classes` holds ids.
    facts
        The header of the weights: how the model was trained, and its accuracy.
    source
        The file that it was loaded from.
    """

    model: nn.Module = field(repr=False)
    preprocess: Preprocessing
    classes: tuple[str, ...]
    label_names: tuple[str, ...] | None
    facts: Mapping[str, Any] = field(repr=False)
    source: str

    @property
    def name(self) -> str:
        """The name of the model's architecture."""
        return str(self.facts["model"])

    def label_name(self, label: int) -> str:
        """Return the name that people use for class `label`."""
        return (self.label_names or self.classes)[label]

    def __repr__(self) -> str:
        trained, accuracy = self.facts.get("trained", {}), self.facts.get("test_accuracy")
        by = f" by {trained['method']}" if "method" in trained else ""
        reached = "" if accuracy is None else f", {accuracy:.2%} on the test set"
        shape = "x".join(map(str, self.preprocess.image_shape))
        return f"<Student {self.name}{by}: {shape} -> {len(self.classes)} classes{reached}; {self.source}>"


def load_student(path: str | Path, *, model: str | nn.Module | None = None) -> Student:
    """Load a trained model from its run folder or its file of weights; nothing else is needed, neither data nor recipe.

    Parameters
    ----------
    path
        The folder of a finished run, whose weights after the last epoch are taken, or a file of weights, a teacher's
        too, or the URL of a file of weights.
    model
        For a model of your own: the module that is filled with the weights and returned, or `package.module:callable`.
        What a file of weights names is never imported because it is named there.

    Raises
    ------
    UserError
        If there are no such weights, they do not say what is needed to use them, or they do not fit the model.
    FailedError
        If the file is damaged.
    """
    source, weights = _read(path)
    header = parse_header(weights.facts, source)
    built = _build(header, model, source)
    fill_model(built, weights.state, source=Path(source), name=f"{header.model} for {len(header.classes)} classes")
    return Student(
        model=built.eval(),
        preprocess=header.preprocessing(),
        classes=header.classes,
        label_names=header.label_names,
        facts=weights.facts,
        source=source,
    )


def _read(path: str | Path) -> tuple[str, Any]:
    """Return the place of the weights that `path` names, and their content."""
    location = parse_location(path)
    if isinstance(location, Path):
        file = weights_file(location)
        return str(file), load_weights(file)
    parent, name = parent_and_name(location)
    (content,) = open_storage(parent).fetch([name])
    if content is None:
        raise UserError(f"there are no weights at {masked(location)}. Give the URL of a file such as {WEIGHTS}.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        return masked(location), load_weights(file)


def weights_file(path: Path) -> Path:
    """Return the file of weights that `path` names: itself, or that of the finished run in this folder.

    Raises
    ------
    UserError
        If it is a folder without a run, or the run is not finished.
    """
    if path.is_file():
        return path
    folder = require_run(path)
    if not folder.finished:
        best = f", or name {folder.best_weights}, the best up to now" if folder.best_weights.is_file() else ""
        raise UserError(
            f"the run in {path} is not finished, so it has no weights after its last epoch. Finish it with "
            f"`kcd-pipeline distill`{best}."
        )
    read_settings(folder)  # what is damaged in a run is said before its weights are handed to anybody
    return folder.weights


def _build(header: Header, model: str | nn.Module | None, source: str) -> nn.Module:
    """Return the model of a header, with whatever weights it begins with."""
    if isinstance(model, nn.Module):
        return model
    if model is None and is_passed_object(header.model):
        raise UserError(
            f"the weights in {source} are those of {header.model}, a model that was passed as an object from Python. "
            f"Pass a module of that class, which is then filled with them: load_student(path, model=...)."
        )
    if model is None and is_own_part(header.model):
        raise UserError(
            f"the weights in {source} are those of {header.model}, a model of somebody's own. Its code is not imported "
            f"because a file names it: if you trust it, say so with --model-code {header.model} (in Python: "
            f"load_student(path, model=...), with this name or the module itself)."
        )
    if model is not None and not (is_own_part(model) and is_own_part(header.model)):
        raise UserError(
            f"the weights in {source} are those of {header.model}, and the code to build it was given as {model!r}. "
            f"Give package.module:callable for a model of your own, and nothing for any other."
        )
    arguments = {key: value for key, value in header.arguments.items() if key not in ELSEWHERE}
    shape = header.preprocessing().image_shape
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and replaced
        return model_for(
            model or header.model,
            image_shape=shape,
            classes=len(header.classes),
            arguments=without_pretrained(header.model, arguments),
        )
