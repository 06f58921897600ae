"""VGG19 weights: finding them, downloading them, and reading them from a file that nobody has to trust.

Three kinds of file are read, and of each only the thirteen convolutions up to conv5_1; everything else in it (conv5_2, fc6, ...)
is left unread. The channels go in as BGR with the mean pixel subtracted, in all of them alike (Simonyan & Zisserman 2015).

- `.npy` in the reference's layout: a pickled `{"conv1_1": [filters, biases], ...}`, or `{"weights": ..., "biases": ...}` a layer
- `.h5` by Keras 1 to 3: layers named block1_conv1 and so on, or the unnamed conv2d, conv2d_1, ... of `.weights.h5`, in order
- `.npz`: two arrays a layer, `conv1_1_W` and `conv1_1_b`, or `conv1_1/filters` and `conv1_1/biases`; kernel, weights, bias do too

Filters are (3, 3, in, out), biases (out,). Thin networks, with fewer channels than VGG19, are as good as the full one.
Neither TensorFlow nor Keras is imported before something must be downloaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import logging
import mmap
import os
import pickle
import pickletools
import queue
import re
import shutil
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import platformdirs
from tqdm import tqdm

from dpst.errors import UserError
from vgg19.layers import CONVOLUTIONS, LOSS_LAYERS

CHOICES = ("auto", "pretrained", "learned")
# Where vgg19.npy is looked for: the working folder, beside this file in a checkout, and the user's data.
PLACES = [Path("vgg19.npy"), Path(__file__).with_name("vgg19.npy")]
with contextlib.suppress(RuntimeError):  # there is no home, as in some containers
    PLACES.append(platformdirs.user_data_path("deep-photostyle") / "vgg19.npy")
KERAS_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_MD5 = "253f8cb515780f3b799900260a226db6"  # file_hash in keras.applications.VGG19
DOWNLOAD_TIMEOUT = 10.0  # seconds

# VGG19's largest tensor in double precision, and a header: a file that declares more is refused before memory is set aside.
_LARGEST_BYTES = 3 * 3 * 512 * 512 * 8 + 1024
_MAX_OPCODES = 10_000  # VGG19 with its dense layers takes about 1000
_MAX_BYTES = 2**31  # of a file: VGG19 with its dense layers takes 1.15 GB in double precision
# Groups and datasets of an HDF5 file, and how deep they lie: Keras nests 6 deep at most.
_MAX_ITEMS, _MAX_DEPTH = 10_000, 10
_NAME = re.compile(r"(?:.*/)?(?:block|conv)(\d)_(?:conv)?(\d)[/_](?:W|kernel|filters|weights|(b|bias|biases))(?:_1)?(?::0)?")
_KERAS_3_NAME = re.compile(r"layers/conv2d(?:_(\d+))?/vars/([01])")
_ARRAY_GLOBALS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}

Weights = dict[str, tuple[np.ndarray, np.ndarray]]
# What a reader yields of each tensor: its name in the file, its size in bytes, and how to read it.
Tensor = tuple[str, int, Callable[[], np.ndarray]]
logger = logging.getLogger(__name__)
# Where this process has failed to download weights to: every run would wait for the same, and say the same.
_not_downloaded: set[Path | None] = set()


def check_weights_path(choice: str) -> None:
    """Cheap check of `--vgg19_weights`: one of `CHOICES`, or a readable file of a known extension; else UserError."""
    if choice in CHOICES:
        return
    path = Path(choice)
    if not os.path.isfile(path):
        wrong = "is a folder" if os.path.isdir(path) else "does not exist"
        raise UserError(f"weights {choice} {wrong}; give a .npy, .h5 or .npz file or one of {', '.join(CHOICES)}")
    if path.suffix.lower() not in _READERS:
        raise UserError(f"weights {choice} have an unknown type; give a .npy, .h5 or .npz file")
    if not os.access(path, os.R_OK):
        raise UserError(f"weights {choice} are not readable; change the file's permissions")


def weights_file(choice: str) -> Path | None:
    """The file that `find_weights` reads for a choice; None where it has to download one, or features are learned."""
    if choice == "learned":
        return None
    places = (*PLACES, _keras_copy()) if choice in CHOICES else (Path(choice),)
    return next((path for path in places if path and os.path.isfile(path)), None)


def find_weights(choice: str, timeout: float = DOWNLOAD_TIMEOUT) -> tuple[Weights, str] | None:
    """The weights that `--vgg19_weights` asks for, and a line that describes them for the run's metadata.

    `auto` and `pretrained` try `vgg19.npy` in each of `PLACES`, then Keras' copy, then Keras' download, both held
    against the published hash. A download that failed is not tried again for `auto` in the same process, nor is the warning
    repeated.

    Args:
        choice: `auto`, `pretrained`, `learned` or a file.
        timeout: seconds after which a download that does not start is given up.

    Returns:
        Weights as of `load_weights` and their description; None where features are to be learned: for `learned`, and, with a
        warning, for `auto` when no pretrained weights can be had.

    Raises:
        UserError: the file is not valid, or `pretrained` weights are not available.
    """
    if choice == "learned":
        return None
    if choice not in CHOICES:
        return load_weights(choice), f"VGG19 weights {choice}"
    if own := next((path for path in PLACES if os.path.isfile(path)), None):
        return load_weights(own), f"VGG19 weights {own.name}"
    keras_copy = _keras_copy()
    try:
        if keras_copy is None:
            raise OSError("there is no home folder for them")
        if not keras_copy.is_file() or _md5(keras_copy) != KERAS_MD5:
            if choice == "auto" and keras_copy in _not_downloaded:
                return None
            _download(_keras_url(), keras_copy, KERAS_MD5, timeout)
    except (OSError, http.client.HTTPException) as error:
        wrong = f"VGG19's weights cannot be downloaded ({_reason(error)})"
        if choice == "pretrained":
            folder = keras_copy.parent if keras_copy else "$KERAS_HOME/models"
            remedy = f"put {KERAS_FILE} into {folder} or vgg19.npy into {PLACES[-1].parent}, or give `vgg19_weights` FILE"
            raise UserError(f"{wrong}; {remedy}") from error
        if keras_copy not in _not_downloaded:
            logger.warning("%s; features are learned from the two photos instead", wrong)
        _not_downloaded.add(keras_copy)
        return None
    return load_weights(keras_copy), "VGG19 weights pretrained on ImageNet (Keras)"


def _reason(error: Exception) -> str:
    """Why a download failed, in words and without the system's number of the error."""
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason)


