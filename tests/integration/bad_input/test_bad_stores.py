"""Commands on stores that are missing, damaged or of something else."""

import shutil
from typing import Any

import numpy as np
import pytest
import zarr
from safetensors.torch import load_file, save_file
from tests.support.bad_input import Place, make_logit_nan, refused, save_digits

from kcd_stores import KnowledgeStore, KnowledgeWriter

# --- stores that are not what is asked for ---------------------------------------------------------------


def test_a_missing_store(fresh: Place) -> None:
    shutil.rmtree(fresh.store)
    says = [f"there is no knowledge store at {fresh.store}", "`kcd-pipeline extract-teacher digits --set", "store.path"]
    refused(fresh, "distill", says=says)
    assert not fresh.run.exists()


OTHERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "part of the data": ({"data__limit_per_class": 10}, ["dataset.size: found 200, expected 100"]),
    "augmentation seed": ({"augmentation__seed": 1}, ["augmentation.seed: found 0, expected 1"]),
    "augmentation": ({"augmentation__name": "none"}, ["augmentation.name: found crop-flip, expected none"]),
    "encoding": ({"store__encoding": "float32"}, ["encoding.name: found float16, expected float32"]),
}


@pytest.mark.parametrize("command", ["extract-teacher", "distill"])
@pytest.mark.parametrize("other", OTHERS)
def test_a_store_of_something_else_is_refused_with_both_sides(fresh: Place, command: str, other: str) -> None:
    settings, differences = OTHERS[other]
    says = [f"the store at {fresh.store} was made from something else than is asked for", *differences]
    refused(fresh.but(**settings), command, says=[*says, "Point store.path at the store that belongs to this config"])
    assert not fresh.run.exists()


def test_a_store_of_another_data_set_and_number_of_classes(fresh: Place) -> None:
    save_digits(fresh.folder / "images", (3, 7))
    other = fresh.but(data__name="imagefolder", data__root=fresh.folder / "images")
    says = [
        "dataset.name: found digits, expected imagefolder",
        "dataset.classes: found ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'], expected ['3', '7']",
        "dataset.image_shape: found [1, 8, 8], expected [3, 8, 8]",
    ]
    refused(other, "distill", says=says)


def test_a_store_of_another_teacher(fresh: Place) -> None:
    says = ["teacher.model: found resnet20, expected resnet14"]
    refused(fresh.but(teacher__model="resnet14"), "distill", says=says)
    state = load_file(fresh.weights)
    state["fc.bias"][7] += 1
    save_file(state, fresh.weights)
    refused(fresh, "distill", says=["teacher.weights_sha256: found ", ", expected "])
    refused(fresh, "extract-teacher", says=["teacher.weights_sha256: found ", ", expected "])


def test_more_views_than_there_are(fresh: Place) -> None:
    more = fresh.but(store__views=3)
    refused(
        more,
        "distill",
        says=[
            f"the store at {fresh.store} has 2 views, but 3 are asked for",
            "Set store.views to",
        ],
    )
    grown = more("extract-teacher")
    assert grown.code == 0, grown.said
    assert more("distill").code == 0


def test_fewer_views_than_there_are_will_do(fresh: Place) -> None:
    ended = fresh.but(store__views=1)("distill")
    assert ended.code == 0, ended.said


def test_a_store_with_a_block_missing(fresh: Place) -> None:
    (fresh.store / "complete" / "c" / "1" / "0").unlink()
    says = [f"the store at {fresh.store} is not finished: 1 of 2 blocks", "extract-teacher` again"]
    refused(fresh, "distill", says=says)
    assert not fresh.run.exists()
    mended = fresh("extract-teacher")
    assert "1 blocks made and 1 found" in mended.words
    assert fresh("distill").code == 0


def test_a_store_that_was_only_begun(fresh: Place) -> None:
    whole = KnowledgeStore.open(fresh.store)
    facts: dict[str, Any] = {"layout": whole.layout, "encoding": whole.encoding, "made_from": whole.made_from}
    shutil.rmtree(fresh.store)
    KnowledgeWriter.create(fresh.store, **facts)
    refused(fresh, "distill", says=[f"the store at {fresh.store} is not finished: 0 of 2 blocks are complete"])
    shutil.rmtree(fresh.store / "complete")
    refused(fresh, "distill", says=[f"the store at {fresh.store} has no array 'complete'", "extract-teacher` again"])


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
@pytest.mark.parametrize("command", ["extract-teacher", "distill"])
@pytest.mark.parametrize("kind", ["folder", "other zarr"])
def test_what_is_not_a_store_is_never_overwritten(fresh: Place, kind: str, command: str, options: list[str]) -> None:
    shutil.rmtree(fresh.store)
    if kind == "folder":
        fresh.store.mkdir()
        (fresh.store / "thesis.txt").write_text("my only copy")
    else:
        zarr.create_group(fresh.store, attributes={"kind": "somebody else's"}).create_array("x", data=np.arange(3))
    refused(fresh, command, *options, says=[fresh.store, "not a knowledge store", "store.path"])


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("extract-teacher", []),
        ("extract-teacher", ["--overwrite"]),
        ("distill", []),
    ],
)
def test_a_file_where_a_store_should_be(fresh: Place, command: str, options: list[str]) -> None:
    shutil.rmtree(fresh.store)
    fresh.store.write_text("my only copy")
    refused(fresh, command, *options, says=[fresh.store, "not a knowledge store", "store.path"])


def test_a_teacher_that_fails_at_once_does_not_cost_the_store_that_it_was_to_replace(fresh: Place) -> None:
    make_logit_nan(fresh.weights)
    refused(fresh, "extract-teacher", "--overwrite", code=1, says=["view 0, is nan"])


def test_an_augmentation_that_does_not_fit_does_not_cost_the_store_that_it_was_to_replace(fresh: Place) -> None:
    wide = fresh.but(augmentation__padding=8, augmentation__padding_mode="reflect")
    refused(wide, "extract-teacher", "--overwrite", says=["reflect padding of 8 needs images larger than 8x8"])


# --- stores that are damaged -----------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_flipped_bit_in_a_shard(fresh: Place, place: str) -> None:
    shard = fresh.store / "logits" / "c" / "1" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[place]] ^= 1
    shard.write_bytes(content)
    says = [f"the store at {fresh.store} is damaged in logits/c/1/0/0", "Restore the file", "--overwrite"]
    refused(fresh, "distill", code=1, says=says)


@pytest.mark.parametrize("damage", ["deleted", "empty", "cut short"])
def test_a_shard_of_a_complete_block_that_is_not_whole(fresh: Place, damage: str) -> None:
    shard = fresh.store / "logits" / "c" / "0" / "0" / "0"
    if damage == "deleted":
        shard.unlink()
    else:
        shard.write_bytes(b"" if damage == "empty" else shard.read_bytes()[:-100])
    says = [f"the store at {fresh.store} is damaged in logits/c/0/0/0", "--overwrite"]
    refused(fresh, "distill", code=1, says=says)
