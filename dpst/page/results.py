"""Results of a page, of a photo or of a clip: shown at any strength, and written as files."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from dpst.errors import UserError
from dpst.files.photos import read_photo
from dpst.files.writing import write_photo
from dpst.jobs.clip import write_clips
from dpst.jobs.clip_looks import FoundLooks
from dpst.jobs.job import Job
from dpst.jobs.picture import about_result
from dpst.jobs.progress import OnProgress
from dpst.solver.lut_fit import fit_lut
from dpst.solver.result import Result

# The share of the time for writing a picture that is spent on its pixels; the rest is compression.
_PIXELS_SHARE = 0.7
# Largest size in bytes of a restyled clip.
MAX_CLIP_BYTES = 1 << 30


class PageResult(Protocol):
    """What the page shows and writes.

    Attributes:
        realisms: the values of realism that it was solved for.
    """

    @property
    def realisms(self) -> Collection[float]: ...

    def at(self, content: np.ndarray, strength: float, realism: float) -> np.ndarray:
        """The content that the page shows (H, W, 3), 0..1, restyled."""

    def write(self, job: Job, realism: float, on_progress: OnProgress) -> None:
        """Writes the result file of a job, at its one strength; if `on_progress` raises, there is no file."""

    def write_lut(self, path: Path, realism: float, size: int) -> None:
        """Writes the look as a LUT with `size` nodes along each side."""


@dataclasses.dataclass(frozen=True)
class PhotoResult:
    """The result of a photo, or of the first frame of a clip."""

    result: Result

    @property
    def realisms(self) -> Collection[float]:
        return self.result.looks.keys()

    def at(self, content: np.ndarray, strength: float, realism: float) -> np.ndarray:
        return self.result.at(content, strength, realism)

    def write(self, job: Job, realism: float, on_progress: OnProgress) -> None:
        result, options, path = self.result, job.options, Path(job.options.output_image)
        (strength,) = options.strengths
        on_progress(0, f"writing {path.name}")
        photo = read_photo(options.content_image_path, "content image", options.max_pixels)
        about = about_result(job, result.features)
        if options.output_size != "full":
            write_photo(str(path), result.at(result.content, strength, realism), photo, about, options.drop_exif)
            return

        def strips() -> Iterator[np.ndarray]:
            rows = 0
            for strip in result.restyler(photo, realism)(strength):
                yield strip
                rows += len(strip)
                on_progress(_PIXELS_SHARE * rows / photo.size[0], f"writing {path.name}")

        write_photo(str(path), strips(), photo, about, options.drop_exif)

    def write_lut(self, path: Path, realism: float, size: int) -> None:
        self.result.lut(size=size, realism=realism).write(str(path))


@dataclasses.dataclass(frozen=True)
class ClipResult:
    """The one look of a clip.

    Attributes:
        looks: with this look alone.
        frame: the first frame as the page shows it, float32 (H, W, 3), 0..1.
    """

    looks: FoundLooks
    frame: np.ndarray

    @property
    def realisms(self) -> Collection[float]:
        return self.looks.options.realisms

    def at(self, content: np.ndarray, strength: float, realism: float) -> np.ndarray:
        masks = self.looks.masks()
        return self.looks.restyled(0, content, next(masks) if masks else None, strength)

    def write(self, job: Job, realism: float, on_progress: OnProgress) -> None:
        path = Path(job.options.output_image)
        path.unlink(missing_ok=True)  # one clip at a time takes space

        def follow(share: float, doing: str, left: str = "", terms: str = "") -> None:
            if sum(file.stat().st_size for file in path.parent.iterdir()) > MAX_CLIP_BYTES:
                wrong = f"{path.name} would be larger than {MAX_CLIP_BYTES >> 20} MiB"
                raise UserError(f"{wrong}; use a shorter clip, or the command line")
            on_progress(share, f"{doing}, {left} left" if left else doing)

        on_progress(0, f"writing {path.name}")
        write_clips(self.looks, job.options, follow, begin=0, keeps_part=False)

    def write_lut(self, path: Path, realism: float, size: int) -> None:
        luts = self.looks.luts(0)
        lut = luts[0] if len(luts) == 1 else fit_lut(self.frame, self.at(self.frame, 1, realism), size)
        dataclasses.replace(lut, title="deep-photostyle").write(str(path))
