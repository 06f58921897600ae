"""Finding feature extractors. TensorFlow is imported when the first network is made, not before."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING

import numpy as np

from dpst.errors import UserError
from dpst.imaging.pictures import as_picture, check_path
from vgg19.layers import LOSS_LAYERS, block_of
from vgg19.weights import find_weights, weights_file

if TYPE_CHECKING:
    from vgg19.network import Network


_LEARNED = "learned from the two photos"


class Networks:
    """Finds networks by `Options.vgg19_weights`, and keeps the pretrained ones, so that runs share them."""

    def __init__(self) -> None:
        self._pretrained: dict[str, tuple[object, Network | None]] = {}  # by choice, with the state of its file

    def pretrained(self, choice: str) -> Network | None:
        """The pretrained network; None where features are to be learned, which are a pair's own.

        It is the one that a new program would find, whatever file has come or changed since the last run.

        Raises:
            UserError: the choice is no path, or the weights cannot be found or read.
        """
        choice = check_path(choice, "weights")
        if choice not in self._pretrained or self._pretrained[choice][0] != _file_state(choice):
            found = find_weights(choice)  # it may download a file
            from vgg19.network import Network

            self._pretrained[choice] = _file_state(choice), Network(*found) if found else None
        return self._pretrained[choice][1]

    def channels(self, choice: str) -> dict[str, int]:
        """Number of channels of each layer; raises as `pretrained`."""
        if network := self.pretrained(choice):
            return {name: network.channels(name) for name in network.layers}
        from vgg19.learned import WIDTHS

        return {name: WIDTHS[block_of(name) - 1] for name in LOSS_LAYERS}

    def for_photos(self, choice: str, content: np.ndarray, style: np.ndarray, seed: int = 0) -> Network:
        """The pretrained network, or one with features learned from the two photos.

        Args:
            choice: see `Options.vgg19_weights`.
            content: (H, W, 3), as `photo_style.stylize` takes it.
            style: (h, w, 3), likewise.
            seed: of learned features, from 0 on.

        Raises:
            UserError: an array that is no picture, a seed that is none, or the weights cannot be found or read.
        """
        photos = [as_picture(content, "content"), as_picture(style, "style")]
        if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or seed < 0:
            raise UserError(f"seed {seed!r} is not a seed; use a whole number from 0 on")
        if pretrained := self.pretrained(choice):
            return pretrained
        from vgg19.learned import learn_weights
        from vgg19.network import Network

        return Network(learn_weights(photos, seed), _LEARNED)

    def description(self, choice: str) -> str:
        """Where the weights of `for_photos` come from; raises as `pretrained`."""
        network = self.pretrained(choice)
        return network.description if network else _LEARNED


def _file_state(choice: str) -> object:
    """What changes when the weights of a choice do."""
    path = weights_file(choice)
    if path is None:
        return None
    stat = path.stat()
    return path, stat.st_size, stat.st_mtime_ns, stat.st_ino
