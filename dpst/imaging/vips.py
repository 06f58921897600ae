"""libvips, set up once for untrusted files: import `pyvips` from here."""

from __future__ import annotations

import logging
import os

import pyvips

# libvips otherwise answers a path with the pixels it read there before, even when the file has changed.
pyvips.cache_set_max(0)
# Loaders that libvips' authors do not trust with untrusted files: SVG, PDF, tables of numbers and the like.
pyvips.block_untrusted_set(True)
# What it warns of either fails afterwards, and is then reported once as an error, or does no harm to the picture.
logging.getLogger("pyvips").setLevel(logging.ERROR)

__all__ = ["pyvips", "reason", "source"]


def source(path: str) -> pyvips.Source:
    """A file to be read by libvips, which else takes brackets at the end of a name as options, and knows UTF-8 alone.

    Raises:
        pyvips.Error: it cannot be opened.
    """
    return pyvips.Source.new_from_file(os.fsencode(path))


def reason(error: Exception) -> str:
    """What the system or libvips says about an error, on one line."""
    text = str(getattr(error, "strerror", None) or getattr(error, "detail", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
