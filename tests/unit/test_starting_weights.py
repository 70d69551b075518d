"""Weights to begin training from: the whole state but a last layer of other classes, which is made anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kcd_pipeline.config import StudentConfig
from kcd_pipeline.errors import UserError
from kcd_pipeline.models import build_model, weights_hash
from kcd_pipeline.models.starting import model_to_train

CHANNELS, CLASSES = 1, 4
DIGIT = [CHANNELS, 8, 8]


@pytest.fixture(autouse=True)
def no_guessing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the guess at the architecture of weights that do not fit: it takes seconds, and is tested elsewhere."""
    monkeypatch.setattr("kcd_pipeline.models.recognition.closest_architecture", lambda state: None)


def saved(path: Path, state: Mapping[str, Tensor]) -> Path:
    torch.save(dict(state), path)
    return path


def state_for(classes: int, name: str = "resnet8") -> dict[str, Tensor]:
    torch.manual_seed(1)
    return build_model(name, channels=CHANNELS, classes=classes).state_dict()


def begin(init: Path | str, model: str = "resnet8", **more: Any) -> tuple[nn.Module, str | None]:
    torch.manual_seed(0)
    part = StudentConfig(model=model, init=Path(init), **more)
    return model_to_train(part, "student", image_shape=DIGIT, classes=CLASSES, trained_by=1)


def new_head() -> Tensor:
    """Return the last layer that a model has which is made with the seed of `begin`, and begins with nothing."""
    torch.manual_seed(0)
    return build_model("resnet8", channels=CHANNELS, classes=CLASSES).state_dict()["fc.weight"]


def test_weights_for_the_same_classes_are_taken_whole(tmp_path: Path) -> None:
    state = state_for(CLASSES)
    model, digest = begin(saved(tmp_path / "a.pth", state))
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert digest == weights_hash(state)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_a_last_layer_of_other_classes_is_made_anew_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    state = state_for(7)
    model, _ = begin(saved(tmp_path / "a.pth", {prefix + key: tensor for key, tensor in state.items()}))
    begun = model.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in begun.items() if not key.startswith("fc."))
    assert torch.equal(begun["fc.weight"], new_head())
    said = " ".join(capsys.readouterr().err.split())
    assert "made anew for 4 classes: fc, which is for 7 classes in the file" in said


def test_weights_without_a_last_layer_begin_a_model_too(tmp_path: Path) -> None:
    state = {key: tensor for key, tensor in state_for(7).items() if not key.startswith("fc.")}
    model, _ = begin(saved(tmp_path / "a.pth", state))
    assert torch.equal(model.state_dict()["fc.weight"], new_head())
    assert torch.equal(model.state_dict()["conv1.weight"], state["conv1.weight"])


def test_weights_of_another_model_are_refused_by_the_names_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not those of a resnet8: .* unknown to the model: block1"):
        begin(saved(tmp_path / "a.pth", state_for(7, "wrn_16_1")))


def test_weights_for_another_number_of_channels_are_refused_by_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = build_model("resnet8", channels=3, classes=7).state_dict()
    with pytest.raises(UserError, match=r"of another shape: conv1.weight \[\d+, 3, 3, 3\]"):
        begin(saved(tmp_path / "a.pth", state))


def test_a_missing_file_is_named_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"student.init is .*none.pth, but there is no such file"):
        begin(tmp_path / "none.pth")


def test_published_weights_of_another_library_are_refused() -> None:
    with pytest.raises(
        UserError,
        match=r"student.init is torchvision/DEFAULT, which names published weights, but student.model is resnet8",
    ):
        begin("torchvision/DEFAULT")


def test_two_sources_of_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"student.arguments asks for published weights \(pretrained: True\)"):
        begin(saved(tmp_path / "a.pth", {}), "timm/resnet10t", arguments={"pretrained": True})


def test_files_that_timm_converts_itself_begin_its_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A vision transformer for 32-pixel images has 4 x 4 patches of 8; the file is of one for 16 pixels: 2 x 2."""
    timm = pytest.importorskip("timm")
    sizes: dict[str, Any] = {"patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}
    torch.manual_seed(3)
    smaller = timm.create_model("vit_tiny_patch16_224", img_size=16, num_classes=9, in_chans=3, **sizes).state_dict()
    part = StudentConfig(
        model="timm/vit_tiny_patch16_224",
        arguments={"img_size": 32, **sizes},
        init=saved(tmp_path / "a.pth", smaller),
    )
    model, _ = model_to_train(part, "student", image_shape=[3, 32, 32], classes=CLASSES, trained_by=1)
    begun = model.state_dict()
    assert smaller["pos_embed"].shape[1] == 1 + 4  # a class token and the patches
    assert begun["pos_embed"].shape[1] == 1 + 16
    assert torch.equal(begun["patch_embed.proj.weight"], smaller["patch_embed.proj.weight"])
    assert "converted by timm" in " ".join(capsys.readouterr().err.split())
