"""Images inside a page, as data URIs."""

import base64
import io

from PIL import Image


def png_uri(image: Image.Image) -> str:
    """Return an image as `data:image/png;base64,...`."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
