"""Evaluations for people: a line of results, a table of classes, and the confusion matrix if it is small."""

import numpy as np

from kcd_pipeline.handover.evaluation import Evaluation
from kcd_pipeline.handover.metrics import BINS
from kcd_pipeline.handover.student import Student
from kcd_pipeline.terminal import new_table, print_line, print_table

MATRIX = 20  # classes: a larger confusion matrix fits no terminal


def print_evaluation(student: Student, found: Evaluation) -> None:
    """Print an evaluation on standard output."""
    top5 = "" if found.top5 is None else f", top-5 {found.top5:.2%}"
    print_line(
        f"{student.name} on {found.images}, {found.count:,} images: top-1 {found.top1:.2%}{top5}, expected "
        f"calibration error {found.calibration_error:.2%} ({BINS} bins)."
    )
    for of in found.agreements:
        if of.share is None:
            print_line(f"Agreement with the teacher, {of.teacher}, is not known: {of.reason}")
        else:
            print_line(f"Same class as the teacher, {of.teacher}: {of.share:.2%} of the images.")
    _print_classes(student, found)
    if len(student.classes) <= MATRIX:
        _print_matrix(student, found)
    else:
        print_line(f"The confusion matrix of {len(student.classes):,} classes is in the output of --json.")


def _print_classes(student: Student, found: Evaluation) -> None:
    table = new_table()
    table.add_column("class", overflow="fold")
    for heading in ("images", "accuracy"):
        table.add_column(heading, justify="right")
    table.add_column("most often taken for", overflow="fold")
    wrong = found.confusion.copy()
    np.fill_diagonal(wrong, 0)
    for label, share in enumerate(found.class_accuracy):
        most = int(wrong[label].argmax())
        taken = f"{student.label_name(most)} ({wrong[label, most]:,})" if wrong[label, most] else "–"
        accuracy = "–" if share is None else f"{share:.2%}"
        table.add_text_row(student.label_name(label), f"{found.confusion[label].sum():,}", accuracy, taken)
    print_table(table)


def _print_matrix(student: Student, found: Evaluation) -> None:
    print_line("Confusion: a row for each true class, a column for each class that its images were taken for")
    table = new_table()
    table.add_column("", overflow="fold")
    for label in range(len(student.classes)):
        table.add_column(student.label_name(label), justify="right")
    for label, row in enumerate(found.confusion.tolist()):
        table.add_text_row(student.label_name(label), *(f"{cell:,}" if cell else "·" for cell in row))
    print_table(table)
