"""The looks of a clip's shots, kept as files until the clip is complete, so that a run after a stop does not solve again.

A look is a few hundred kilobytes that took seconds of solving, so it is worth keeping; grading and encoding, which are fast, are
repeated from the first frame, and give the same frames as an uninterrupted run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dpst.errors import UserError
from dpst.files.atomic import remove_partials, replacing
from dpst.files.inputs import open_input
from dpst.solver.stages import Stage

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{64}_[0-9]+\.npz")


class KeptLooks:
    """Tables of colours of each shot, in a folder."""

    def __init__(self, folder: str | Path, fingerprint: str):
        """Takes a folder, which the first `write` creates, and a fingerprint of everything that the looks depend on."""
        self._folder, self._fingerprint = Path(folder), fingerprint

    def count(self) -> int:
        """The number of looks of this clip that are kept."""
        return sum(path.name.startswith(self._fingerprint) for path in self._folder.glob("*.npz"))

    def read(self, shot: int) -> tuple[np.ndarray, list[Stage]] | None:
        """The tables of a shot, float32 (R, n, n, n, 3), and the stages of its solve; None if there are none, or damaged ones."""
        path = self._path(shot)
        try:
            with open_input(path) as opened, np.load(opened, allow_pickle=False) as file:
                return file["tables"], [Stage(**each) for each in json.loads(str(file["stages"]))]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            logger.warning("look %s is damaged; it is solved for again", path)
            return None

    def write(self, shot: int, tables: np.ndarray, stages: Sequence[Stage]) -> None:
        """Keeps the tables of a shot, as `read` gives them, whole or not at all.

        Raises:
            UserError: they cannot be written.
        """
        path = self._path(shot)
        try:
            self._folder.mkdir(exist_ok=True)
            with replacing(path) as partial, open(partial, "wb") as file:
                np.savez(file, tables=tables, stages=json.dumps([dataclasses.asdict(stage) for stage in stages]))
        except OSError as error:
            raise UserError(f"look {path} cannot be written ({error.strerror}); free space there") from error

    def remove(self) -> None:
        """Removes the looks, those of earlier options too, and the folder; what cannot be removed does no harm and stays."""
        remove_partials(self._folder / "*.npz")
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if _NAME.fullmatch(path.name):
                    path.unlink()
            self._folder.rmdir()

    def _path(self, shot: int) -> Path:
        return self._folder / f"{self._fingerprint}_{shot}.npz"
