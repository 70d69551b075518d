"""Changes of the pixels of a batch, each image by its own amount, with the very bytes that Pillow makes of a picture.

torchvision's functions take one amount for all images of a call, and their arithmetic in float32 may round differently
with the size of the batch and the kind of device. Here every step is one of integers, or a single correctly rounded
operation of floating-point numbers, so that the bytes are the same for any batch and on any device, and the same as
those that torchvision.transforms.v2 makes of a decoded picture, for which it calls Pillow.

Letters: n images, C channels (1 or 3), H and W pixels.
"""

import numpy as np
import torch
from torch import Tensor

from kcd_pipeline.device_moves import to_device

FACTOR_BITS = 14  # a factor is an integer in units of 2**-14: a byte times a factor is exact in Pillow's float32 too
LUMA = (19595, 38470, 7471)  # of red, green and blue in Pillow's mode L, in units of 2**-16 (ITU-R BT.601)
# which of value, low, falling and rising part each of red, green and blue is in each sixth of the colour circle
SECTORS = np.array([[0, 2, 1, 1, 3, 0], [3, 0, 0, 2, 1, 1], [1, 1, 3, 0, 0, 2]])


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend `images[n, C, H, W]` uint8 with black by `factors[1, n]`, in units of 2**-FACTOR_BITS."""
    return _blend(torch.zeros_like(images), images, factors)


def saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Blend `images[n, C, H, W]` uint8 with their shades of grey by `factors[1, n]`."""
    return _blend(_grey(images), images, factors)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blend `images[n, C, H, W]` uint8 with the mean of their shades of grey by `factors[1, n]`."""
    grey = _grey(images)
    pixels = grey.shape[2] * grey.shape[3]
    mean = (2 * grey.sum((1, 2, 3), dtype=torch.int64, keepdim=True) + pixels) // (2 * pixels)
    return _blend(mean, images, factors)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend `images[n, C, H, W]` uint8 with a smoothed copy by `factors[1, n]`; the outermost pixels stay.

    The smoothed pixel is the mean of 3 x 3 pixels, of which the middle counts five times.
    """
    if min(images.shape[2:]) < 3:
        return images
    whole = images.to(torch.int32)
    rows = whole[:, :, :-2] + whole[:, :, 1:-1] + whole[:, :, 2:]
    middle = whole[:, :, 1:-1, 1:-1]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * middle
    smooth = whole.clone()
    smooth[:, :, 1:-1, 1:-1] = (2 * total + 13) // 26
    return _blend(smooth, images, factors)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the upper `bits[1, n]`, 0 to 8, of each byte of `images[n, C, H, W]`."""
    mask = 256 - (1 << (8 - _each(bits)))
    return (images.to(torch.int32) & mask).to(torch.uint8)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Invert the bytes of `images[n, C, H, W]` that are at least `thresholds[1, n]`."""
    return torch.where(images >= _each(thresholds), 255 - images, images)


def solarize_add(images: Tensor, amounts: Tensor) -> Tensor:
    """Add `amounts[1, n]` to the bytes of `images[n, C, H, W]` that are below 128, and cut off at 255."""
    brighter = (images.to(torch.int32) + _each(amounts)).clamp(max=255).to(torch.uint8)
    return torch.where(images < 128, brighter, images)


def invert(images: Tensor, _: Tensor) -> Tensor:
    """Return 255 minus each byte of `images[n, C, H, W]`."""
    return 255 - images


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel of `images[n, C, H, W]` uint8 so that its bytes go from 0 to 255."""
    where = _with_doubles(images.device)
    flat = images.flatten(2)
    lowest, highest = (found[..., None].to(where, torch.float64) for found in (flat.amin(2), flat.amax(2)))
    spread = highest - lowest
    levels = torch.arange(256, device=where, dtype=torch.float64)
    scale = levels[255] / spread.clamp(min=1)  # torch multiplies a number over a tensor by the reciprocal instead
    stretched = levels * scale - lowest * scale  # Pillow's three operations, each rounded
    table = torch.where(spread == 0, levels, stretched.trunc().clamp(0, 255)).to(images.device, torch.uint8)
    return table.gather(2, flat.long()).view_as(images)


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Spread the bytes of each channel of `images[n, C, H, W]` uint8 evenly over 0 .. 255, by their histogram."""
    from torchvision.transforms.v2 import functional  # a second to load, which other operations do not need

    made: Tensor = functional.equalize_image(images)  # integers throughout, and each image by itself
    return made


