"""The layers of VGG19 up to the last style layer (Simonyan, Zisserman 2014): the only place where their names are parsed."""

from __future__ import annotations

# Convolutions in each block; a pooling lies between blocks.
BLOCKS = (2, 2, 4, 4, 1)
CONVOLUTIONS = tuple(f"conv{block}_{i}" for block, depth in enumerate(BLOCKS, 1) for i in range(1, depth + 1))
# Those that the losses of Luan et al. 2017 look at; any network has them.
LOSS_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1")


def block_of(layer: str) -> int:
    """The block, from 1, of a convolution's name."""
    return int(layer[len("conv")])


def is_first(layer: str) -> bool:
    """Whether a convolution is the first of its block."""
    return layer.endswith("_1")
