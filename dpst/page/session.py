"""The session of one open page: its files, in a folder of their own, and its results.

The work is done by the same functions and options as on the command line. The folder is deleted when the page is closed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dpst.errors import UserError
from dpst.files.clip_writing import extensions_of
from dpst.files.clips import read_clip, small_frames
from dpst.files.photos import check_readable, read_photo
from dpst.files.writing import EXTENSIONS, write_photo
from dpst.imaging.resizing import fitted
from dpst.jobs.clip import solve_one_look
from dpst.jobs.job import Job, Status
from dpst.jobs.messages import warnings_here
from dpst.jobs.picture import Receiver, check_job, run_job
from dpst.jobs.places import mask_paths
from dpst.jobs.records import input_hashes
from dpst.options import AUTO, SEMANTIC, Options, is_clip_name
from dpst.page.results import ClipResult, PageResult, PhotoResult
from dpst.page.views import Download, RegionSource, ShownRegion, ShownRegions, View
from dpst.page.wording import CLIP_ROLE, ROLES, command_line, for_page
from dpst.regions.automatic import write_masks
from dpst.regions.regions import Regions
from dpst.solver.result import Result
from dpst.solver.stages import REFINEMENT, SEGMENTED
from vgg19.networks import Networks

logger = logging.getLogger(__name__)

# Long side in pixels at which the page shows photos and takes strokes: small enough for a browser to draw it without delay, large
# enough for thin strokes.
DISPLAY_SIZE = 1000
# The values of realism that a draft is solved for; the slider of the page has this range.
REALISMS = (0.0, 0.5, 1.0, 1.5, 2.0)

_PHOTOS, _MASKS = tuple(ROLES)[:2], tuple(ROLES)[2:]
# How the page describes the phases of a solve.
_PHASES = {SEGMENTED: "matching colours and textures", REFINEMENT: "keeping it a photo"}
# Largest total size in bytes of the files of a session.
MAX_SESSION_BYTES = 1 << 30


class PageClosed(Exception):
    """The page was closed, so its work ends."""


@dataclasses.dataclass(frozen=True)
class _Solved:
    """A result, the options and files that it was made with, and whether the solve was completed."""

    result: PageResult
    options: Options
    source: tuple
    is_whole: bool


class Session:
    """The files and results of one open page. Methods may be called from any thread, but only one solve may run at a time."""

    def __init__(self, root: Path, base: Options, networks: Networks, on_progress: Callable[[float, str], None]):
        """A session with a new folder in `root`.

        Args:
            root: an existing folder.
            base: options for all sessions.
            networks: shared by all sessions.
            on_progress: called with the progress: a share from 0 to 1, and a description of the step.
        """
        self._folder = Path(tempfile.mkdtemp(dir=root))
        names = ("new", "given", "made", "trials", "written")
        self._folders = [self._folder / name for name in names]
        self._new, self._given, self._made, self._trials, self._written = self._folders
        for folder in self._folders:
            folder.mkdir()
        self._base = dataclasses.replace(base, app=False, style_option=2, serial=str(self._made), print_iter=1)
        self._networks, self._on_progress, self._numbers = networks, on_progress, itertools.count()
        self._files: dict[str, str] = {}
        self._shown: dict[str, str] = {}  # names of the newest pictures of photos and regions, for the page to show
        self._content: np.ndarray | None = None
        self._draft: _Solved | None = None
        self._full: dict[float, _Solved] = {}  # by realism, all of the same photos and regions
        self._lock, self._active_calls, self._closed = threading.Lock(), 0, False
        self._adding = threading.Lock()  # one file at a time, so that the limit on their total size holds
        self._stops = [threading.Event()]  # of the running call, then of those that wait

    def add_file(self, option: str, name: str, chunks: Iterable[bytes]) -> str:
        """Adds a photo, a clip as the content, or a mask to the session.

        Args:
            option: one of `ROLES`.
            name: of the file.
            chunks: the content of the file.

        Returns:
            The name of a picture of the photo, or of the first frame of the clip; "" for a mask.

        Raises:
            UserError: it is not a picture or clip, damaged, or too large, by itself or with the other files. The previous file
                is kept.
        """
        with self._working(), self._adding:
            own, role = self._new / name, ROLES[option]
            shown = ""
            try:
                with own.open("wb") as file:
                    file.writelines(self._within_limit(option, chunks))
                if option in _PHOTOS:
                    is_clip = option == "content_image_path" and is_clip_name(name)
                    pixels = self._first_frame(str(own)) if is_clip else self._photo(str(own), role)
                    shown = self._new_display_name(option, "first_frame.png" if is_clip else "shown.jpg")
                    write_photo(str(self._made / shown), pixels)
                    self._draft, self._full = None, {}
                    if option == "content_image_path":
                        self._content = pixels
                else:
                    check_readable(str(own), role, self._base.max_pixels)
            except BaseException:
                own.unlink(missing_ok=True)
                raise
            if old := self._files.pop(option, None):
                Path(old).unlink(missing_ok=True)
            given = self._given / name
            if given.exists():  # both photos, or photo and mask, have the same name
                given = given.with_name(f"{role.replace(' ', '_')}_{name}")
            self._files[option] = str(own.rename(given))
            return shown

    @property
    def _is_clip(self) -> bool:
        """Whether the content is a clip."""
        return is_clip_name(self._files.get("content_image_path", ""))

    def _photo(self, path: str, role: str) -> np.ndarray:
        """A photo as the page shows it, float32 (H, W, 3), 0..1."""
        check_readable(path, role, self._base.max_pixels)
        photo = read_photo(path, role, self._base.max_pixels)
        return photo.resized(*fitted(photo.size, DISPLAY_SIZE))

    def _first_frame(self, path: str) -> np.ndarray:
        """The first frame of a clip as the page shows it, float32 (H, W, 3), 0..1."""
        with contextlib.closing(small_frames(read_clip(path, CLIP_ROLE, self._base.max_pixels), DISPLAY_SIZE)) as frames:
            return next(frames).astype(np.float32) / np.float32(255)

    def _within_limit(self, option: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks of the new file of an option, up to the limit on the total size."""
        left = MAX_SESSION_BYTES - sum(Path(path).stat().st_size for other, path in self._files.items() if other != option)
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise UserError(f"the files are larger than {MAX_SESSION_BYTES >> 20} MiB together; give smaller ones")
            yield chunk

    def _new_display_name(self, of: str, name: str) -> str:
        """A name for a new picture that the page shows; the previous picture is deleted."""
        if of in self._shown:
            (self._made / self._shown[of]).unlink(missing_ok=True)
        self._shown[of] = f"{next(self._numbers)}_{name}"
        return self._shown[of]

    def show_regions(self, kind: RegionSource, count: int) -> ShownRegions:
        """Finds or completes the regions.

        Args:
            kind: where they come from.
            count: the number of regions for `RegionSource.FOUND`; 0 chooses it.
        """
        with self._working(), warnings_here() as warnings:
            found: list[Regions] = []
            options = self._of_photos(kind, count, dry_run=True, serial=str(self._trials))
            check_job(options)
            self._run(options, Receiver(found.append, lambda result: None))
            (regions,) = found
            masks = [self._new_display_name(f"regions of the {photo}", f"{photo}_regions.png") for photo in ("content", "style")]
            write_masks(regions, *(str(self._made / name) for name in masks))
            shares = zip(regions.content.mean(axis=(0, 1)), regions.style.mean(axis=(0, 1)), strict=True)
            shown = [
                ShownRegion(name, f"#{bytes(colour).hex()}", float(in_content), float(in_style))
                for name, colour, (in_content, in_style) in zip(regions.names, regions.colours, shares, strict=True)
            ]
            shown += [ShownRegion(each.name, "", each.content_share, each.style_share) for each in regions.unmatched]
            return ShownRegions(shown, masks, for_page(warnings, self._folders))

    def draft(self, kind: RegionSource, count: int, realism: float, on_view: Callable[[], None] = lambda: None) -> list[str]:
        """Solves a draft at all `REALISMS`, for `view`; returns warnings.

        Args:
            kind: see `show_regions`.
            count: see `show_regions`.
            realism: solved first; the others follow in the order of their distance from it.
            on_view: called when there is a new result for `view`.
        """
        with self._working(), warnings_here() as warnings:
            realisms = [realism, *sorted((each for each in REALISMS if each != realism), key=lambda each: abs(each - realism))]
            files = {"output_image": str(self._trials / "draft.png"), "serial": str(self._trials), "output_size": "solve"}
            options = self._of_photos(kind, count, preview=True, realism=",".join(f"{each:g}" for each in realisms), **files)
            check_job(options)
            source = self._source(kind, count)

            def keep(result: Result) -> None:
                self._draft = _Solved(PhotoResult(result), options, source, is_whole=True)
                self._full = self._of_source(source)
                on_view()

            # Looks of clips depend on colours alone, so that the draft of a first frame is like the result.
            self._run(options, Receiver(lambda regions: None, keep, by_place=not self._is_clip))
            return for_page(warnings, self._folders)

    def make(
        self, kind: RegionSource, count: int, realism: float, strength: float, on_view: Callable[[], None] = lambda: None
    ) -> list[str] | None:
        """Solves at full quality, for `view` and `write`, unless this has been solved before.

        Args:
            kind: see `show_regions`.
            count: see `show_regions`.
            realism: see `Options.realism`.
            strength: see `Options.strength`.
            on_view: see `draft`.

        Returns:
            Warnings; None if it was stopped before the first picture.
        """
        with self._working(), warnings_here() as warnings:
            content = Path(self._files.get("content_image_path", "photo.png"))
            usual, *others = extensions_of(self._base.video_codec) if self._is_clip else (".png", *EXTENSIONS)
            extension = content.suffix if content.suffix.lower() in (usual, *others) else usual
            output = str(self._written / f"{content.stem}_restyled{extension}")
            look = {"output_image": output, "realism": f"{realism:g}", "strength": f"{strength:g}"}
            options = self._of_clip(kind, count, **look) if self._is_clip else self._of_photos(kind, count, **look)
            check_job(options)
            source = self._source(kind, count)
            known = self._of_source(source)
            if realism in known and known[realism].is_whole:
                return for_page(warnings, self._folders)
            if self._is_clip:
                self._full = known | {realism: self._solve_clip(options, source)}
                return for_page(warnings, self._folders)
            solved: list[_Solved] = []

            def keep(result: Result) -> None:
                solved.append(_Solved(PhotoResult(result), options, source, is_whole=False))
                self._full = known | {realism: solved[-1]}
                on_view()

            if self._run(options, Receiver(lambda regions: None, keep)) is Status.DONE:
                self._full = known | {realism: dataclasses.replace(solved[-1], is_whole=True)}
            return for_page(warnings, self._folders) if solved else None

    def _solve_clip(self, options: Options, source: tuple) -> _Solved:
        """Solves for the one look of the clip; warns if it has several shots."""
        assert self._content is not None
        self._report(0, "preparing")
        folder = Path(tempfile.mkdtemp(dir=self._trials))
        try:
            looks = solve_one_look(options, folder, self._networks, self._follow)
        except BaseException:
            shutil.rmtree(folder)
            raise
        weakref.finalize(looks, shutil.rmtree, folder, ignore_errors=True)
        if looks.cuts:
            clip = f"the clip has {looks.cuts + 1} shots"
            if options.content_seg_path:
                logger.warning("%s, and the regions of its first frame are used for all; cut it up, or use no regions", clip)
            else:
                logger.warning("%s, and the page makes one look for all of them; the command line makes one for each", clip)
        else:
            options = dataclasses.replace(options, one_look=False)  # as it makes no difference
        return _Solved(ClipResult(looks, self._content), options, source, is_whole=True)

    def _of_source(self, source: tuple) -> dict[float, _Solved]:
        """The results of these photos and regions, by realism."""
        return {realism: solved for realism, solved in self._full.items() if solved.source == source}

    def view(self, realism: float, strength: float) -> View | None:
        """The result, or else the draft, at the solved value of realism nearest to this one.

        Returns:
            None if there is neither.
        """
        with self._working():
            content, draft = self._content, self._draft
            solved = [*self._full.values(), *([draft] if draft else [])]
            if not solved or content is None:
                return None
            found = ((each, known) for each in solved for known in each.result.realisms)
            shown, nearest = min(found, key=lambda pair: abs(pair[1] - realism))
            path = self._trials / f"{next(self._numbers)}_view.jpg"
            write_photo(str(path), shown.result.at(content, strength, nearest))
            picture = path.read_bytes()
            path.unlink()
            if shown is draft:
                return View(picture, nearest, is_draft=True, is_whole=shown.is_whole, command="", masks=[])
            options = dataclasses.replace(shown.options, strength=f"{strength:g}")
            paths = mask_paths(options) if options.auto_seg_used else (options.content_seg_path, options.style_seg_path)
            masks = [Path(path).name for path in paths if Path(path).is_file()]
            return View(picture, nearest, False, shown.is_whole, command_line(options, self._folders), masks)

    def write(self, what: Download, realism: float, strength: float) -> str:
        """Writes the result that `view` shows for the same numbers; returns the name of the file, for `file`.

        Args:
            what: the photo, at its own size, or the clip; or their LUT, at strength 1.
            realism: one that has been solved at full quality.
            strength: see `Options.strength`.

        Raises:
            UserError: there is no result at this realism, or no disk space.
        """
        with self._working(), warnings_here():
            solved = self._full.get(realism)
            if not solved:
                raise UserError("this result has not been made yet; make it first")
            options = dataclasses.replace(solved.options, strength=f"{strength:g}")
            path = Path(options.output_image)
            if what is Download.LUT:
                path = self._made / f"{Path(options.content_image_path).stem}_look.cube"
                self._report(0, f"writing {path.name}")
                solved.result.write_lut(path, realism, options.lut_size)
            else:
                solved.result.write(Job(options, command_line(options, self._folders)), realism, self._follow)
            return path.name

    def file(self, name: str) -> BinaryIO | None:
        """A file of the session, opened to be read; None if there is none of this name."""
        with self._working():
            for folder in (self._written, self._made, self._given):
                if name in (path.name for path in folder.iterdir()):
                    return (folder / name).open("rb")
            return None

    def start(self) -> threading.Event:
        """Announces a call that takes time, so that `stop` also stops it while it waits; returns the event to give to `begin`."""
        self._stops.append(threading.Event())
        return self._stops[-1]

    def begin(self, stop: threading.Event) -> None:
        """To be called right before the call that `start` announced."""
        self._stops = self._stops[self._stops.index(stop) :]

    def stop(self) -> None:
        """Stops the running call at its next step, and those that wait; the best picture so far is kept."""
        for stop in self._stops:
            stop.set()

    def close(self) -> None:
        """Ends the session: the running call stops at its next step, and then all files are deleted."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._delete_when_idle()

    def _follow(self, share: float, doing: str, left: str = "", terms: str = "") -> None:
        """The `jobs.progress.OnProgress` of this session."""
        self._report(share, doing)

    def _report(self, share: float, words: str) -> None:
        """Passes progress on; raises if the session was closed or the call stopped."""
        if self._closed:
            raise PageClosed
        if self._stops[0].is_set():
            raise KeyboardInterrupt
        self._on_progress(share, next((plain for phase, plain in _PHASES.items() if words.startswith(phase)), words))

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """Every use of the files is in this context, so that they are only deleted when no call uses them."""
        with self._lock:
            if self._closed:
                raise PageClosed
            self._active_calls += 1
        try:
            yield
        except UserError as error:
            raise UserError(*for_page([str(error)], self._folders)) from error
        finally:
            with self._lock:
                self._active_calls -= 1
                self._delete_when_idle()

    def _delete_when_idle(self) -> None:
        if self._closed and not self._active_calls:
            shutil.rmtree(self._folder)
            self._draft, self._full, self._content = None, {}, None

    def _of_photos(self, kind: RegionSource, count: int, **changes) -> Options:
        """Options of both photos; of a clip, the first frame is the content."""
        given: dict[str, Any] = {option: self._files.get(option, "") for option in _PHOTOS} | {"auto_seg": "0"}
        if kind in (RegionSource.STROKES, RegionSource.MASKS):
            given |= {option: self._files.get(option, "") for option in _MASKS}
        if kind is RegionSource.STROKES:
            given["seg_scribbles"] = "always"
        if kind in (RegionSource.FOUND, RegionSource.SEMANTIC):
            given["auto_seg"] = SEMANTIC if kind is RegionSource.SEMANTIC else str(count) if count else AUTO
        if self._is_clip:
            given["content_image_path"] = str(self._made / self._shown["content_image_path"])
        return dataclasses.replace(self._base, **given, **changes)

    def _of_clip(self, kind: RegionSource, count: int, **changes) -> Options:
        """Options of the clip, with the regions of its first frame, which are found now if they are to be found."""
        options = self._of_photos(kind, count)
        masks = {option: getattr(options, option) for option in _MASKS}
        if options.auto_seg_used:
            found = mask_paths(self._of_photos(kind, count, serial=str(self._trials)))
            for path in found:
                Path(path).unlink(missing_ok=True)
            self.show_regions(kind, count)
            if Path(found[0]).is_file():  # there is more than one region
                names = ("found_content_regions.png", "found_style_regions.png")
                kept = (shutil.copy(path, self._made / name) for path, name in zip(found, names, strict=True))
                masks = dict(zip(_MASKS, map(str, kept), strict=True))
        given = {"content_image_path": self._files["content_image_path"], "auto_seg": Options.auto_seg, **masks}
        given |= {"one_look": not masks["content_seg_path"], "preview": False, "mask_preview": ""}
        return dataclasses.replace(options, **given, **changes)

    def _source(self, kind: RegionSource, count: int) -> tuple:
        """Everything that a result of these photos depends on, except realism and strength; of a clip, the first frame counts."""
        return kind, count if kind is RegionSource.FOUND else 0, input_hashes(self._of_photos(kind, count))

    def _run(self, options: Options, receiver: Receiver) -> Status:
        self._report(0, "preparing")
        return run_job(Job(options, command_line(options, self._folders)), self._follow, self._networks, receiver).status
