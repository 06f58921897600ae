"""Finding networks: pretrained ones once, learned ones for each pair."""

import os

from conftest import DATA, golden_photo

import vgg19.networks
from vgg19.layers import LOSS_LAYERS
from vgg19.networks import Networks
from vgg19.weights import load_weights


def test_weights_are_looked_for_once_and_learned_networks_are_not_shared(monkeypatch):
    asked = []
    monkeypatch.setattr(vgg19.networks, "find_weights", lambda choice: asked.append(choice))
    monkeypatch.setattr("vgg19.learned.WIDTHS", (8, 8, 8, 8, 8))
    networks, photos = Networks(), (golden_photo("content.png"), golden_photo("style.png"))
    first, second = (networks.of_pair("learned", *photos, 4) for _ in range(2))
    assert asked == ["learned"]
    assert first is not second and first.description == "learned from the two photos"
    assert networks.channels("learned") == dict.fromkeys(LOSS_LAYERS, 8)
    assert networks.pretrained("learned") is None


def test_weights_that_come_or_change_are_read_anew_and_others_are_kept(tmp_path, monkeypatch):
    path, asked = tmp_path / "vgg19.npy", []

    def find(choice):
        asked.append(choice)
        return (load_weights(path), "own") if path.exists() else None

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("vgg19.weights.PLACES", (path,))
    monkeypatch.setattr(vgg19.networks, "find_weights", find)
    networks = Networks()
    assert networks.pretrained("auto") is networks.pretrained("auto") is None
    path.write_bytes((DATA / "thin_vgg19.npy").read_bytes())
    first = networks.pretrained("auto")
    assert networks.pretrained("auto") is first is not None and len(asked) == 2
    os.utime(path, ns=(1, 1))
    assert networks.pretrained("auto") is not first and len(asked) == 3