def load_weights(path: str | os.PathLike) -> Weights:
    """Read and check the weights of the thirteen convolutions.

    Args:
        path: a `.npy`, `.h5` or `.npz` file as described above.

    Returns:
        Layer name to filters, float32 (3, 3, in, out), and biases, float32 (out,), in the order of `CONVOLUTIONS`.

    Raises:
        UserError: not such a file, or truncated, or asking for more than arrays; a layer is missing, does not fit the layer
            before it, or is not finite.
    """
    check_weights_path(str(path))
    if (size := os.path.getsize(path)) > _MAX_BYTES:
        raise UserError(f"weights {path} have {size} bytes, more than any VGG19; use a VGG19 .npy, .h5 or .npz file")
    tensors: dict[tuple[str, int], np.ndarray] = {}
    try:
        for name, size, read in _READERS[Path(path).suffix.lower()](path):
            place = _place(name)
            if place is None:
                continue
            if size > _LARGEST_BYTES:
                raise ValueError(f"{name} is larger than any layer of VGG19")
            tensor = read()
            if tensor.dtype.kind != "f":
                raise ValueError(f"{name} holds {tensor.dtype}, not floats")
            with np.errstate(over="ignore"):  # what float32 cannot hold turns infinite and is refused below
                tensors[place] = np.array(tensor, np.float32)
    except Exception as error:  # a hostile or broken file can make pickle, h5py and zipfile raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"weights {path} cannot be read ({reason}); use a complete VGG19 .npy, .h5 or .npz file") from error
    return _chained(tensors, path)


