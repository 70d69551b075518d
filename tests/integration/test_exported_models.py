"""Exported models: read by other programs alone, which find in the file what they need, or nothing is left behind."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.support.commands import run_command, succeed
from tests.support.handed_over import handed_over, small_set
from torch import Tensor

from kcd_pipeline.errors import FailedError
from kcd_pipeline.handover import Student, load_student
from kcd_pipeline.handover.exporting import export_student
from kcd_pipeline.handover.formats import FORMATS
from kcd_pipeline.models import build_model, save_weights


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights with a header, and pictures of several sizes."""
    handed_over(tmp_path, small_set())
    draw = np.random.default_rng(1)
    (tmp_path / "pictures").mkdir()
    for name, (height, width) in {"a": (8, 8), "b": (20, 31), "c": (50, 9)}.items():
        Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            tmp_path / f"pictures/{name}.png"
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(home: Path) -> tuple[Student, Tensor, Tensor]:
    """Return the student, five images, and its logits for them."""
    student = load_student(home / "weights.safetensors")
    images = student.preprocess.batch([home / f"pictures/{name}.png" for name in "abcab"])
    with torch.inference_mode():
        return student, images, student.model(images)


@pytest.mark.loops
def test_onnx_runs_without_torch_and_says_what_it_takes(home: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    told = succeed("export", "weights.safetensors", "--format", "onnx", "--images", "pictures")
    assert "weights.onnx: resnet8 as onnx" in told
    assert "On 3 real images its logits differ from torch's by at most" in told
    session = onnxruntime.InferenceSession("weights.onnx", providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("images", "tensor(float)", [3, 8, 8])
    student, images, expected = shown(home)
    for count in (1, 2, 5):
        (found,) = session.run(["logits"], {"images": images[:count].numpy()})
        assert np.allclose(found, expected[:count], atol=1e-5)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["kcd"]) == student.facts
    assert json.loads(metadata["classes"]) == ["a", "b", "c"]
    assert json.loads(metadata["mean"]) == [0.4, 0.5, 0.6]
    assert json.loads(metadata["image"]) == {"channels": 3, "height": 8, "width": 8, "resize": None}


@pytest.mark.loops
def test_an_exported_program_takes_any_batch_and_says_what_it_takes(home: Path) -> None:
    succeed("export", "weights.safetensors", "--format", "torch-export", "-o", "student.pt2", "--images", "pictures")
    extra = {"kcd.json": ""}
    program: Any = torch.export.load("student.pt2", extra_files=extra).module()
    student, images, expected = shown(home)
    for count in (1, 2, 5):
        assert torch.allclose(program(images[:count]), expected[:count], atol=1e-6)
    assert json.loads(extra["kcd.json"]) == student.facts


def test_a_file_whose_outputs_are_others_is_not_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = load_student(home / "weights.safetensors")

    def write(student: Student, file: Path) -> Any:
        file.write_bytes(b"written")
        return lambda images: student.model(images) + 0.01

    monkeypatch.setitem(FORMATS, "safetensors", type(FORMATS["onnx"])(suffix=".x", writer=lambda: write))
    before = sorted(home.iterdir())
    with pytest.raises(FailedError, match=r"on 3 images logits differ by up to 0.01, and at most .* are rounding"):
        export_student(
            student, home / "weights.safetensors", home / "out.x", form="safetensors", pictures=[home / "pictures"]
        )
    assert sorted(home.iterdir()) == before


@pytest.mark.loops
def test_a_model_that_cannot_be_exported_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "odd.py").write_text(
        "import torch\n"
        "class Odd(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(192, 3)\n"
        "    def forward(self, images):\n"
        "        logits = self.layer(images.flatten(1))\n"
        "        return logits if float(logits.sum()) > 0 else -logits\n"
    )
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    facts = load_student("weights.safetensors").facts
    model = build_model("odd:Odd", channels=3, classes=3)
    save_weights(home / "odd.safetensors", model, {**facts, "model": "odd:Odd"})
    before = sorted(home.iterdir())
    words = ("export", "odd.safetensors", "--images", "pictures", "--model-code", "odd:Odd", "--format")
    ended = run_command(*words, "torch-export")
    assert (ended.exit_code, "cannot be written as a program of torch.export" in ended.output) == (1, True)
    assert sorted(home.iterdir()) == before
    assert "odd.safetensors exists" in run_command(*words, "safetensors").output
    assert "as safetensors" in succeed(*words, "safetensors", "-o", "other.safetensors")


def test_a_library_that_is_missing_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    ended = run_command("export", "weights.safetensors", "--format", "onnx", "--images", "pictures")
    assert ended.exit_code == 2
    assert "needs onnxruntime, which is not installed" in ended.output
    assert '".[onnx]"' in ended.output


@pytest.mark.loops
def test_a_program_on_a_full_disk_fails_in_words_and_does_not_end_the_process(home: Path) -> None:
    # torch's own writer of files calls std::terminate there
    draft = home / "draft.pt2"
    draft.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        FORMATS["torch-export"].writer()(load_student(home / "weights.safetensors"), draft)


def test_the_ending_of_another_format_is_refused(home: Path) -> None:
    told = run_command("export", "weights.safetensors", "--format", "onnx", "--images", "pictures", "-o", "a.pt2")
    assert (
        "a.pt2 has the ending of the format torch-export, and --format is onnx, whose files end in .onnx" in told.stderr
    )
    assert not (home / "a.pt2").exists()
