"""A training loop of your own, taught from a knowledge store by kcd_stores and torch alone.

The store has one view, which is the images as they are, so the loop needs no augmentation. Commands:

    kcd-pipeline train-teacher digits
    kcd-pipeline extract-teacher digits --set augmentation.name=none --set store.views=1 --set store.path=plain.zarr
    python examples/own_loop.py plain.zarr

Output (numbers differ a little on other machines):

    the store holds 1437 rows of 10 logits; the teacher is right on 100.0%
    epoch 4: loss 1.971, 96.9% of the test images
    epoch 8: loss 1.408, 97.5% of the test images
    epoch 12: loss 1.159, 98.9% of the test images
"""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

from kcd_stores import KnowledgeStore, batches

TEMPERATURE, CE_WEIGHT, KD_WEIGHT = 4.0, 0.1, 0.9
EPOCHS, BATCH_SIZE = 12, 64


def load() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return `images[N, 1, 8, 8]` and `labels[N]` of the training set, in the store's order, and of the test set."""
    digits = load_digits()
    images = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    train, test = train_test_split(np.arange(len(labels)), test_size=360, random_state=0, stratify=digits.target)
    train, test = np.sort(train), np.sort(test)  # the split of kcd_pipeline's digits
    return images[train], labels[train], images[test], labels[test]


def make_student() -> nn.Module:
    """Return a small network: `images[B, 1, 8, 8]` to `logits[B, 10]`."""
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))


def distillation_loss(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Return `0.1 CE + 0.9 T^2 KL(teacher || student)` of logits `[B, C]`, a scalar (Hinton et al. 2015)."""
    soft_student = F.log_softmax(student / TEMPERATURE, dim=1)
    soft_teacher = F.log_softmax(teacher / TEMPERATURE, dim=1)
    kl = F.kl_div(soft_student, soft_teacher, reduction="batchmean", log_target=True)
    return CE_WEIGHT * F.cross_entropy(student, labels) + KD_WEIGHT * TEMPERATURE**2 * kl


def main() -> None:
    parser = argparse.ArgumentParser(description="Teach a student of your own from a store of digits.")
    parser.add_argument("store", help="the store, made as the head of this file says")
    store = KnowledgeStore.open(parser.parse_args().store)

    images, labels, test_images, test_labels = load()
    teacher = store.read_view(0)  # [N, C]; small here, and only for the line below: the loop streams its rows
    agreement = (teacher.argmax(axis=1) == labels.numpy()).mean()
    print(f"the store holds {len(teacher)} rows of {teacher.shape[1]} logits; the teacher is right on {agreement:.1%}")

    torch.manual_seed(0)
    student = make_student()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(EPOCHS):
        losses = []
        for index, rows in batches(store, view=0, batch_size=BATCH_SIZE, epoch=epoch):
            chosen = torch.from_numpy(index)
            loss = distillation_loss(student(images[chosen]), torch.from_numpy(rows).float(), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        if (epoch + 1) % 4 == 0:
            with torch.inference_mode():
                accuracy = (student(test_images).argmax(dim=1) == test_labels).float().mean()
            print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, {accuracy:.1%} of the test images")


if __name__ == "__main__":
    main()
