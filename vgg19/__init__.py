"""VGG19 (Simonyan, Zisserman 2014): the only place that knows the network's pixel convention and its weights.

`network` extracts features, `weights` finds and reads pretrained weights, `learned` makes features without any.
"""
