"""Finding networks: pretrained ones once, learned ones for each pair."""

from conftest import golden_photo

import vgg19.networks
from vgg19.layers import CONVOLUTIONS
from vgg19.networks import Networks


def test_weights_are_looked_for_once_and_learned_networks_are_not_shared(monkeypatch):
    asked = []
    monkeypatch.setattr(vgg19.networks, "find_weights", lambda choice: asked.append(choice))
    monkeypatch.setattr("vgg19.learned.WIDTHS", (8, 8, 8, 8, 8))
    networks, photos = Networks(), (golden_photo("content.png"), golden_photo("style.png"))
    first, second = (networks.of_pair("learned", *photos, 4) for _ in range(2))
    assert asked == ["learned"]
    assert first is not second and first.description == "learned from the two photos"
    assert networks.channels("learned") == dict.fromkeys(CONVOLUTIONS, 8)
    assert networks.pretrained("learned") is None
