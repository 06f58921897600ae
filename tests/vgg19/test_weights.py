"""Weights of every format go in alike; files that are broken or hostile are refused; a download ends well or ends soon."""

import http.server
import io
import logging
import os
import pickle
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest
from conftest import DATA

from dpst.errors import UserError
from vgg19 import weights
from vgg19.layers import CONVOLUTIONS
from vgg19.weights import check_weights_path, find_weights, load_weights

THIN = DATA / "thin_vgg19.npy"
WIDTHS = dict(zip(CONVOLUTIONS, (2, 3, 2, 4, 3, 2, 2, 3, 4, 2, 3, 2, 5), strict=True))


@pytest.fixture
def layers():
    """A thin network whose every width differs from the next one's, so that a mixed-up axis cannot go unseen."""
    random, channels, made = np.random.default_rng(0), 3, {}
    for layer, width in WIDTHS.items():
        made[layer] = [random.normal(size=(3, 3, channels, width)).astype("f4"), random.normal(size=width).astype("f4")]
        channels = width
    return made


def save_npy(path, layers, protocol=4):
    """np.save as it is, but with a choice of the pickle's protocol, so that old files can be had too."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|O", "fortran_order": False, "shape": ()})
    path.write_bytes(content.getvalue() + pickle.dumps(np.array(layers, dtype=object), protocol=protocol))
    return path


def save_keras(path, layers, name="block{0}_conv{1}/block{0}_conv{1}_{2}_1:0", parts=("W", "b")):
    with h5py.File(path, "w") as file:
        for layer, pair in layers.items():
            for part, tensor in zip(parts, pair, strict=True):
                file[name.format(layer[4], layer[6], part)] = tensor
    return path


def same(found, layers):
    assert tuple(found) == CONVOLUTIONS
    for layer, (filters, biases) in found.items():
        assert filters.dtype == biases.dtype == np.float32
        np.testing.assert_array_equal(filters, layers[layer][0])
        np.testing.assert_array_equal(biases, layers[layer][1])


def test_convolutions_are_vgg19s_up_to_conv5_1():
    assert len(CONVOLUTIONS) == 13
    assert CONVOLUTIONS[:3] == ("conv1_1", "conv1_2", "conv2_1")
    assert CONVOLUTIONS[-2:] == ("conv4_4", "conv5_1")


def test_npy_agrees_with_numpys_own_loader():
    same(load_weights(THIN), np.load(THIN, allow_pickle=True, encoding="latin1").item())


def test_npy_drops_the_layers_that_are_not_needed(tmp_path, layers):
    more = {"fc6": [np.zeros((7, 5), "f4"), np.zeros(5, "f4")], "conv5_2": [np.zeros((3, 3, 5, 5), "f4"), np.zeros(5, "f4")]}
    np.save(tmp_path / "w.npy", more | layers, allow_pickle=True)
    same(load_weights(tmp_path / "w.npy"), layers)


def test_npy_of_other_memory_order_precision_and_naming(tmp_path, layers):
    other = {name: {"weights": np.asfortranarray(f).astype(">f8"), "biases": b.astype("f8")} for name, (f, b) in layers.items()}
    same(load_weights(save_npy(tmp_path / "w.npy", other, protocol=3)), layers)


def test_npy_written_by_python_2(tmp_path, layers):
    """Python 2 pickled bytes as strings: the same stream with BINSTRING and SHORT_BINSTRING opcodes."""

    def text(string):
        return b"U" + bytes([len(string)]) + string

    def array(tensor):
        dtype = b"cnumpy\ndtype\n(" + text(b"f4") + b"K\0K\1tR(K\3" + text(b"<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        shape = b"(" + b"".join(b"K" + bytes([size]) for size in tensor.shape) + b"t"
        raw = tensor.tobytes()
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0t" + text(b"b") + b"tR"
        return made + b"(K\1" + shape + dtype + b"\x89T" + struct.pack("<I", len(raw)) + raw + b"tb"

    stream = b"".join(text(name.encode()) + b"](" + array(f) + array(b) + b"e" for name, (f, b) in layers.items())
    outer = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0t" + text(b"b") + b"tR(K\1(tcnumpy\ndtype\n("
    outer += text(b"O8") + b"K\0K\1tR(K\3" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89](}(" + stream + b"uetb."
    path = save_npy(tmp_path / "w.npy", {})
    header = path.read_bytes().index(b"\n") + 1
    path.write_bytes(path.read_bytes()[:header] + b"\x80\x02" + outer)
    same(load_weights(path), np.load(path, allow_pickle=True, encoding="latin1").item())
    same(load_weights(path), layers)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("block{0}_conv{1}/block{0}_conv{1}_{2}_1:0", ("W", "b")),
        ("block{0}_conv{1}/block{0}_conv{1}/{2}:0", ("kernel", "bias")),
        ("model_weights/block{0}_conv{1}/vgg19/block{0}_conv{1}/{2}", ("kernel", "bias")),
    ],
)
def test_keras_named_layers(tmp_path, layers, name, parts):
    more = {"conv5_2": [np.zeros((3, 3, 5, 5), "f4"), np.zeros(5, "f4")]}
    same(load_weights(save_keras(tmp_path / "w.h5", layers | more, name, parts)), layers)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, under NumPy 2
def test_files_saved_by_keras_itself(tmp_path, layers):
    import keras

    model = keras.Sequential([keras.Input((None, None, 3))])
    for layer, pair in layers.items():
        model.add(keras.layers.Conv2D(WIDTHS[layer], 3, name=f"block{layer[4]}_conv{layer[6]}"))
        model.layers[-1].set_weights(pair)
    model.save_weights(tmp_path / "w.weights.h5")
    model.save(tmp_path / "w.h5")
    same(load_weights(tmp_path / "w.weights.h5"), layers)
    same(load_weights(tmp_path / "w.h5"), layers)


@pytest.mark.parametrize("names", ["{}_W {}_b", "{}/filters {}/biases", "{}/kernel {}/bias", "{}_weights {}_biases"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, layers, names, save):
    arrays = {key.format(name): tensor for name, pair in layers.items() for key, tensor in zip(names.split(), pair, strict=True)}
    save(tmp_path / "w.npz", **arrays)
    same(load_weights(tmp_path / "w.npz"), layers)


class Hostile:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def refused(path, *says):
    with pytest.raises(UserError) as refusal:
        load_weights(path)
    message = str(refusal.value)
    assert "\n" not in message
    for text in (str(path), "; use ", *says):
        assert text in message


def test_pickle_that_asks_for_a_function_is_refused_and_not_run(tmp_path, layers):
    layers["conv5_1"] = Hostile(os.mkdir, str(tmp_path / "harm"))
    refused(save_npy(tmp_path / "w.npy", layers), "mkdir")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("function", [eval, np.load, np.frombuffer, np.zeros])
def test_pickle_may_not_reach_builtins_or_numpy_functions(tmp_path, function):
    refused(save_npy(tmp_path / "w.npy", {"conv1_1": Hostile(function, "1")}), function.__name__)


def test_pickle_with_an_array_of_objects_is_refused(tmp_path, layers):
    layers["conv1_1"][1] = np.array(["a", 1], dtype=object)
    refused(save_npy(tmp_path / "w.npy", layers), "not floats")


@pytest.mark.parametrize(
    ("opcodes", "says"),
    [
        pytest.param(b"\x8e" + struct.pack("<Q", 1 << 40), "1099511627776 bytes", id="bytes of a tebibyte"),
        pytest.param(b"]r\xff\xff\xff\x7f.", "more than weights need", id="memo index 2**31 - 1"),
        pytest.param(b"]" * 20_000 + b".", "more than weights need", id="20000 lists"),
        pytest.param(b"\x95" + struct.pack("<Q", 1 << 40) + b"N.", "more than weights need", id="frame of a tebibyte"),
        pytest.param(b"N.", "", id="None"),
        pytest.param(b"garbage", "", id="garbage"),
        pytest.param(b"", "", id="protocol alone"),
    ],
)
def test_pickle_bombs_and_rubbish_are_refused(tmp_path, opcodes, says):
    path = save_npy(tmp_path / "w.npy", {})
    header = path.read_bytes().index(b"\n") + 1
    path.write_bytes(path.read_bytes()[:header] + b"\x80\x04" + opcodes)
    refused(path, says)


def test_declared_shape_without_content_is_refused(tmp_path, layers):
    """A shape of 2**31 filters over a few bytes: in each format nothing of that size may be set aside."""
    huge = (3, 3, 3, 1 << 31)
    stream = save_npy(tmp_path / "w.npy", layers, protocol=3).read_bytes()  # 3: without frames, whose length would tell
    shape = b"(K\x03K\x03K\x03K\x02t"
    assert shape in stream
    (tmp_path / "w.npy").write_bytes(stream.replace(shape, b"(K\x03K\x03K\x03J\xff\xff\xff\x7ft", 1))
    refused(tmp_path / "w.npy", "cannot reshape")
    with h5py.File(save_keras(tmp_path / "w.h5", layers), "a") as file:
        name = "block1_conv1/block1_conv1_W_1:0"
        del file[name]
        file.create_dataset(name, huge, "f4", chunks=(3, 3, 3, 8), compression="gzip")
    refused(tmp_path / "w.h5", "larger than any layer")
    np.savez_compressed(tmp_path / "w.npz", conv1_1_W=np.zeros((3, 3, 3, 1 << 18)))
    refused(tmp_path / "w.npz", "larger than any layer")


@pytest.mark.parametrize("suffix", [".npy", ".h5", ".npz"])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, b"<html>not found</html>"])
def test_other_files_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path, layers, keep):
    np.savez(tmp_path / "w.npz", **{f"{name}_{k}": t for name, pair in layers.items() for k, t in zip("Wb", pair, strict=True)})
    save_npy(tmp_path / "w.npy", layers)
    save_keras(tmp_path / "w.h5", layers)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        refused(path)


def test_plain_array_is_refused(tmp_path):
    np.save(tmp_path / "w.npy", np.zeros((3, 3, 3, 2)))
    refused(tmp_path / "w.npy", "plain array")


def test_missing_layer_is_named(tmp_path, layers):
    del layers["conv3_2"]
    refused(save_npy(tmp_path / "w.npy", layers), "conv3_2")


@pytest.mark.parametrize(
    ("layer", "filters", "biases"),
    [
        ("conv1_1", (3, 3, 4, 2), (2,)),  # four input channels
        ("conv2_1", (3, 3, 2, 2), (2,)),  # does not take what conv1_2 gives
        ("conv2_1", (5, 5, 3, 2), (2,)),
        ("conv2_1", (3, 3, 3, 2), (3,)),
        ("conv2_1", (3, 3, 3, 2), (1, 2)),
        ("conv2_1", (2, 3, 3, 3), (2,)),  # Theano's and PyTorch's order
        ("conv5_1", (3, 3, 2, 0), (0,)),
        ("conv5_1", (), ()),
    ],
)
def test_shapes_that_do_not_chain_are_refused(tmp_path, layers, layer, filters, biases):
    layers[layer] = [np.zeros(filters, "f4"), np.zeros(biases, "f4")]
    refused(save_npy(tmp_path / "w.npy", layers), layer, str(filters), str(biases))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("part", [0, 1])
def test_non_finite_weights_are_refused(tmp_path, layers, value, part):
    layers["conv4_2"][part] = layers["conv4_2"][part].astype("f8")
    layers["conv4_2"][part].flat[0] = value
    refused(save_npy(tmp_path / "w.npy", layers), "not finite", "conv4_2")


def test_integers_are_refused(tmp_path, layers):
    layers["conv1_1"][1] = np.zeros(2, "i4")
    refused(save_npy(tmp_path / "w.npy", layers), "not floats")
    refused(save_keras(tmp_path / "w.h5", layers), "not floats")


def test_check_of_the_path(tmp_path):
    for choice in ("auto", "pretrained", "learned", str(THIN)):
        check_weights_path(choice)
    (tmp_path / "w.txt").write_text("")
    for choice, says in (
        (tmp_path / "no.npy", "does not exist"),
        (tmp_path, "is a folder"),
        (tmp_path / "w.txt", "unknown type"),
    ):
        with pytest.raises(UserError, match=says):
            check_weights_path(str(choice))


@pytest.fixture
def keras_file(tmp_path, layers):
    """The content of a Keras file made here."""
    return save_keras(tmp_path / "made.h5", layers).read_bytes()


@pytest.fixture
def keras_home(tmp_path, keras_file, monkeypatch):
    """No weights anywhere; the published hash is that of the file made here."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(weights, "PLACES", (tmp_path / "vgg19.npy", tmp_path / "vgg19" / "vgg19.npy"))
    monkeypatch.setattr(weights, "KERAS_MD5", weights._md5(tmp_path / "made.h5"))
    return tmp_path / "keras"


