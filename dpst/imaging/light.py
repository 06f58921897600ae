"""Colour alone: a result's colours with the photo's own light."""

from __future__ import annotations

import numpy as np

from dpst.imaging.colours import LUMA


def with_light(content: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The colours of an image with the luma of the content, within 0..1.

    It is the blend mode Colour of photo editors (ISO 32000-1, 11.3.5.3; W3C Compositing and Blending Level 1, 10.2, SetLum and
    ClipColor), so that people get what they know. Luma and not CIELAB's L*: with another L* many colours leave sRGB, and what is
    then cut off changes hue and light again, whereas here saturation gives way and the luma is kept exactly. The price is that
    deep blues look a little lighter than the greys that they come from.

    Args:
        content: (..., 3), 0..1.
        image: (..., 3), 0..1.

    Returns:
        Of the shape and type of the content.
    """
    light = np.clip(content @ LUMA, 0, 1)[..., None]
    colour = image - (image @ LUMA)[..., None]
    least, most = colour.min(-1, keepdims=True), colour.max(-1, keepdims=True)
    above = np.divide(1 - light, most, out=np.ones_like(most), where=most > 1 - light)
    below = np.divide(light, -least, out=np.ones_like(least), where=-least > light)
    return np.clip(light + np.minimum(above, below) * colour, 0, 1).astype(content.dtype, copy=False)
