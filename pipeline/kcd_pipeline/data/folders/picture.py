"""Open a picture file, and name it if it cannot be read."""

from pathlib import Path

from PIL import Image

from kcd_pipeline.errors import UserError

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises of damaged files


def open_picture(path: Path) -> Image.Image:
    """Return the picture in `path`, decoded as RGB.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    try:
        with Image.open(path) as file:
            return file.convert("RGB")
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read as an image: {error}. Mend or remove the file.") from error