@pytest.fixture
def serve(monkeypatch):
    """Serve one answer from a local port, where the Keras download is then looked for; returns how often it was asked."""
    servers, ended = [], threading.Event()

    def start(content, length=None, status=200, hold=0):
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content) if length is None else length))
                self.end_headers()
                self.wfile.write(content)
                ended.wait(hold)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setattr(weights, "_keras_url", lambda: f"http://127.0.0.1:{server.server_port}/vgg19.h5")
        return asked

    yield start
    ended.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def nothing_had(keras_home, caplog, *says, timeout=5.0):
    """`auto` warns in one short line, once, and goes on, `pretrained` raises, and nothing half-written is left behind."""
    assert find_weights("auto", timeout) is None
    with pytest.raises(UserError) as refusal:
        find_weights("pretrained", timeout)
    begin = time.monotonic()
    assert find_weights("auto", timeout) is None  # it does not wait for the same once more
    assert time.monotonic() - begin < 0.1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    warning = re.fullmatch(
        r"VGG19's weights cannot be downloaded \((.+)\); features are learned from the two photos instead", record.getMessage()
    )
    assert warning and "\n" not in warning[1] and not re.search("errno", warning[1], re.IGNORECASE)
    error = str(refusal.value)
    assert error.startswith("VGG19's weights cannot be downloaded (") and error.endswith(", or give `vgg19_weights` FILE")
    assert str(keras_home / "models") in error
    assert all(text in message for text in says for message in (warning[1], error))
    assert list((keras_home / "models").iterdir()) == []


