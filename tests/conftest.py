"""What several test files need: the golden photos, their masks and the thin network that goes with them."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from PIL import Image

# Before TensorFlow is imported: its notes on the machine are nothing to do with a test, and no test needs a GPU.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

DATA = Path(__file__).parent / "data"
# Blue, white and red: the colours of the golden masks.
_CLASSES = np.array([(0, 0, 1), (1, 1, 1), (1, 0, 0)], np.float32)


def golden_photo(name):
    """A photo of tests/data, float32 (H, W, 3), 0..1."""
    with Image.open(DATA / name) as photo:
        return np.asarray(photo.convert("RGB"), np.float32) / np.float32(255)


def golden_masks(name):
    """The three regions of a mask of tests/data, float32 (H, W, 3), by its exact colours."""
    return (np.abs(golden_photo(name)[..., None, :] - _CLASSES).max(axis=-1) < 0.1).astype(np.float32)


def made_record(options, **changes):
    """The record of a job that is done, with the hashes of its files as they are now."""
    from dpst import __version__
    from dpst.jobs.job import Record
    from dpst.jobs.records import input_hashes, output_hashes

    values = {
        "version": __version__,
        "command": "",
        "seed": options.seed,
        "options": dataclasses.asdict(options),
        "inputs": input_hashes(options),
        "outputs": output_hashes(options),
        "features": "none",
        "regions": [],
        "scores": {"edge_ssim": 0.5, "affine_residual": 1.0, "colour_distance": 0.25},
        "seconds": 1.5,
        "stages": [],
    }
    return Record(**values | changes)


@pytest.fixture(scope="session")
def reference():
    """The reference script's figures for the golden photos."""
    return json.loads((DATA / "reference.json").read_text())


@pytest.fixture(scope="session")
def thin_network():
    """The network with the golden thin weights."""
    from vgg19.network import Network
    from vgg19.weights import load_weights

    return Network(load_weights(DATA / "thin_vgg19.npy"), "thin")


@pytest.fixture(scope="session")
def golden_objective(thin_network):
    """A function that makes the objective of the golden photos, with the photorealism term or without."""
    from closed_form_matting import matting_laplacian
    from dpst.options import Options
    from dpst.solver.objective import Objective

    content, masks = golden_photo("content.png"), (golden_masks("content_seg.png"), golden_masks("style_seg.png"))

    def make(matting):
        laplacian = matting_laplacian(content) if matting else None
        return Objective(thin_network, content, golden_photo("style.png"), masks, Options(), laplacian)

    return make


@pytest.fixture
def golden_paths(tmp_path):
    """Options of a run of two iterations on the golden photos with their masks; everything is written below tmp_path."""
    return {
        "content_image_path": str(DATA / "content.png"),
        "style_image_path": str(DATA / "style.png"),
        "content_seg_path": str(DATA / "content_seg.png"),
        "style_seg_path": str(DATA / "style_seg.png"),
        "vgg19_weights": str(DATA / "thin_vgg19.npy"),
        "output_image": str(tmp_path / "result.png"),
        "serial": str(tmp_path / "snapshots"),
        "style_option": 0,
        "max_iter": 2,
    }


@pytest.fixture
def browse(tmp_path):
    """A function that opens a browser of some size (width, height); skips where there is none."""
    if not shutil.which("chromedriver"):
        pytest.skip("no chromedriver; on Debian it comes with apt-get install chromium-driver")
    server = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with contextlib.ExitStack() as opened:
        opened.callback(server.wait)
        opened.callback(server.terminate)
        opened.enter_context(server.stdout)
        port = next(int(found[1]) for line in server.stdout if (found := re.search(r"on port (\d+)\.", line)))

        def browse(*size):
            browser = Browser(port, size, tmp_path / "downloads")
            opened.callback(browser.close)
            return browser

        yield browse


@pytest.fixture
def server(tmp_path):
    """The page's server at a free port, its sessions in the folder root."""
    from dpst.options import Options
    from dpst.page.server import Server

    (tmp_path / "root").mkdir()
    options = Options(app=True, app_port=0, vgg19_weights=str(DATA / "thin_vgg19.npy"), max_iter=2)
    server = Server(options, tmp_path / "root")
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.close()
