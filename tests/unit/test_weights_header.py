"""Headers of weights: what they say, what is refused, and that a picture becomes what evaluation sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.support.handed_over import handed_over, small_set
from torchvision.transforms import v2

from kcd_pipeline.augmentation import CentreCrop, Identity
from kcd_pipeline.config import DataConfig, StudentConfig
from kcd_pipeline.data import load_dataset
from kcd_pipeline.data.preprocessing import Preprocessing
from kcd_pipeline.errors import UserError
from kcd_pipeline.handover import load_student, student
from kcd_pipeline.handover.header import parse_header
from kcd_pipeline.models import build_model, load_weights
from kcd_pipeline.training.facts import weights_facts
from kcd_stores import open_storage


def test_the_header_says_all_that_is_needed(tmp_path: Path) -> None:
    crop = CentreCrop(size=8, resize=10)
    dataset = small_set(label_names=("ant", "bee", "cat"), crop=crop, reading={"exif": True})
    facts = load_weights(handed_over(tmp_path, dataset, epoch=1, test_accuracy=0.5)).facts
    assert facts["model"] == "resnet8"
    assert (facts["classes"], facts["label_names"]) == (["a", "b", "c"], ["ant", "bee", "cat"])
    assert (facts["mean"], facts["std"]) == ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])
    assert facts["image"] == {"channels": 3, "height": 8, "width": 8, "resize": 10, "exif": True}
    trained = facts["trained"]
    assert {key: trained[key] for key in ("method", "epochs", "seed", "store", "teacher")} == {
        "method": "kd", "epochs": 2, "seed": 7, "store": "s1", "teacher": "resnet20",
    }  # fmt: skip
    assert trained["dataset"]["fingerprint"] == dataset.description["fingerprint"]
    assert trained["software"]["torch"] == torch.__version__


def test_a_student_is_loaded_from_its_weights_alone(tmp_path: Path) -> None:
    file = handed_over(tmp_path, small_set(), test_accuracy=0.5)
    before = torch.random.get_rng_state()
    loaded = load_student(str(file))
    assert torch.equal(torch.random.get_rng_state(), before), "the caller's generator is left alone"
    assert not loaded.model.training
    assert loaded.classes == ("a", "b", "c")
    state = load_weights(file).state
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.model.state_dict().items())
    assert repr(loaded) == f"<Student resnet8 by kd: 3x8x8 -> 3 classes, 50.00% on the test set; {file}>"


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK"])
def test_a_picture_becomes_what_torchvision_makes_of_it(mode: str) -> None:
    values = np.random.default_rng(3).integers(0, 256, (30, 21, 3), dtype=np.uint8)
    picture = Image.fromarray(values).convert(mode)
    expected = v2.Compose(
        [
            v2.Resize(12),
            v2.CenterCrop(9),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.4, 0.5, 0.6], [0.2, 0.25, 0.3]),
        ]
    )(picture.convert("RGB"))
    preprocess = Preprocessing(image_shape=(3, 9, 9), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), resize=12)
    torch.testing.assert_close(preprocess(picture), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", ["digits", "grey", "colours"])
def test_the_image_of_a_data_set_as_a_file_is_the_tensor_of_its_evaluation(tmp_path: Path, name: str) -> None:
    dataset = load_dataset(DataConfig(name="digits")) if name == "digits" else small_set(1 if name == "grey" else 3)
    pixels = dataset.test.image(5).permute(1, 2, 0).numpy()
    file = tmp_path / "image.png"
    Image.fromarray(pixels[..., 0] if dataset.channels == 1 else pixels).save(file)
    shown = dataset.test_views(Identity(), torch.device("cpu")).batch(np.array([5]), 0)[0]
    preprocess = Preprocessing.of(dataset)
    assert torch.equal(preprocess(file), shown)
    assert torch.equal(preprocess(Image.open(file)), shown)


@pytest.mark.parametrize("on_the_fly", [True, False])
@pytest.mark.parametrize(("name", "resize"), [("imagefolder", 14), ("imagenet", 16)])
def test_a_file_of_a_folder_is_prepared_as_its_evaluation_does(
    tmp_path: Path, name: str, resize: int, on_the_fly: bool
) -> None:
    """ImageNet's 224 of 256 pixels are 14 of 16. Sizes differ, and one picture is to be turned by its EXIF."""
    draw, files = np.random.default_rng(2), []
    for part in ("train", "val"):
        for label, size in {"a": (40, 30), "b": (17, 60)}.items():
            (tmp_path / part / label).mkdir(parents=True)
            files.append(tmp_path / part / label / "1.jpg")
            turned = Image.Exif()
            turned[0x0112] = 6 if label == "b" else 1  # to be turned by 90 degrees
            Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)).save(files[-1], exif=turned)
    settings = {"root": tmp_path, "image_size": 14, "on_the_fly": on_the_fly, "exif": True, "workers": 0}
    dataset = load_dataset(DataConfig.model_validate({"name": name, **settings}))
    facts = weights_facts(StudentConfig(model="resnet8"), dataset, method="none", epochs=1, seed=0)
    assert facts["image"] == {"channels": 3, "height": 14, "width": 14, "resize": resize, "exif": True}
    preprocess = parse_header(facts, "a test").preprocessing()
    shown = dataset.test_views(Identity(), torch.device("cpu")).batch(np.arange(2), 0)
    assert torch.equal(preprocess.batch(files[2:]), shown)


