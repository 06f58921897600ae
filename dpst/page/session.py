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
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dpst.errors import UserError
from dpst.files.photos import check_readable, read_photo
from dpst.files.writing import EXTENSIONS, write_photo
from dpst.imaging.resizing import fitted
from dpst.jobs.job import Job, Status
from dpst.jobs.messages import warnings_here, with_flags
from dpst.jobs.picture import about_result, check_job, run_job
from dpst.jobs.progress import Relay, Tell
from dpst.jobs.records import input_hashes
from dpst.jobs.results import write_results
from dpst.options import AUTO, SEMANTIC, Options
from dpst.regions import automatic
from dpst.solver.result import Result
from dpst.solver.stages import REFINEMENT, SEGMENTED
from vgg19.networks import Networks

# Long side in pixels at which the page shows photos and takes strokes: a browser draws it without delay, and a stroke of a few
# pixels is still fine.
SHOWN = 1000
# The realisms of a draft, between which the page's slider moves.
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


@dataclasses.dataclass(frozen=True)
class View:
    """The content restyled at the size that is shown, as a JPEG, and whether it is only the draft."""

    picture: bytes
    is_draft: bool


@dataclasses.dataclass(frozen=True)
class Finished:
    """What there is to download.

    Attributes:
        files: names for `Session.file`: the result, its LUT at strength 1, and both masks if there are any.
        realism: of the result.
        strength: of the result.
        command: the command line that makes the same from files of these names.
        is_whole: False of a solve that was stopped: this is the best result so far.
        warnings: one line each.
    """

    files: list[str]
    realism: float
    strength: float
    command: str
    is_whole: bool
    warnings: list[str]


@dataclasses.dataclass(frozen=True)
class _Solved:
    """A result, and what it was made from, if it was solved to the end."""

    result: Result
    source: tuple | None


