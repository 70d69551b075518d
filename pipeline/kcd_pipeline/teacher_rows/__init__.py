"""The rows that a teacher gives: computed over the views of a data set, and written to a store block by block."""

from kcd_pipeline.teacher_rows.blocks import (
    PASS_ROWS,
    RANGE_ADVICE,
    BlockMaker,
    LocalMaker,
    block_refusals_as_failures,
)
from kcd_pipeline.teacher_rows.extractor import Extractor
from kcd_pipeline.teacher_rows.forward import RowPieces, Span, TeacherRows
from kcd_pipeline.teacher_rows.progress import extraction_progress
from kcd_pipeline.teacher_rows.together import TeachersTogether, WritersTogether

__all__ = [
    "PASS_ROWS",
    "RANGE_ADVICE",
    "BlockMaker",
    "Extractor",
    "LocalMaker",
    "RowPieces",
    "Span",
    "TeacherRows",
    "TeachersTogether",
    "WritersTogether",
    "block_refusals_as_failures",
    "extraction_progress",
]
