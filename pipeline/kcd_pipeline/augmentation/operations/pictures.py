"""Pictures of Pillow from tensors."""

from PIL import Image
from torch import Tensor


def as_picture(pixels: Tensor) -> Image.Image:
    """Return `pixels[3, H, W]` uint8 as an RGB picture."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
