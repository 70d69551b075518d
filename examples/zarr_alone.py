"""A knowledge store read by zarr and numpy alone, without any code of this project.

Commands:

    kcd-pipeline train-teacher digits
    kcd-pipeline extract-teacher digits
    python examples/zarr_alone.py runs/digits/store.zarr

Output (numbers differ a little on other machines):

    logits (8, 1437, 10) float16, complete: True
    made by resnet20 from digits, seen as crop-flip; 99.2% of the test images
    mean probability at T = 4: 0.69 of the first choice, 0.07 of the second
    its first choice is the same in all 8 views of 99.8% of the images
"""

import argparse

import numpy as np
import zarr

TEMPERATURE = 4.0


def softened(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities `[..., C]` of logits `[..., C]` at the temperature."""
    scaled = np.exp((logits - logits.max(axis=-1, keepdims=True)) / TEMPERATURE)
    return scaled / scaled.sum(axis=-1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Look at the logits of a store.")
    parser.add_argument("store", help="a store of a dense encoding: float32, float16, bitround or int8")
    path = parser.parse_args().store

    array = zarr.open_array(f"{path}/logits", mode="r")
    logits = np.asarray(array[:])  # [V, N, C]; NaN where never written
    if "scale_factor" in array.attrs:  # bytes of int8: scale and offset by the CF conventions
        scale, offset = (np.asarray(array.attrs[name], np.float32) for name in ("scale_factor", "add_offset"))
        logits = logits * scale + offset
    complete = np.asarray(zarr.open_array(f"{path}/complete", mode="r")[:])  # [V, B]: 1 once a block is durable
    print(f"logits {logits.shape} {logits.dtype}, complete: {bool(complete.all())}")

    made_from = dict(zarr.open_group(path, mode="r").attrs)["made_from"]
    assert isinstance(made_from, dict)
    teacher, dataset = made_from["teacher"], made_from["dataset"]
    print(
        f"made by {teacher['model']} from {dataset['name']}, seen as {made_from['augmentation']['name']}; "
        f"{teacher['test_accuracy']:.1%} of the test images"
    )

    probabilities = np.sort(softened(logits.astype(np.float32)), axis=-1)
    first, second = probabilities[..., -1].mean(), probabilities[..., -2].mean()
    print(f"mean probability at T = {TEMPERATURE:g}: {first:.2f} of the first choice, {second:.2f} of the second")

    choices = logits.argmax(axis=-1)  # [V, N]
    same = (choices == choices[0]).all(axis=0).mean()
    print(f"its first choice is the same in all {len(logits)} views of {same:.1%} of the images")


if __name__ == "__main__":
    main()