def test_download_goes_into_the_keras_cache_and_is_used_from_there(keras_home, keras_file, serve, layers, caplog):
    asked = serve(keras_file)
    for _ in range(2):
        found, description = find_weights("auto")
        same(found, layers)
        assert "Keras" in description
    assert len(asked) == 1
    assert [path.name for path in (keras_home / "models").iterdir()] == [weights.KERAS_FILE]
    assert not caplog.records


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_download_shows_its_progress_on_a_terminal(keras_home, keras_file, serve, monkeypatch, capsys, caplog, is_terminal):
    serve(keras_file)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with caplog.at_level(logging.INFO):
        find_weights("auto")
    (line,) = caplog.messages
    place = keras_home / "models" / weights.KERAS_FILE
    assert line.startswith("downloading VGG19's weights from http://") and line.endswith(f" to {place}")
    assert ("VGG19's weights:   0%" in capsys.readouterr().err) is is_terminal


def test_a_damaged_keras_copy_is_downloaded_again(keras_home, keras_file, serve, layers):
    asked = serve(keras_file)
    (keras_home / "models").mkdir(parents=True)
    (keras_home / "models" / weights.KERAS_FILE).write_bytes(keras_file[:-1])
    same(find_weights("pretrained")[0], layers)
    assert len(asked) == 1


