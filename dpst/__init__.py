"""The insides of Deep Photo Style Transfer; its door is `photo_style`."""

__version__ = "0.1.0"
