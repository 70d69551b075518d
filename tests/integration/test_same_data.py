"""The three commands on the same pictures in every form that data comes in: equal weights, rows and predictions."""

import csv
import io
import tarfile
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.support.commands import succeed
from tests.support.plain_zarr import read_array
from tests.support.tables import CLASSES, hugging_face, rows_of, save_folders, save_parquet

from kcd_pipeline.models import weights_hash

datasets.disable_progress_bars()
FORMS = ("imagefolder", "csv", "webdataset", "huggingface", "parquet", "own")


class Files(torch.utils.data.Dataset[Any]):
    """A torch dataset of the user's own over the same files."""

    classes = CLASSES

    def __init__(self, split: str, root: str) -> None:
        self.rows = rows_of(Path(root) / "imagefolder", split)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        content, label = self.rows[index]
        return Image.open(io.BytesIO(content)), label


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write equal pictures in each form, into a folder of its name."""
    root = tmp_path_factory.mktemp("forms")
    folders = save_folders(root / "imagefolder")
    hugging_face(folders).save_to_disk(str(root / "huggingface"))
    save_parquet(folders, root / "parquet")
    (root / "webdataset").mkdir()
    for split in ("train", "test"):
        with (folders / f"{split}.csv").open("w", newline="") as file:
            files = sorted((folders / split).rglob("*.jpg"))
            csv.writer(file).writerows(
                [("path", "label"), *((str(path.relative_to(folders)), path.parent.name) for path in files)]
            )
        with tarfile.open(root / "webdataset" / f"{split}-0.tar", "w") as shard:
            for number, (content, label) in enumerate(rows_of(folders, split)):
                for ending, data in (("jpg", content), ("cls", CLASSES[label].encode())):
                    member = tarfile.TarInfo(f"{number:04d}.{ending}")
                    member.size = len(data)
                    shard.addfile(member, io.BytesIO(data))
    return root


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def made(form: str, root: Path, folder: Path) -> dict[str, str]:
    """Run the three commands; return digests of what they make."""
    name = f"{__name__}:Files" if form == "own" else form
    place = {"csv": root / "imagefolder", "own": root}.get(form, root / form)
    settings = {
        "data": f"{{name: '{name}', root: {place}, on_the_fly: true, workers: 0, image_size: 32}}",
        "augmentation": "{name: resized-crop-flip}",
        "teacher": "{model: resnet8, epochs: 1, batch_size: 4}",
        "student": "{model: resnet8}",
        "distill": "{method: kd, epochs: 1, batch_size: 4}",
        "store.views": "1",
        "teacher.weights": folder / "teacher.safetensors",
        "store.path": folder / "store.zarr",
        "run": f"{{dir: {folder / 'run'}, device: cpu, threads: 1}}",
    }
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    for command in ("train-teacher", "extract-teacher", "distill"):
        succeed(command, "digits", *arguments)
    return {
        "teacher": weights_hash(load_file(folder / "teacher.safetensors")),
        "rows": read_array(folder / "store.zarr", "logits").tobytes().hex(),
        "student": weights_hash(load_file(folder / "run" / "weights.safetensors")),
        "predictions": weights_hash(load_file(folder / "run" / "predictions.safetensors")),
    }


@pytest.mark.loops
def test_teacher_rows_and_student_are_the_same_whatever_the_pictures_are_kept_in(root: Path, tmp_path: Path) -> None:
    found = {form: made(form, root, tmp_path / form) for form in FORMS}
    assert found == dict.fromkeys(FORMS, found["imagefolder"])
