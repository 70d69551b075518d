"""The annotations of Tiny-ImageNet's `val`, which sort its pictures into classes."""

from collections.abc import Sequence
from pathlib import Path

from kcd_pipeline.data.pictures.text import read_text
from kcd_pipeline.data.pictures.unreadable import printable
from kcd_pipeline.errors import UserError

ANNOTATIONS = "val_annotations.txt"  # file name, tab, class, tab, box


def read_annotations(root: Path, classes: Sequence[str]) -> list[tuple[str, int]]:
    """Return the name and the label of each picture that `root/val_annotations.txt` names, by label and name.

    Raises
    ------
    UserError
        If there is none, a line is another, a picture is named twice, or a class is not one of `classes`.
    """
    annotations = root / ANNOTATIONS
    lines = [line for line in read_text(annotations).split("\n") if line.strip()]
    rows = [line.rstrip("\r").split("\t") for line in lines]
    labels = {name: label for label, name in enumerate(classes)}
    unknown = sorted({row[1] for row in rows if len(row) > 1} - set(classes))
    short = next((line for line, row in zip(lines, rows, strict=True) if len(row) < 2), None)
    names = {row[0] for row in rows}
    found = None
    if not rows:
        found = "no line"
    elif short is not None:
        found = f"the line {short[:80]!r}"
    elif unknown:
        found = f"{len(unknown)} classes that train/ has not ({', '.join(unknown[:4])})"
    elif len(names) < len(rows):
        found = f"{len(rows):,} lines for {len(names):,} pictures"
    if found:
        raise UserError(
            f"{printable(annotations)}: found {found}, expected a file name, a tab and a class of train/ in each line. "
            f"Extract the archive again."
        )
    return sorted(((row[0], labels[row[1]]) for row in rows), key=lambda row: (row[1], row[0]))