def test_weights_are_loaded_from_a_url(tmp_path: Path) -> None:
    file = handed_over(tmp_path, small_set())
    open_storage("memory://handed-over").put("weights.safetensors", file.read_bytes())
    loaded = load_student("memory://handed-over/weights.safetensors")
    assert (loaded.source, loaded.facts) == ("memory://handed-over/weights.safetensors", load_weights(file).facts)
    assert load_student(file.as_uri()).source == str(file)
    with pytest.raises(UserError, match="there are no weights at memory://handed-over/best"):
        load_student("memory://handed-over/best.safetensors")


def test_a_header_cannot_have_other_files_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm would read checkpoint_path, and fetch pretrained weights; what shapes the model is passed on."""
    taken: dict[str, Any] = {}

    def build(name: str, *, arguments: dict[str, Any], **others: Any) -> Any:
        taken.update(arguments)
        return build_model("resnet8", channels=3, classes=3)

    monkeypatch.setattr(student, "model_for", build)
    asked = {"checkpoint_path": "/nothing.pth", "pretrained": True, "pretrained_cfg": {"file": "x"}, "drop_rate": 0.1}
    load_student(handed_over(tmp_path, small_set(), model="timm/resnet18", arguments=asked))
    assert taken == {"drop_rate": 0.1}


def test_a_picture_of_another_size_than_an_oblong_model_takes_is_refused() -> None:
    preprocess = Preprocessing(image_shape=(3, 8, 12), mean=(0.5,) * 3, std=(0.5,) * 3)
    assert preprocess(Image.new("RGB", (12, 8))).shape == (3, 8, 12)
    with pytest.raises(UserError, match="has 8x12 pixels, and the model was trained on images of 12x8"):
        preprocess(Image.new("RGB", (8, 12)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": "left out"}, "there is no classes in their header"),
        ({"image": "left out"}, "there is no image in their header"),
        ({"model": "resnet9"}, "there is no model 'resnet9'"),
        ({"model": 3}, "model: Input should be a valid string"),
        ({"std": [0.2, 0.0, 0.2]}, "std.1: Input should be greater than 0"),
        ({"mean": [0.2]}, "mean and std have 1 and 3 numbers for 3 channels"),
        ({"label_names": ["a"]}, "1 label_names for 3 classes"),
        ({"image": {"channels": 3, "height": 10**6, "width": 8, "resize": None}}, "image.height"),
        ({"image": {"channels": 3, "height": 8, "width": 8, "resize": 4}}, "resize is 4"),
        ({"arguments": {"width": 4}}, "resnet8 takes no arguments"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_used_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    file = handed_over(tmp_path, small_set(), **changes)
    with pytest.raises(UserError) as error:
        load_student(file)
    assert words in str(error.value)
    assert str(file) in str(error.value) or "resnet" in words


def test_code_is_never_imported_because_a_file_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "mine.py").write_text(
        "from kcd_pipeline.models import build_model\n"
        "def net(channels, classes, depth): return build_model('resnet8', channels=channels, classes=classes)\n"
    )
    monkeypatch.chdir(tmp_path)
    file = handed_over(tmp_path, small_set(), model="trap:net", arguments={"depth": 8})
    with pytest.raises(UserError, match="--model-code trap:net"):
        load_student(file)
    assert load_student(file, model="mine:net").name == "trap:net"
    own = build_model("resnet8", channels=3, classes=3)
    assert load_student(file, model=own).model is own
    with pytest.raises(UserError, match="nothing for any other"):
        load_student(handed_over(tmp_path, small_set()), model="mine:net")


def test_there_must_be_weights_that_say_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run at"):
        load_student(tmp_path / "nothing")
    with pytest.raises(UserError, match="not the folder of a run"):
        load_student(tmp_path)
    with pytest.raises(UserError, match="by an earlier version"):
        load_student(Path(__file__).parents[1] / "data" / "format-1" / "finished")
    torch.save(build_model("resnet8", channels=3, classes=3).state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(UserError, match="there is no model in their header"):
        load_student(tmp_path / "theirs.pth")