class Session:
    """The files and results of one open page. Methods may be called from any thread, those that solve from one at a time."""

    def __init__(self, root: Path, base: Options, networks: Networks, tell: Tell):
        """A session with a new folder in `root`.

        Args:
            root: an existing folder.
            base: options that hold for all sessions.
            networks: shared by all sessions.
            tell: gets the progress of what is solved.
        """
        self._folder = Path(tempfile.mkdtemp(dir=root))
        self._new, self._given, self._made = (self._folder / name for name in ("new", "given", "made"))
        for folder in (self._new, self._given, self._made):
            folder.mkdir()
        self._base = dataclasses.replace(base, app=False, style_option=2, serial=str(self._made), print_iter=1)
        self._networks, self._tell, self._numbers = networks, tell, itertools.count()
        self._files: dict[str, str] = {}
        self._shown: dict[str, str] = {}  # pictures of photos and regions, of which the page shows the last
        self._content: np.ndarray | None = None
        self._draft: _Solved | None = None
        self._full: _Solved | None = None
        self._lock, self._at_work, self._closed = threading.Lock(), 0, False
        self._taking = threading.Lock()  # one file at a time, so that the bound holds for all together
        self._stopped = threading.Event()

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
                    shown = self._new_shown(option)
                    write_photo(str(self._made / shown), pixels)
                    self._draft = self._full = None
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

    def _new_shown(self, of: str) -> str:
        """The name of a new picture for the page to show; the one before it is removed."""
        if of in self._shown:
            (self._made / self._shown[of]).unlink(missing_ok=True)
        self._shown[of] = f"{next(self._numbers)}_{'regions' if of == 'regions' else 'shown'}.jpg"
        return self._shown[of]

    def show_regions(self, kind: Kind, count: int) -> tuple[str, list[str]]:
        """Finds or completes the regions; returns the name of a picture of them over both photos, and warnings.

        Args:
            kind: where they come from.
            count: how many, with `Kind.FOUND`; 0 for as many as there are.
        """
        with self._working(), warnings_here() as warnings:
            name = self._new_shown("regions")
            self._run(self._options(kind, count, mask_preview=str(self._made / name), dry_run=True))
            return name, self._plain(warnings)

    def draft(self, kind: Kind, count: int) -> list[str]:
        """Solves a draft at all `REALISMS`, for `view`; returns warnings. Arguments as of `show_regions`."""
        with self._working(), warnings_here() as warnings:
            realism = ",".join(f"{realism:g}" for realism in REALISMS)
            output = str(self._made / "draft.png")
            options = self._options(kind, count, preview=True, realism=realism, output_size="solve", output_image=output)
            self._draft, self._full = self._run(options), None
            return self._plain(warnings)

    def make(self, kind: Kind, count: int, realism: float, strength: float) -> Finished | None:
        """Makes the result in full; where only the strength has changed since the last one, nothing is solved again.

        Args:
            kind: see `show_regions`.
            count: see `show_regions`.
            realism: see `Options.realism`.
            strength: see `Options.strength`.

        Returns:
            None if it was stopped before there was a picture.
        """
        with self._working(), warnings_here() as warnings:
            content = Path(self._files.get("content_image_path", "photo.png"))
            extension = content.suffix if content.suffix.lower() in EXTENSIONS else ".png"
            output = str(self._made / f"{content.stem}_restyled{extension}")
            numbers = {"realism": f"{realism:g}", "strength": f"{strength:g}"}
            options = self._options(kind, count, output_image=output, **numbers)
            check_job(options)
            command = self._command(options)
            source = (dataclasses.replace(options, strength="1"), input_hashes(options))
            if self._full and self._full.source == source:
                photo = read_photo(str(content), ROLES["content_image_path"], options.max_pixels)
                about = about_result(Job(options, command), self._full.result.features)
                write_results(self._full.result, photo, options, about)
            else:
                self._full = self._run(options, source)
            if not self._full:
                return None
            masks = [options.content_seg_path, options.style_seg_path]
            if options.auto_seg_used:
                masks = [automatic.CONTENT_MASK, automatic.STYLE_MASK]
            lut = str(self._made / f"{content.stem}_look.cube")
            self._full.result.lut(realism=realism).write(lut)
            files = [Path(path).name for path in [output, lut, *masks] if path and self.file(Path(path).name) is not None]
            return Finished(files, realism, strength, command, self._full.source is not None, self._plain(warnings))

    def view(self, realism: float, strength: float) -> View | None:
        """The result, if it has this realism, or else the draft; None if there is neither. Nothing is solved."""
        with self._working():
            for solved in (self._full, self._draft):
                if solved and self._content is not None and realism in solved.result.looks:
                    path = self._made / f"{next(self._numbers)}_view.jpg"
                    write_photo(str(path), solved.result.at(self._content, strength, realism))
                    picture = path.read_bytes()
                    path.unlink()
                    return View(picture, solved is self._draft)
            return None

    def file(self, name: str) -> bytes | None:
        """What is in a file of the session."""
        with self._working():
            for folder in (self._made, self._given):
                if name in (path.name for path in folder.iterdir()):
                    return (folder / name).read_bytes()
            return None

    def start(self) -> None:
        """Comes before each call that solves: a `stop` from here on is meant for that."""
        self._stopped.clear()

    def stop(self) -> None:
        """Stops what is being solved at its next step; the best picture so far is kept."""
        self._stopped.set()

    def close(self) -> None:
        """Ends the session: what runs stops at its next step, and then, or now, everything is deleted."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._delete_when_idle()

    def _report(self, share: float, words: str) -> None:
        """Hands progress on; raises where nobody waits for the result, as Ctrl-C does on the console."""
        if self._closed:
            raise PageClosed
        if self._stopped.is_set():
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
            self._draft = self._full = self._content = None

    def _options(self, kind: Kind, count: int, **changes) -> Options:
        given: dict[str, Any] = {option: self._files.get(option, "") for option in _PHOTOS} | {"auto_seg": "0"}
        if kind in (Kind.STROKES, Kind.MASKS):
            given |= {option: self._files.get(option, "") for option in _MASKS}
        if kind is Kind.STROKES:
            given["seg_scribbles"] = "always"
        if kind in (Kind.FOUND, Kind.SEMANTIC):
            given["auto_seg"] = SEMANTIC if kind is Kind.SEMANTIC else str(count) if count else AUTO
        return dataclasses.replace(self._base, **given, **changes)

    def _run(self, options: Options, source: tuple | None = None) -> _Solved | None:
        check_job(options)
        solved: list[Result] = []
        outcome = run_job(Job(options, self._command(options)), Relay(self._report), self._networks, solved.append)
        return _Solved(solved[0], source if outcome.status is Status.DONE else None) if solved else None

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
        for folder in (self._new, self._given, self._made):
            message = message.replace(f"{folder}/", "")
        return message

    def _plain(self, messages: Iterable[str]) -> list[str]:
        """Messages in the page's words: no paths, and no names of options."""
        return [
            _OPTION.sub(lambda found: _PLAIN.get(found[1], found[1].replace("_", " ")), self._readable(with_flags(m)))
            for m in messages
        ]
