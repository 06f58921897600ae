"""One picture of both photos with their regions laid over, to look at before solving."""

from __future__ import annotations

import numpy as np
import scipy

from dpst.files.drawing import drawn_text
from dpst.imaging.resizing import resize
from dpst.regions.mask_classes import Colour
from dpst.regions.regions import Regions

_HEIGHT, _GAP, _LINE = 480, 12, 24
# How much of the photo shows through.
_PHOTO = 0.55
# Share of a pixel that a stroke covers if it is drawn there; strokes on a large photo are thin in the preview.
_DRAWN = 0.25
_MAGENTA: Colour = (255, 0, 255)


def preview(regions: Regions, content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """The content photo, left, and the style photo, each region in its colour, with a legend of names and shares below.

    Strokes that regions were completed from are drawn in full colour. Pixels in no region, which have no part in the style loss,
    are striped in magenta.

    Args:
        regions: the regions.
        content: float32 (H, W, 3), 0..1.
        style: float32 (h, w, 3), 0..1.

    Returns:
        float32 picture, 0..1.
    """
    panels = [
        _overlaid(content, regions.content, regions.colours, regions.content_strokes),
        _overlaid(style, regions.style, regions.colours, regions.style_strokes),
    ]
    shares = zip(regions.content.mean(axis=(0, 1)), regions.style.mean(axis=(0, 1)), strict=True)
    legend = [
        _legend_line(colour, f"{name}: {in_content:.1%} of the content, {in_style:.1%} of the style")
        for name, colour, (in_content, in_style) in zip(regions.names, regions.colours, shares, strict=True)
    ]
    legend += [
        _legend_line(None, f"{other.name}: {other.content_share:.1%}, {other.style_share:.1%}, {other.fate}")
        for other in regions.unmatched
    ]
    width = max(sum(panel.shape[1] for panel in panels) + 3 * _GAP, *(line.shape[1] + 2 * _GAP for line in legend))
    picture = np.ones((_HEIGHT + 3 * _GAP + _LINE * len(legend), width, 3), np.float32)
    left = _GAP
    for panel in panels:
        picture[_GAP : _GAP + _HEIGHT, left : left + panel.shape[1]] = panel
        left += panel.shape[1] + _GAP
    for number, line in enumerate(legend):
        top = _HEIGHT + 2 * _GAP + _LINE * number
        picture[top : top + _LINE, _GAP : _GAP + line.shape[1]] = line
    return picture


def _overlaid(photo: np.ndarray, masks: np.ndarray, colours: tuple[Colour, ...], strokes: np.ndarray | None = None) -> np.ndarray:
    """The photo (H, W, 3) at the preview's height, tinted by its masks (H, W, R), with their edges and strokes drawn."""
    size = (_HEIGHT, max(1, round(_HEIGHT * photo.shape[1] / photo.shape[0])))
    photo, masks = resize(photo, *size), resize(masks, *size)
    none = np.clip(1 - masks.sum(axis=-1, keepdims=True), 0, 1)
    tint = masks @ (np.array(colours, np.float32) / 255) + none * _stripes(*size)
    shown = _PHOTO * photo + (1 - _PHOTO) * tint
    dominant = np.concatenate([masks, none], axis=-1).argmax(axis=-1)
    edge = np.zeros(size, bool)
    edge[1:] |= dominant[1:] != dominant[:-1]
    edge[:, 1:] |= dominant[:, 1:] != dominant[:, :-1]
    shown[edge] = shown[edge].mean(axis=-1, keepdims=True) < 0.5  # white on dark, black on light
    if strokes is not None:
        drawn = resize(strokes.astype(np.float32), *size) >= _DRAWN
        outline = scipy.ndimage.maximum_filter(drawn, 3) & ~drawn
        shown[drawn], shown[outline] = tint[drawn], 1 - np.rint(tint[outline].mean(axis=-1, keepdims=True))
    return shown


def _stripes(height: int, width: int) -> np.ndarray:
    """Magenta and white stripes (height, width, 3), 0..1."""
    magenta = (np.arange(height)[:, None] + np.arange(width)) // 6 % 2 == 0
    return np.where(magenta[..., None], np.array(_MAGENTA, np.float32) / 255, np.float32(1))


def _legend_line(colour: Colour | None, text: str) -> np.ndarray:
    """A swatch, striped without a colour, and a line of black text: (_LINE, w, 3), 0..1."""
    ink = drawn_text(text, _LINE * 2 // 3)[:_LINE]
    line = np.ones((_LINE, 2 * _LINE + ink.shape[1], 3), np.float32)
    line[2:-2, : _LINE + 8] = 0.5
    line[3:-3, 1 : _LINE + 7] = _stripes(_LINE - 6, _LINE + 6) if colour is None else np.array(colour, np.float32) / 255
    line[: ink.shape[0], 2 * _LINE :] -= ink[..., None]
    return line
