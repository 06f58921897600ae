"""Sessions of the page for tests, without a browser."""

from pathlib import Path

from conftest import DATA

from dpst.options import Options
from dpst.page.session import Session
from vgg19.networks import Networks

NETWORKS = Networks()


def new_session(folder: Path, progress: list, **options) -> Session:
    """A session in a folder, of a page with these options, that appends its progress to a list."""
    root = folder / "root"
    root.mkdir()
    base = Options(app=True, vgg19_weights=str(DATA / "thin_vgg19.npy"), max_iter=2, quiet=True, **options)
    return Session(root, base, NETWORKS, lambda share, words: progress.append((share, words)))