def grayscale(images: Tensor, _: Tensor) -> Tensor:
    """Return the shades of grey of `images[n, C, H, W]` uint8, in all channels."""
    return _grey(images).to(torch.uint8).expand_as(images)


def hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Turn the hues of `images[n, C, H, W]` uint8 by `shifts[1, n]`, in steps of which 255 are a full turn.

    As in Pillow's mode HSV, hue, saturation and value are bytes.
    """
    if images.shape[1] == 1:
        return images
    where = _with_doubles(images.device)
    hues, saturations, values = _to_hsv(images.to(where, torch.int32))
    turned = (hues + _each(shifts.to(where))[:, 0]) & 255
    return _from_hsv(turned, saturations, values).to(images.device, torch.uint8)


def _each(amounts: Tensor) -> Tensor:
    """Return `amounts[1, n]` as int32 `[n, 1, 1, 1]`."""
    return amounts[0].to(torch.int32)[:, None, None, None]


def _blend(degenerate: Tensor, images: Tensor, factors: Tensor) -> Tensor:
    """Return `degenerate + factor * (images - degenerate)`, rounded down and cut off at 0 and 255: uint8."""
    degenerate = degenerate.to(torch.int32)
    difference = images.to(torch.int32) - degenerate
    blended = ((degenerate << FACTOR_BITS) + difference * _each(factors)) >> FACTOR_BITS
    return blended.clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """Return the shades of grey of `images[n, C, H, W]` uint8: int32 `[n, 1, H, W]`.

    Raises
    ------
    ValueError
        If images have neither one nor three channels.
    """
    channels = images.shape[1]
    if channels == 1:
        return images.to(torch.int32)
    if channels != 3:
        raise ValueError(f"operations on colours need images of 1 or 3 channels, found {channels}")
    red, green, blue = images.to(torch.int32).split(1, dim=1)
    return (red * LUMA[0] + green * LUMA[1] + blue * LUMA[2] + (1 << 15)) >> 16


def _with_doubles(device: torch.device) -> torch.device:
    """Return `device`, or the CPU in place of Apple's GPUs, which have no 64-bit floating-point numbers."""
    return torch.device("cpu") if device.type == "mps" else device


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return hue, saturation and value of `images[n, 3, H, W]` int32: int32 `[n, H, W]`, 0 .. 255.

    Numbers are rounded to 32 bits where Pillow keeps them in 32.
    """
    red, green, blue = images.unbind(1)
    value, least = images.amax(1), images.amin(1)
    chroma = (value - least).clamp(min=1).float()
    to_red, to_green, to_blue = ((value - channel).float() / chroma for channel in (red, green, blue))
    green_sector = (2.0 + to_red.double() - to_blue.double()).float()
    blue_sector = (4.0 + to_green.double() - to_red.double()).float()
    sixths = torch.where(red == value, to_blue - to_green, torch.where(green == value, green_sector, blue_sector))
    turns = (sixths.double() / 6.0 + 1.0).fmod(1.0).float()
    saturations = (value - least).float() / value.clamp(min=1).float()
    colourless = value == least
    hues, saturations = (
        torch.where(colourless, 0, (part.double() * 255.0).to(torch.int32)) for part in (turns, saturations)
    )
    return hues, saturations, value


def _from_hsv(hues: Tensor, saturations: Tensor, values: Tensor) -> Tensor:
    """Return the colours of int32 `[n, H, W]`, 0 .. 255: int64 `[n, 3, H, W]`. The reverse of `_to_hsv`."""
    sixths = hues.double() * 6.0 / 255.0
    sector = sixths.floor()
    part = (sixths - sector).float()
    saturation = (saturations.double() / 255.0).float()
    value = values.double()

    def rounded(lost: Tensor) -> Tensor:
        return (value * (1.0 - lost.double()) + 0.5).floor().long()

    low = rounded(saturation)
    falling = rounded(saturation * part)
    rising = rounded(saturation.double() * (1.0 - part.double()))
    found = torch.stack([values.long(), low, falling, rising], dim=1)
    chosen = to_device(SECTORS, hues.device)[:, sector.long() % 6].transpose(0, 1)
    return torch.where((saturations == 0)[:, None], values.long()[:, None], found.gather(1, chosen))
