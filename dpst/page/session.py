"""What one open page holds: files in a folder of its own, and what was solved last.

Everything is done by the functions behind the command line, with the same options; they are only called here. The folder is
removed when the page is closed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import itertools
import re
import shlex
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dpst.errors import UserError
from dpst.files.photos import check_readable, read_photo
from dpst.files.writing import EXTENSIONS, write_photo
from dpst.imaging.resizing import fitted
from dpst.jobs.job import Job, Status
from dpst.jobs.messages import warnings_here, with_flags
from dpst.jobs.picture import Receiver, about_result, check_job, run_job
from dpst.jobs.places import mask_paths
from dpst.jobs.records import input_hashes
from dpst.options import AUTO, SEMANTIC, Options
from dpst.regions.automatic import write_masks
from dpst.regions.regions import Regions
from dpst.solver.result import Result
from dpst.solver.stages import REFINEMENT, SEGMENTED
from vgg19.networks import Networks

# Long side in pixels at which the page shows photos and takes strokes: a browser draws it without delay, and a stroke of a few
# pixels is still fine.
SHOWN = 1000
# The realisms between which the page's slider moves; a draft has them all.
REALISMS = (0.0, 0.5, 1.0, 1.5, 2.0)

# The options that take a file from the page, and what messages call it.
ROLES = {
    "content_image_path": "content image",
    "style_image_path": "style image",
    "content_seg_path": "content segmentation",
    "style_seg_path": "style segmentation",
}
_PHOTOS, _MASKS = tuple(ROLES)[:2], tuple(ROLES)[2:]
# How the command that makes the same begins: as it is installed, or as it is run from a checkout.
_PROGRAM = "python deep_photostyle.py" if (Path(__file__).parents[2] / "pyproject.toml").is_file() else "deep-photostyle"
# Options as messages name them, and what the page calls them; others lose their dashes.
_OPTION = re.compile(r"--(\w+)")
_PLAIN = {
    "content_image_path": "your photo",
    "style_image_path": "the other photo",
    "content_seg_path": "the mask of your photo",
    "style_seg_path": "the mask of the other photo",
    "auto_seg": "number of regions",
}
# What is being done, by how it is called elsewhere.
_PHASES = {SEGMENTED: "matching colours and textures", REFINEMENT: "keeping it a photo"}
# The share of the time to write a picture in which its pixels are made; then they are compressed.
_RESTYLING = 0.7
# Most bytes of all files that a session is given.
MOST_GIVEN = 1 << 30


class Kind(str, enum.Enum):
    """Where the regions come from."""

    WHOLE = "whole"  # there are none
    STROKES = "strokes"
    MASKS = "masks"
    FOUND = "alike"  # `--auto_seg` with a number, or "auto" for 0
    SEMANTIC = "meaning"  # `--auto_seg semantic`


class PageClosed(Exception):
    """The page was closed; whatever is being done for it ends."""


class What(str, enum.Enum):
    """What can be downloaded, besides the masks."""

    PICTURE = "picture"
    LUT = "lut"


@dataclasses.dataclass(frozen=True)
class View:
    """The content restyled at the size that is shown.

    Attributes:
        picture: a JPEG.
        realism: of the picture; the nearest to the requested one that has been solved.
        is_draft: whether it is from a draft.
        is_whole: False while it is made, and after that was stopped: it is the best result so far.
        command: the command line that makes it from files of the same names; "" of a draft.
        masks: names of the files with its regions, of the content and of the style, for `Session.file`.
    """

    picture: bytes
    realism: float
    is_draft: bool
    is_whole: bool
    command: str
    masks: list[str]


@dataclasses.dataclass(frozen=True)
class ShownRegion:
    """A region as the page names it.

    Attributes:
        name: of the region.
        colour: as #rrggbb; "" of one that only one photo has, which the other's masks do not show.
        content: the share of the content that it fills, 0..1.
        style: the same of the style.
    """

    name: str
    colour: str
    content: float
    style: float


@dataclasses.dataclass(frozen=True)
class ShownRegions:
    """The regions of both photos.

    Attributes:
        regions: those of both photos, then those of one.
        masks: pictures of them in flat colours, of the content and of the style, for `Session.file`.
        warnings: one line each.
    """

    regions: list[ShownRegion]
    masks: list[str]
    warnings: list[str]


@dataclasses.dataclass(frozen=True)
class _Solved:
    """A result, the options and files that it was made with, and whether it was solved to the end."""

    result: Result
    options: Options
    source: tuple
    is_whole: bool


class Session:
    """The files and results of one open page. Methods may be called from any thread, those that solve from one at a time."""

    def __init__(self, root: Path, base: Options, networks: Networks, tell: Callable[[float, str], None]):
        """A session with a new folder in `root`.

        Args:
            root: an existing folder.
            base: options that hold for all sessions.
            networks: shared by all sessions.
            tell: gets the progress of what is solved.
        """
        self._folder = Path(tempfile.mkdtemp(dir=root))
        names = ("new", "given", "made", "trials")
        self._new, self._given, self._made, self._trials = self._folders = [self._folder / name for name in names]
        for folder in self._folders:
            folder.mkdir()
        self._base = dataclasses.replace(base, app=False, style_option=2, serial=str(self._made), print_iter=1)
        self._networks, self._tell, self._numbers = networks, tell, itertools.count()
        self._files: dict[str, str] = {}
        self._shown: dict[str, str] = {}  # pictures of photos and regions, of which the page shows the last
        self._content: np.ndarray | None = None
        self._draft: _Solved | None = None
        self._full: dict[float, _Solved] = {}  # by realism, all of the same photos and regions
        self._lock, self._at_work, self._closed = threading.Lock(), 0, False
        self._taking = threading.Lock()  # one file at a time, so that the bound holds for all together
        self._stops = [threading.Event()]  # of what is being done, and then of what waits

    def take(self, option: str, name: str, chunks: Iterable[bytes]) -> str:
        """Writes a photo or mask into the session; returns the name of a JPEG of a photo, "" of a mask.

        Args:
            option: which of `ROLES` it is for.
            name: the file's own name.
            chunks: what is in the file.

        Raises:
            UserError: it is no picture, damaged or too large, alone or with the others. The file that was there stays.
        """
        with self._working(), self._taking:
            own, role = self._new / name, ROLES[option]
            shown = ""
            try:
                with own.open("wb") as file:
                    file.writelines(self._within_bound(option, chunks))
                check_readable(str(own), role, self._base.max_pixels)
                if option in _PHOTOS:
                    photo = read_photo(str(own), role, self._base.max_pixels)
                    pixels = photo.resized(*fitted(photo.size, SHOWN))
                    shown = self._new_shown(option, "shown.jpg")
                    write_photo(str(self._made / shown), pixels)
                    self._draft, self._full = None, {}
                    if option == "content_image_path":
                        self._content = pixels
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

    def _within_bound(self, option: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks of an option's new file, as long as the session may be given them."""
        left = MOST_GIVEN - sum(Path(path).stat().st_size for other, path in self._files.items() if other != option)
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise UserError(f"the files are larger than {MOST_GIVEN >> 20} MiB together; give smaller ones")
            yield chunk

    def _new_shown(self, of: str, name: str) -> str:
        """The name of a new picture for the page to show; the one before it is removed."""
        if of in self._shown:
            (self._made / self._shown[of]).unlink(missing_ok=True)
        self._shown[of] = f"{next(self._numbers)}_{name}"
        return self._shown[of]

    def show_regions(self, kind: Kind, count: int) -> ShownRegions:
        """Finds or completes the regions.

        Args:
            kind: where they come from.
            count: how many, with `Kind.FOUND`; 0 for as many as there are.
        """
        with self._working(), warnings_here() as warnings:
            found: list[Regions] = []
            options = self._options(kind, count, dry_run=True, serial=str(self._trials))
            check_job(options)
            self._run(options, Receiver(found.append, lambda result: None))
            (regions,) = found
            masks = [self._new_shown(f"regions of the {photo}", f"{photo}_regions.png") for photo in ("content", "style")]
            write_masks(regions, *(str(self._made / name) for name in masks))
            shares = zip(regions.content.mean(axis=(0, 1)), regions.style.mean(axis=(0, 1)), strict=True)
            shown = [
                ShownRegion(name, f"#{bytes(colour).hex()}", float(in_content), float(in_style))
                for name, colour, (in_content, in_style) in zip(regions.names, regions.colours, shares, strict=True)
            ]
            shown += [ShownRegion(each.name, "", each.content_share, each.style_share) for each in regions.unmatched]
            return ShownRegions(shown, masks, self._plain(warnings))

    def draft(self, kind: Kind, count: int, realism: float, tell_view: Callable[[], None] = lambda: None) -> list[str]:
        """Solves a draft at all `REALISMS`, for `view`; returns warnings.

        Args:
            kind: see `show_regions`.
            count: see `show_regions`.
            realism: is solved first; the others follow by their distance from it.
            tell_view: called whenever `view` has something new.
        """
        with self._working(), warnings_here() as warnings:
            realisms = [realism, *sorted((each for each in REALISMS if each != realism), key=lambda each: abs(each - realism))]
            files = {"output_image": str(self._trials / "draft.png"), "serial": str(self._trials), "output_size": "solve"}
            options = self._options(kind, count, preview=True, realism=",".join(f"{each:g}" for each in realisms), **files)
            check_job(options)
            source = self._source(kind, count, options)

            def keep(result: Result) -> None:
                self._draft = _Solved(result, options, source, is_whole=True)
                self._full = self._of_source(source)
                tell_view()

            self._run(options, Receiver(lambda regions: None, keep))
            return self._plain(warnings)

    def make(
        self, kind: Kind, count: int, realism: float, strength: float, tell_view: Callable[[], None] = lambda: None
    ) -> list[str] | None:
        """Makes the result in full, for `view` and `write`; what has been solved is not solved again.

        Args:
            kind: see `show_regions`.
            count: see `show_regions`.
            realism: see `Options.realism`.
            strength: see `Options.strength`.
            tell_view: see `draft`.

        Returns:
            Warnings; None if it was stopped before there was a picture.
        """
        with self._working(), warnings_here() as warnings:
            content = Path(self._files.get("content_image_path", "photo.png"))
            extension = content.suffix if content.suffix.lower() in EXTENSIONS else ".png"
            output = str(self._made / f"{content.stem}_restyled{extension}")
            options = self._options(kind, count, output_image=output, realism=f"{realism:g}", strength=f"{strength:g}")
            check_job(options)
            source = self._source(kind, count, options)
            known = self._of_source(source)
            if realism in known and known[realism].is_whole:
                return self._plain(warnings)
            solved: list[_Solved] = []

            def keep(result: Result) -> None:
                solved.append(_Solved(result, options, source, is_whole=False))
                self._full = known | {realism: solved[-1]}
                tell_view()

            if self._run(options, Receiver(lambda regions: None, keep)) is Status.DONE:
                self._full = known | {realism: dataclasses.replace(solved[-1], is_whole=True)}
            return self._plain(warnings) if solved else None

    def _of_source(self, source: tuple) -> dict[float, _Solved]:
        """The results of these photos and regions, by realism."""
        return {realism: solved for realism, solved in self._full.items() if solved.source == source}

    def view(self, realism: float, strength: float) -> View | None:
        """The result, or else the draft, at this realism or at the nearest one that has been solved; nothing is solved.

        Returns:
            None if there is neither.
        """
        with self._working():
            content, draft = self._content, self._draft
            solved = [*self._full.values(), *([draft] if draft else [])]
            if not solved or content is None:
                return None
            found = ((each, known) for each in solved for known in each.result.looks)
            shown, nearest = min(found, key=lambda pair: abs(pair[1] - realism))
            path = self._made / f"{next(self._numbers)}_view.jpg"
            write_photo(str(path), shown.result.at(content, strength, nearest))
            picture = path.read_bytes()
            path.unlink()
            if shown is draft:
                return View(picture, nearest, is_draft=True, is_whole=shown.is_whole, command="", masks=[])
            options = dataclasses.replace(shown.options, strength=f"{strength:g}")
            paths = mask_paths(options) if options.auto_seg_used else (options.content_seg_path, options.style_seg_path)
            masks = [Path(path).name for path in paths if Path(path).is_file()]
            return View(picture, nearest, False, shown.is_whole, self._command(options), masks)

    def write(self, what: What, realism: float, strength: float) -> str:
        """Writes the result that `view` shows with the same numbers; returns the name of the file, for `file`.

        Args:
            what: the picture, at the photo's own size, or its LUT, at strength 1.
            realism: that it was made at.
            strength: see `Options.strength`.

        Raises:
            UserError: there is no result at this realism, or no room for it.
        """
        with self._working(), warnings_here():
            solved = self._full.get(realism)
            if not solved:
                raise UserError("this result has not been made yet; make it first")
            result, options = solved.result, dataclasses.replace(solved.options, strength=f"{strength:g}")
            photo_path = Path(options.content_image_path)
            path = Path(options.output_image) if what is What.PICTURE else self._made / f"{photo_path.stem}_look.cube"
            self._report(0, f"writing {path.name}")
            if what is What.LUT:
                result.lut(size=options.lut_size, realism=realism).write(str(path))
                return path.name
            photo = read_photo(str(photo_path), ROLES["content_image_path"], options.max_pixels)
            about = about_result(Job(options, self._command(options)), result.features)
            if options.output_size != "full":
                write_photo(str(path), result.at(result.content, strength, realism), photo, about, options.drop_exif)
                return path.name

            def strips() -> Iterator[np.ndarray]:
                rows = 0
                for strip in result.restyler(photo, realism)(strength):
                    yield strip
                    rows += len(strip)
                    self._report(_RESTYLING * rows / photo.size[0], f"writing {path.name}")

            write_photo(str(path), strips(), photo, about, options.drop_exif)
            return path.name

    def file(self, name: str) -> bytes | None:
        """What is in a file of the session."""
        with self._working():
            for folder in (self._made, self._given):
                if name in (path.name for path in folder.iterdir()):
                    return (folder / name).read_bytes()
            return None

    def start(self) -> threading.Event:
        """Comes before each call that takes time: a `stop` from here on is meant for that. Returns what `begin` needs."""
        self._stops.append(threading.Event())
        return self._stops[-1]

    def begin(self, stop: threading.Event) -> None:
        """Comes right before the call that `start` announced."""
        self._stops = self._stops[self._stops.index(stop) :]

    def stop(self) -> None:
        """Stops what is being done at its next step, and what waits; the best picture so far is kept."""
        for stop in self._stops:
            stop.set()

    def close(self) -> None:
        """Ends the session: what runs stops at its next step, and then, or now, everything is deleted."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._delete_when_idle()

    def _follow(self, share: float, doing: str, left: str = "", terms: str = "") -> None:
        """Follows a job; see `jobs.progress.Tell`."""
        self._report(share, doing)

    def _report(self, share: float, words: str) -> None:
        """Hands progress on; raises where nobody waits for the result, as Ctrl-C does on the console."""
        if self._closed:
            raise PageClosed
        if self._stops[0].is_set():
            raise KeyboardInterrupt
        self._tell(share, next((plain for phase, plain in _PHASES.items() if words.startswith(phase)), words))

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """Whoever touches the files does so in here, so that none is deleted too early or made too late."""
        with self._lock:
            if self._closed:
                raise PageClosed
            self._at_work += 1
        try:
            yield
        except UserError as error:
            raise UserError(*self._plain([str(error)])) from error
        finally:
            with self._lock:
                self._at_work -= 1
                self._delete_when_idle()

    def _delete_when_idle(self) -> None:
        if self._closed and not self._at_work:
            shutil.rmtree(self._folder)
            self._draft, self._full, self._content = None, {}, None

    def _options(self, kind: Kind, count: int, **changes) -> Options:
        given: dict[str, Any] = {option: self._files.get(option, "") for option in _PHOTOS} | {"auto_seg": "0"}
        if kind in (Kind.STROKES, Kind.MASKS):
            given |= {option: self._files.get(option, "") for option in _MASKS}
        if kind is Kind.STROKES:
            given["seg_scribbles"] = "always"
        if kind in (Kind.FOUND, Kind.SEMANTIC):
            given["auto_seg"] = SEMANTIC if kind is Kind.SEMANTIC else str(count) if count else AUTO
        return dataclasses.replace(self._base, **given, **changes)

    def _source(self, kind: Kind, count: int, options: Options) -> tuple:
        """What a result depends on besides realism and strength."""
        return kind, count if kind is Kind.FOUND else 0, input_hashes(options)

    def _run(self, options: Options, receiver: Receiver) -> Status:
        self._report(0, "preparing")
        return run_job(Job(options, self._command(options)), self._follow, self._networks, receiver).status

    def _command(self, options: Options) -> str:
        """The command line that does the same, with files of the same names in the folder where it is given."""
        words = []
        for field in dataclasses.fields(Options):
            value = getattr(options, field.name)
            if value != field.default and field.metadata["scope"] != "console" and field.name != "serial":
                words += [f"--{field.name}", self._readable(str(value))]
        return f"{_PROGRAM} {shlex.join(words)}"

    def _readable(self, message: str) -> str:
        """A message with the names of the session's files for their paths."""
        for folder in self._folders:
            message = message.replace(f"{folder}/", "")
        return message

    def _plain(self, messages: Iterable[str]) -> list[str]:
        """Messages in the page's words: no paths, no names of options, and the page's own names of the files."""
        return [self._plain_line(message) for message in messages]

    def _plain_line(self, message: str) -> str:
        line = _OPTION.sub(lambda found: _PLAIN.get(found[1], found[1].replace("_", " ")), self._readable(with_flags(message)))
        for option, role in ROLES.items():
            line = line.replace(f"the {role}", _PLAIN[option]).replace(role, _PLAIN[option])
        return line