def test_download_of_another_file(keras_home, keras_file, serve, caplog):
    serve(keras_file[:-1] + b"?")
    nothing_had(keras_home, caplog, "MD5")


def test_download_cut_short(keras_home, keras_file, serve, caplog):
    serve(keras_file[:-100], length=len(keras_file))
    nothing_had(keras_home, caplog, str(len(keras_file) - 100))


def test_download_that_stalls_is_given_up_in_time(keras_home, keras_file, serve, caplog):
    serve(keras_file[:-100], length=len(keras_file), hold=2)
    start = time.monotonic()
    nothing_had(keras_home, caplog, "timed out", timeout=0.5)
    assert time.monotonic() - start < 4


def test_download_that_is_not_there(keras_home, serve, caplog):
    serve(b"gone", status=404)
    nothing_had(keras_home, caplog, "Not Found")


def test_silent_server_is_given_up_in_time(keras_home, monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(weights, "_keras_url", lambda: f"http://127.0.0.1:{listener.getsockname()[1]}/")
        start = time.monotonic()
        nothing_had(keras_home, caplog, timeout=0.5)
        assert 0.9 < time.monotonic() - start < 4


def test_name_lookup_that_hangs_is_given_up_in_time(keras_home, monkeypatch, caplog):
    release = threading.Event()

    def lookup(*_, **__):
        release.wait(20)
        raise OSError("released")

    monkeypatch.setattr(weights, "_keras_url", lambda: "http://weights.invalid/")
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    start = time.monotonic()
    nothing_had(keras_home, caplog, "0.5 seconds", timeout=0.5)
    assert time.monotonic() - start < 4
    release.set()


def test_refused_port(keras_home, monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setattr(weights, "_keras_url", lambda: f"http://127.0.0.1:{port}/")
    nothing_had(keras_home, caplog, "refused")


def test_weights_of_ones_own_come_first(keras_home, serve, keras_file, layers):
    asked = serve(keras_file)
    weights.PLACES[-1].parent.mkdir()
    weights.PLACES[-1].write_bytes(THIN.read_bytes())
    found, description = find_weights("auto")
    assert found["conv1_1"][0].shape == (3, 3, 3, 6)
    assert description == "VGG19 weights vgg19.npy"
    assert not asked


def test_path_and_learned(keras_home, caplog):
    found, description = find_weights(str(THIN))
    assert tuple(found) == CONVOLUTIONS
    assert str(THIN) in description
    assert find_weights("learned") is None
    assert not caplog.records


def test_without_a_home_nothing_is_downloaded(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where there is neither HOME nor an entry of the user
    monkeypatch.setattr(weights, "PLACES", (tmp_path / "vgg19.npy",))
    with pytest.raises(UserError, match=r"^VGG19's weights cannot be downloaded \(there is no home folder for them\); put "):
        find_weights("pretrained")


def test_a_user_without_a_home_can_import_it():
    code = """
import os, pathlib, platformdirs
def nobody(*_, **__):
    raise RuntimeError("could not determine the home directory")
platformdirs.user_data_path = pathlib.Path.home = pathlib.Path.expanduser = nobody
os.path.expanduser = lambda path: path
from vgg19.weights import PLACES
assert len(PLACES) == 2
"""
    subprocess.run([sys.executable, "-c", code], cwd=THIN.parents[2], check=True, timeout=60)


def test_url_and_hash_are_those_of_keras():
    import inspect

    import keras

    assert weights._keras_url().endswith("/" + weights.KERAS_FILE)
    assert weights.KERAS_MD5 in inspect.getsource(keras.applications.VGG19)


def test_a_memo_index_written_as_text_is_bounded_too(tmp_path):
    path = save_npy(tmp_path / "w.npy", {})
    header = path.read_bytes().index(b"\n") + 1
    path.write_bytes(path.read_bytes()[:header] + b"\x80\x02]p2000000000\n.")
    refused(path, "more than weights need")


def test_a_name_of_a_megabyte_is_not_quoted_whole(tmp_path):
    path = save_npy(tmp_path / "w.npy", {})
    header = path.read_bytes().index(b"\n") + 1
    path.write_bytes(path.read_bytes()[:header] + b"\x80\x02c" + b"m" * 1_000_000 + b"\nname\n.")
    with pytest.raises(UserError) as refusal:
        load_weights(path)
    assert len(str(refusal.value)) <= 1000 and str(refusal.value).endswith("; use a complete VGG19 .npy, .h5 or .npz file")


@pytest.mark.parametrize("way", ["external storage", "virtual", "external link", "soft link"])
def test_an_h5_file_reads_no_other_file(tmp_path, layers, way):
    name, shape = "block1_conv1/block1_conv1_W_1:0", layers["conv1_1"][0].shape
    os.mkfifo(tmp_path / "pipe")  # who opened it would wait for ever
    with h5py.File(save_keras(tmp_path / "w.h5", layers), "a") as file:
        del file[name]
        if way == "external storage":
            file.create_dataset(name, shape, "f4", external=[(str(tmp_path / "pipe"), 0, h5py.h5f.UNLIMITED)])
        elif way == "virtual":
            layout = h5py.VirtualLayout(shape, "f4")
            layout[...] = h5py.VirtualSource(str(tmp_path / "pipe"), "x", shape)
            file.create_virtual_dataset(name, layout)
        elif way == "external link":
            file[name] = h5py.ExternalLink(str(tmp_path / "pipe"), "x")
        else:
            file[name] = h5py.SoftLink("/nowhere")
    refused(tmp_path / "w.h5", "lack filters" if "link" in way else "is stored in another file")


def test_h5_groups_nested_deep_and_many_are_refused_at_once(tmp_path):
    with h5py.File(tmp_path / "deep.h5", "w") as file:
        group = file
        for _ in range(3000):
            group = group.create_group("g")
    with h5py.File(tmp_path / "round.h5", "w") as file:
        file["a"] = file  # a group that holds itself
        file["b"] = file
    for name in ("deep.h5", "round.h5"):
        begin = time.perf_counter()
        refused(tmp_path / name, "more groups than weights need")
        assert time.perf_counter() - begin < 5  # by their paths they took a minute, and those of the other for ever


def test_a_file_larger_than_any_vgg19_is_not_opened(tmp_path):
    with open(tmp_path / "w.npy", "wb") as file:
        file.truncate(2**31 + 1)
    refused(tmp_path / "w.npy", "more than any VGG19")