def check_weights(weights: object) -> Weights:
    """Weights that a caller gives, with arrays of float32; layers between those that the losses look at may be missing.

    Raises:
        UserError: they are not as `load_weights` returns them.
    """
    try:
        layers = [layer for layer in CONVOLUTIONS if layer in LOSS_LAYERS or layer in weights]  # type: ignore[operator]
        tensors = {
            (layer, part): np.asarray(weights[layer][part], np.float32)  # type: ignore[index]
            for layer in layers
            for part in (0, 1)
        }
    except (TypeError, ValueError, LookupError) as error:
        wrong = f"weights of type {type(weights).__name__} do not hold two arrays for each layer ({error})"
        raise UserError(f"{wrong}; give a dictionary as vgg19.weights.load_weights returns it") from error
    return _chained(tensors, "given", layers)


def _chained(
    tensors: dict[tuple[str, int], np.ndarray], path: str | os.PathLike, layers: Sequence[str] = CONVOLUTIONS
) -> Weights:
    """Pair filters and biases, each layer checked against the one before it."""
    weights: Weights = {}
    channels = 3
    for layer in layers:
        if (layer, 0) not in tensors or (layer, 1) not in tensors:
            raise UserError(f"weights {path} lack filters or biases of {layer}; use VGG19 weights, all layers up to conv5_1")
        filters, biases = tensors[layer, 0], tensors[layer, 1]
        if filters.shape != (3, 3, channels, biases.size) or biases.ndim != 1 or biases.size == 0:
            raise UserError(
                f"weights {path} do not fit together: {layer} has filters {filters.shape} and biases {biases.shape} instead of "
                f"(3, 3, {channels}, n) and (n,); use VGG19 weights with filters as (height, width, in, out)"
            )
        if not (np.isfinite(filters).all() and np.isfinite(biases).all()):
            raise UserError(f"weights {path} hold values in {layer} that are not finite; use another file")
        weights[layer] = filters, biases
        channels = biases.size
    return weights


def _place(name: str) -> tuple[str, int] | None:
    """Layer, and 0 for its filters or 1 for its biases; None for a tensor that is not needed."""
    if match := _NAME.fullmatch(name):
        layer, part = f"conv{match[1]}_{match[2]}", int(match[3] is not None)
    elif (match := _KERAS_3_NAME.fullmatch(name)) and int(match[1] or 0) < len(CONVOLUTIONS):
        layer, part = CONVOLUTIONS[int(match[1] or 0)], int(match[2])
    else:
        return None
    return (layer, part) if layer in CONVOLUTIONS else None


class _Stored:
    """Stands for each NumPy object in a pickle: what it would be made of, while nothing is made."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state

    def array(self) -> np.ndarray:
        _, shape, dtype, fortran, content = self.state
        kind = dtype.state[1] + dtype.arguments[0]
        if not re.fullmatch("[<>=]f[248]", kind):
            raise ValueError(f"an array holds {kind}, not floats")
        raw = content.encode("latin1") if isinstance(content, str) else content  # str: a pickle of Python 2
        return np.frombuffer(raw, kind).reshape(shape, order="F" if fortran else "C")


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles dicts, lists, strings, numbers and `_Stored` arrays; can reach no other class or function."""

    def find_class(self, module, name):
        if (module, name) in _ARRAY_GLOBALS:
            return _Stored
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, weights need arrays alone")


