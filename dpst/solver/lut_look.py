"""A look as LUTs: one for the whole photo, or one for each region."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from dpst.files.luts import Lut
from dpst.imaging.fitted_masks import FittedMasks
from dpst.imaging.light import with_light


@dataclasses.dataclass(frozen=True)
class LutLook:
    """Restyles a photo of any size by looking up its colours.

    Attributes:
        luts: one for the whole photo, or one for each region.
        masks: of the regions; None for the whole photo.
        keeps_light: whether only the colours change, and not the luma.
    """

    luts: Sequence[Lut]
    masks: FittedMasks | None = None
    keeps_light: bool = False

    def apply(self, content: np.ndarray, first_row: int, height: int, strength: float = 1.0) -> np.ndarray:
        """Rows (n, W, 3), 0..1, of a photo of `height` rows, restyled: content + strength * change, within 0..1.

        The change is the sum of the regions' changes times their masks: in no region, a pixel stays as it is.
        """
        restyled = self._restyled(content, first_row, height, strength)
        return with_light(content, restyled) if self.keeps_light else restyled

    def _restyled(self, content: np.ndarray, first_row: int, height: int, strength: float) -> np.ndarray:
        if self.masks is None:
            restyled = self.luts[0](content)
            return np.clip(restyled if strength == 1 else content + np.float32(strength) * (restyled - content), 0, 1)
        masks = self.masks.rows(content, first_row, height)
        change = sum(masks[..., region, None] * (lut(content) - content) for region, lut in enumerate(self.luts))
        return np.clip(content + np.float32(strength) * change, 0, 1)
