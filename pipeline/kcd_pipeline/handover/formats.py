"""The formats in which a trained model is written for others: ONNX, torch's exported program, safetensors.

Each writes a file that takes batches of any size, as `Preprocessing` makes them, and holds the facts of the model's
weights: classes, size of images, normalisation, how it was trained.

Letters: B images, C classes, K channels, H and W pixels.
"""

import copy
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.handover.student import Student, load_student
from kcd_pipeline.models import save_weights
from kcd_pipeline.models.weights import FACTS

IMAGES, LOGITS = "images", "logits"  # names of input and output in ONNX
EXTRA_FILE = f"{FACTS}.json"  # of the facts, in an exported program

Runs = Callable[[Tensor], Tensor]  # the written file: images [B, K, H, W] -> logits [B, C]
Write = Callable[[Student, Path], Runs]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format: the ending of its files, and what returns the function that writes one, or says what that needs."""

    suffix: str
    writer: Callable[[], Write]


# --- ONNX ------------------------------------------------------------------------------------------------


def _onnx_writer() -> Write:
    """Return the function that writes ONNX.

    Raises
    ------
    UserError
        If a library is missing.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch's exporter is made of it
    except ModuleNotFoundError as error:
        raise UserError(
            f"--format onnx needs {error.name}, which is not installed. In the checkout of kcd-pipeline: pip install "
            f'-e ".[onnx]"'
        ) from error

    def write(student: Student, file: Path) -> Runs:
        with _export_failures("ONNX"):
            program = torch.onnx.export(
                student.model,
                (_example(student),),
                dynamo=True,
                input_names=[IMAGES],
                output_names=[LOGITS],
                dynamic_shapes=(_any_batch(),),
                verbose=False,
            )
            assert program is not None
            program.model.metadata_props.update(_as_texts(student))
            program.save(str(file), external_data=False)
            session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return lambda images: torch.from_numpy(session.run([LOGITS], {IMAGES: images.numpy()})[0])

    return write


def _as_texts(student: Student) -> dict[str, str]:
    """Return all facts as one JSON, and those that every user needs by names of their own, as ONNX has texts only."""
    keys = ("classes", "label_names", "image", "mean", "std")
    single = {key: json.dumps(student.facts[key]) for key in keys if key in student.facts}
    return {FACTS: json.dumps(student.facts), **single}


# --- torch.export ----------------------------------------------------------------------------------------


def _write_program(student: Student, file: Path) -> Runs:
    with _export_failures("a program of torch.export"):
        program = torch.export.export(student.model, (_example(student),), dynamic_shapes=(_any_batch(),))
        written = io.BytesIO()  # torch ends the process where its own writer of files meets a full disk
        torch.export.save(program, written, extra_files={EXTRA_FILE: json.dumps(student.facts)})
        file.write_bytes(written.getbuffer())
        loaded: Any = torch.export.load(file).module()
    return loaded


# --- safetensors -----------------------------------------------------------------------------------------


def _write_weights(student: Student, file: Path) -> Runs:
    """Write the weights with their header, and load the file as another would: a known model is built by its name."""
    save_weights(file, student.model, student.facts)
    loaded = load_student(file, model=copy.deepcopy(student.model) if ":" in student.name else None)
    return loaded.model


FORMATS = {
    "onnx": Format(suffix=".onnx", writer=_onnx_writer),
    "torch-export": Format(suffix=".pt2", writer=lambda: _write_program),
    "safetensors": Format(suffix=".safetensors", writer=lambda: _write_weights),
}


def _example(student: Student) -> Tensor:
    """Return two images: with one, exporters would take the size of the batch for a constant."""
    return torch.zeros(2, *student.preprocess.image_shape)


def _any_batch() -> dict[int, Any]:
    return {0: torch.export.Dim("batch")}


@contextmanager
def _export_failures(form: str) -> Iterator[None]:
    """Turn any failure of an exporter into a FailedError, and keep its own words and warnings off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (MemoryError, OSError):
        raise
    except Exception as error:  # exporters raise almost anything of a model that they cannot take
        reason = str(error).strip().partition("\n")[0]
        raise FailedError(
            f"the model cannot be written as {form}: {type(error).__name__}: {reason}. Nothing was written. Export it "
            f"in another format."
        ) from error
    finally:
        logger.setLevel(level)