def _read_npy(path: str | os.PathLike) -> Iterator[Tensor]:
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        if not np.lib.format.read_array_header_1_0(file)[2].hasobject:
            raise ValueError("it holds a plain array, not a dictionary of layers")
        # A first pass that makes nothing: every declared length must lie within the file, and no memo index may be huge.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            content.seek(file.tell())
            most = {"PUT": _MAX_OPCODES, "LONG_BINPUT": _MAX_OPCODES, "FRAME": len(content)}
            for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):  # type: ignore[arg-type]
                if count > _MAX_OPCODES or (opcode.name in most and (argument or 0) > most[opcode.name]):
                    raise ValueError("its pickle declares more than weights need")
        (layers,) = _ArrayUnpickler(file, encoding="latin1").load().state[-1]
    for layer, parts in layers.items():
        for part, stored in parts.items() if isinstance(parts, dict) else zip(("filters", "biases"), parts, strict=True):
            yield f"{layer}/{part}", len(stored.state[-1]), stored.array


def _read_h5(path: str | os.PathLike) -> Iterator[Tensor]:
    import h5py

    with h5py.File(path, "r") as file:
        # One group after the other: by their paths, those nested deep would take quadratic time. Links are followed nowhere.
        groups, items = [("", file, 0)], 0
        while groups:
            path_so_far, group, depth = groups.pop()
            for name in group:
                items += 1
                if items > _MAX_ITEMS or depth > _MAX_DEPTH:
                    raise ValueError("it has more groups than weights need")
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    continue
                item, full = group[name], path_so_far + name
                if isinstance(item, h5py.Group):
                    groups.append((full + "/", item, depth + 1))
                elif isinstance(item, h5py.Dataset) and _place(full):
                    if item.external or item.is_virtual:
                        raise ValueError(f"{full} is stored in another file")
                    yield full, item.nbytes, partial(item.__getitem__, ...)


def _read_npz(path: str | os.PathLike) -> Iterator[Tensor]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                yield member.filename.removesuffix(".npy"), member.file_size, partial(np.lib.format.read_array, file)


_READERS = {".npy": _read_npy, ".h5": _read_h5, ".hdf5": _read_h5, ".npz": _read_npz}


def _keras_copy() -> Path | None:
    """Where Keras keeps its download; None without a home."""
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    return None if home.startswith("~") else Path(home, "models", KERAS_FILE)


def _keras_url() -> str:
    from keras.src.applications.vgg19 import WEIGHTS_PATH_NO_TOP  # the public module does not export it

    return WEIGHTS_PATH_NO_TOP


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _download(url: str, path: Path, md5: str, timeout: float) -> None:
    """Download to `path`, all or nothing; OSError or HTTPException says why not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder, path.name)
        with _connect(url, timeout) as response, part.open("wb") as file:
            logger.info("downloading VGG19's weights from %s to %s", url, path)
            size, quiet = int(response.headers["Content-Length"] or 0), not logger.isEnabledFor(logging.INFO)
            bar = {"desc": "VGG19's weights", "leave": False, "disable": quiet or None}  # None: on terminals only
            with tqdm.wrapattr(response, "read", total=size, **bar) as counted:
                shutil.copyfileobj(counted, file)
        if (found := _md5(part)) != md5:
            raise OSError(f"{part.stat().st_size} bytes came with MD5 {found} instead of {md5}")
        os.replace(part, path)


def _connect(url: str, timeout: float) -> http.client.HTTPResponse:
    """Open `url`, or raise within `timeout` seconds.

    urlopen's own timeout bounds each step alone: not the name lookup, nor several addresses in turn. Hence the thread, a daemon
    so that a lookup that hangs does not keep the program from ending.
    """
    answer: queue.SimpleQueue = queue.SimpleQueue()

    def connect():
        try:
            answer.put(urllib.request.urlopen(url, timeout=timeout))
        except Exception as error:  # raised again below, in the caller's thread
            answer.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        response = answer.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError(f"no answer within {timeout:g} seconds") from None
    if isinstance(response, urllib.error.HTTPError):
        response.close()  # an error page is a response as well
    if isinstance(response, Exception):
        raise response
    return response
