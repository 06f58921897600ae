#!/usr/bin/env python3
"""From as much style as possible to little more than a colour grade: python examples/several_realisms.py CONTENT STYLE RESULT"""

import sys
from pathlib import Path

from photo_style import Progress, read_photo, stylize, write_photo


def main(content_path: str, style_path: str, result_path: str) -> None:
    """Three results, each at two strengths, cost little more than one: they share a solve."""
    content, style = read_photo(content_path), read_photo(style_path)
    result = stylize(content.pixels, style.pixels, style_option=2, realism=(0, 1, 2), callback=report)
    path = Path(result_path)
    for realism in result.looks:
        for strength in (0.5, 1):
            name = f"{path.stem}_realism{realism:g}_{strength:g}{path.suffix}"
            write_photo(str(path.with_name(name)), result.at(content, strength=strength, realism=realism), like=content)


def report(progress: Progress) -> None:
    """Prints how much of the work is done; raise `photo_style.Cancelled` here to end the run."""
    print(f"\r{progress.phase}: {progress.share:.0%}", end="", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
