"""A result, and how it is brought to a photo of any size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from dpst.errors import UserError
from dpst.files.lut_profiles import check_lut_profile
from dpst.files.luts import Lut
from dpst.files.notebook import png
from dpst.files.photos import STRIP, Photo
from dpst.imaging.light import with_light
from dpst.imaging.pictures import Picture, as_picture, check_kind, check_number, check_one_of
from dpst.imaging.resizing import resize
from dpst.imaging.strips import restyled
from dpst.options import LUT_SIZES, MAX_REALISM, MAX_STRENGTH, Options
from dpst.solver.affine_field import Look
from dpst.solver.carrying import apply_maps, confine_maps, fit_maps
from dpst.solver.colourless import neutral_lut, neutral_maps
from dpst.solver.lut_fit import Fit, fit_lut, fit_of
from dpst.solver.stages import Stage

# A note in every LUT for people who open it.
_LUT_COLOURS = "Colours in and out are {} as files hold them, not linear light and not log."
_PROFILE_NAMES = {"srgb": "sRGB", "adobe-rgb": "Adobe RGB (1998)", "rec709": "Rec.709 for a display of gamma 2.4"}


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """A finished picture.

    Attributes:
        image: float32 (h, w, 3), 0..1, at the size where the style was solved.
        content: the content photo at that size; a larger one where the run was stopped at a coarse scale.
        stages: one record each.
        features: where the features came from.
        masks: of the content's regions, (h, w) at that size, by name.
        looks: of the maps solver, by realism; `image` is the first. Empty with the other solvers.
        colourless: the names of regions whose style has no colour.
        keeps_light: whether `at`, `restyler` and `lut` change colours alone, and not the photo's luma.
    """

    image: np.ndarray
    content: np.ndarray
    stages: list[Stage] = dataclasses.field(default_factory=list)
    features: str = ""
    masks: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    looks: Mapping[float, Look] = dataclasses.field(default_factory=dict)
    colourless: frozenset[str] = frozenset()
    keeps_light: bool = False

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        parts = [f"{width}x{height}"]
        if self.looks:
            parts.append(f"realism {', '.join(f'{each:g}' for each in self.looks)}")
        if self.masks:
            parts.append(f"regions {', '.join(self.masks)}")
        if self.features:
            parts.append(f"features {self.features}")
        return f"<Result {'; '.join(parts)}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the result at the size where the style was solved, at the first realism."""
        return png(self.image)

    def at(self, photo: Photo | Picture, strength: float = 1.0, realism: float | None = None) -> np.ndarray:
        """The result at the size of a photo, with all its detail.

        Args:
            photo: the content photo at any size; as a `Photo`, or as `stylize` takes it.
            strength: 0 leaves the photo as it is, 1 gives the result, up to 2 more than that.
            realism: one of the values that were solved for; the first by default.

        Returns:
            float32 (H, W, 3), 0..1.

        Raises:
            UserError: this is no photo, the strength is out of range, or the realism was not solved for.
        """
        return np.concatenate(list(self.restyler(photo, realism)(strength)))

    def lut(
        self,
        region: str | None = None,
        size: int = Options.lut_size,
        realism: float | None = None,
        profile: str = Options.lut_profile,
    ) -> Lut:
        """The look as one table of colours for other photos and programs; what it does differently from place to place is lost.

        Args:
            region: one of the names of `masks`, whose pixels alone are then fitted; None for the whole photo.
            size: nodes along each side, 17, 33 or 65.
            realism: see `at`.
            profile: whose colours the LUT is to take and give: "srgb", "adobe-rgb" or "rec709".

        Raises:
            UserError: there is no region of this name, or nothing of it at this size; or no such size, realism or profile.
        """
        check_lut_profile(profile)
        check_one_of(size, LUT_SIZES, "LUT size")
        mask = self._mask(region)
        lut = fit_lut(self.content, self.at(self.content, realism=realism), size, mask, profile)
        if self.colourless and self.colourless >= ({region} if region is not None else self.masks.keys()):
            lut = neutral_lut(lut)  # for colours that the photo does not have, too
        title = "deep-photostyle" if region is None else f"deep-photostyle, {region}"
        return dataclasses.replace(lut, title=title, comments=(_LUT_COLOURS.format(_PROFILE_NAMES[profile]),))

    def lut_fit(self, lut: Lut, region: str | None = None, realism: float | None = None) -> Fit:
        """How near a LUT comes to the result, in the whole photo or in a region."""
        check_kind(lut, Lut, "lut", is_optional=False)
        return fit_of(lut, self.content, self.at(self.content, realism=realism), self._mask(region))

    def _mask(self, region: str | None) -> np.ndarray | None:
        if region is None:
            return None
        if not isinstance(region, str) or region not in self.masks:
            raise UserError(f"region {region} is not in the photo; use one of {', '.join(self.masks)}")
        if not self.masks[region].any():
            raise UserError(f"region {region} is too small for the size where the style was solved; raise `max_size`")
        return self.masks[region]

    def restyler(self, photo: Photo | Picture, realism: float | None = None) -> Callable[[float], Iterator[np.ndarray]]:
        """As `at`, strip by strip: a function from a strength to rows of the picture, from top to bottom."""
        apply = self._restyler(photo, realism)

        def restyled(strength: float) -> Iterator[np.ndarray]:
            check_number(strength, "strength", MAX_STRENGTH)
            return apply(strength)

        return restyled

    def _restyler(self, photo: Photo | Picture, realism: float | None) -> Callable[[float], Iterator[np.ndarray]]:
        if realism is not None:
            check_number(realism, "realism", MAX_REALISM)
        if realism is not None and self.looks and realism not in self.looks:
            solved = ", ".join(f"{each:g}" for each in self.looks)
            raise UserError(f"realism {realism} was not solved for; use one of {solved}")
        if isinstance(photo, Photo):
            size, strips = photo.size, photo.strips
        else:
            pixels = as_picture(photo, "photo")
            size = pixels.shape[0], pixels.shape[1]

            def strips(height: int = STRIP) -> Iterator[np.ndarray]:
                return (pixels[top : top + height] for top in range(0, len(pixels), height))

        restyled = self._restyled(strips, size, realism)
        if self.keeps_light:
            return lambda strength: map(with_light, strips(), restyled(strength))
        return restyled

    def _restyled(
        self, strips: Callable[[], Iterator[np.ndarray]], size: tuple[int, int], realism: float | None
    ) -> Callable[[float], Iterator[np.ndarray]]:
        if self.looks:
            look = self.looks[next(iter(self.looks)) if realism is None else realism]
            return lambda strength: restyled(look, strips(), size[0], strength)
        if self.image.shape[:2] == size:
            return lambda strength: _blended(strips(), self.image, strength)
        maps = fit_maps(resize(self.content, *self.image.shape[:2]), self.image)
        maps = confine_maps(maps, strips, size[0])
        if self.colourless:
            maps = neutral_maps(maps, sum(self.masks[name] for name in self.colourless))
        return lambda strength: _mapped(strips(), size[0], maps, strength)


def _blended(strips: Iterator[np.ndarray], image: np.ndarray, strength: float) -> Iterator[np.ndarray]:
    """Strips (rows, W, 3) of a photo, changed towards an image (H, W, 3)."""
    top = 0
    for rows in strips:
        yield np.clip(rows + np.float32(strength) * (image[top : top + len(rows)] - rows), 0, 1)
        top += len(rows)


def _mapped(strips: Iterator[np.ndarray], height: int, maps: np.ndarray, strength: float) -> Iterator[np.ndarray]:
    """Strips (rows, W, 3) of a photo of some height, changed by maps (h, w, 3, 4)."""
    top = 0
    for rows in strips:
        yield apply_maps(maps, rows, top, height, strength)
        top += len(rows)
