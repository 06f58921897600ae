"""Small good files of every kind that the tool reads, from which hostile ones are made."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import pickle
import struct
from collections.abc import Iterator

import h5py
import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from dpst import __version__
from dpst.imaging.vips import pyvips
from dpst.jobs.job import Record
from dpst.options import Options
from vgg19.layers import CONVOLUTIONS

WIDTH, HEIGHT = 24, 18
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" xmlns:h="http://ns.adobe.com/hdr-gain-map/1.0/" '
    b'h:Version="1"><h:Max><rdf:Seq><rdf:li>2</rdf:li></rdf:Seq></h:Max></rdf:Description></rdf:RDF></x:xmpmeta>'
)


def levels(channels: int, dtype: type = np.uint8) -> np.ndarray:
    """Noise over a ramp, (HEIGHT, WIDTH, channels)."""
    random = np.random.default_rng(channels)
    ramp = np.linspace(0, 0.8, WIDTH)[None, :, None] + random.uniform(0, 0.2, (HEIGHT, WIDTH, channels))
    return (ramp * np.iinfo(dtype).max).astype(dtype)


@functools.cache
def exif() -> bytes:
    """EXIF with text, rationals, a GPS directory and an orientation, as JPEG has it."""
    block = Image.Exif()
    block[0x0112], block[0x010F], block[0x011A] = 6, "a camera", 72.0
    block.get_ifd(0x8769).update({0x829A: 0.01, 0x9003: "2020:02:02 20:20:20", 0x927C: b"maker's note", 0xA005: {1: "R03"}})
    block.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    return block.tobytes()


@functools.cache
def icc() -> bytes:
    """A profile for RGB whose colours are not sRGB's: red and blue are swapped."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    profile[red + 4 : red + 12], profile[blue + 4 : blue + 12] = profile[blue + 4 : blue + 12], profile[red + 4 : red + 12]
    return bytes(profile)


def with_metadata(form: str, exif_block: bytes = b"", profile: bytes = b"", xmp: bytes = b"") -> bytes:
    """A good PNG, JPEG or WebP picture with these blocks of metadata, whatever is in them."""
    picture, content = Image.fromarray(levels(3)), io.BytesIO()
    how: dict = {"icc_profile": profile} if profile else {}
    how |= {"exif": exif_block} if exif_block else {}
    if form == "PNG":
        info = PngImagePlugin.PngInfo()
        if xmp:
            info.add_itxt("XML:com.adobe.xmp", xmp.decode("latin1"))
        how["pnginfo"] = info
    elif xmp:
        how["xmp"] = xmp
    picture.save(content, form, **how)
    return content.getvalue()


def _saved(picture: Image.Image, form: str, **how) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **how)
    return content.getvalue()


@functools.cache
def pngs() -> list[bytes]:
    """RGB with all metadata, RGBA, grey, a palette with a transparent colour, interlaced, 16 bits, colours in chunks."""
    found = [with_metadata("PNG", exif(), icc(), XMP)]
    found += [_saved(Image.fromarray(levels(4)), "PNG"), _saved(Image.fromarray(levels(1)[..., 0]), "PNG")]
    found.append(_saved(Image.fromarray(levels(3)).quantize(5), "PNG", transparency=1))
    wide = pyvips.Image.new_from_array(levels(3, np.uint16)).copy(interpretation="rgb16")
    found += [wide.pngsave_buffer(), wide.cast("uchar").copy(interpretation="srgb").pngsave_buffer(interlace=True)]
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", (55_556).to_bytes(4, "big"))
    info.add(b"cHRM", struct.pack(">8L", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000))
    points = PngImagePlugin.PngInfo()
    points.add(b"cICP", bytes([12, 13, 0, 1]))
    return [*found, *(_saved(Image.fromarray(levels(3)), "PNG", pnginfo=each) for each in (info, points))]


@functools.cache
def bmps() -> list[bytes]:
    """RGB, grey, a palette, one bit."""
    return [_saved(Image.fromarray(levels(3)).convert(mode), "BMP") for mode in ("RGB", "L", "P", "1")]


@functools.cache
def jpegs() -> list[bytes]:
    """RGB with all metadata, grey, CMYK, progressive, with a gain map behind it, by XMP and as libvips knows it."""
    cmyk = Image.fromarray(levels(4)).convert("RGB").convert("CMYK")
    found = [with_metadata("JPEG", exif(), icc(), XMP), _saved(Image.fromarray(levels(1)[..., 0]), "JPEG")]
    found += [_saved(cmyk, "JPEG"), _saved(Image.fromarray(levels(3)), "JPEG", progressive=True)]
    found.append(with_metadata("JPEG", xmp=XMP) + _saved(Image.fromarray(levels(1)[..., 0]), "JPEG"))
    if pyvips.type_find("VipsOperation", "uhdrsave"):
        light = pyvips.Image.new_from_array(levels(3)).copy(interpretation="srgb").colourspace("scrgb") * 2.5
        found.append(light.copy(interpretation="scrgb").uhdrsave_buffer())
    return found


@functools.cache
def webps() -> list[bytes]:
    """Lossy with all metadata, lossless with alpha."""
    return [with_metadata("WEBP", exif(), icc(), XMP), _saved(Image.fromarray(levels(4)), "WEBP", lossless=True)]


def _tiffs(big: bool) -> Iterator[bytes]:
    """8 and 16 bits, plain, packed, in tiles, with a profile."""
    photo, wide = pyvips.Image.new_from_array(levels(3)), pyvips.Image.new_from_array(levels(4, np.uint16))
    photo.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc())
    photo.set_type(pyvips.GValue.blob_type, "xmp-data", XMP)
    for image, how in ((photo, {}), (photo, {"compression": "lzw"}), (wide, {"compression": "deflate"})):
        yield image.tiffsave_buffer(bigtiff=big, **how)
    yield photo.tiffsave_buffer(bigtiff=big, tile=True, tile_width=16, tile_height=16, compression="jpeg")


@functools.cache
def tiffs() -> list[bytes]:
    """TIFF by libtiff, and with EXIF by Pillow."""
    return [*_tiffs(big=False), _saved(Image.fromarray(levels(3)), "TIFF", exif=exif())]


@functools.cache
def bigtiffs() -> list[bytes]:
    """BigTIFF, whose directories have other sizes."""
    return list(_tiffs(big=True))


@functools.cache
def avifs() -> list[bytes]:
    """AVIF of 8 and of 10 bits, and with code points for Display P3; none where libvips has no encoder."""
    image = pyvips.Image.new_from_array(levels(3)).copy(interpretation="srgb")
    try:
        found = [image.heifsave_buffer(compression="av1", bitdepth=bits) for bits in (8, 10)]
    except pyvips.Error:
        return []
    return [*found, found[0] + struct.pack(">L8sHHHB", 19, b"colrnclx", 12, 13, 6, 128)]


@functools.cache
def masks() -> list[bytes]:
    """Flat colours as PNG, JPEG and BMP, labels, in three channels too, soft grey, alpha, labels of 16 bits, small and large."""
    columns = np.arange(WIDTH)[None, :] // 8 + np.zeros((HEIGHT, 1), int)
    colours = np.array([(0, 0, 255), (255, 255, 255), (255, 0, 0)], np.uint8)[columns]
    alpha = np.dstack([colours, np.where(columns == 1, 0, 255)]).astype(np.uint8)
    wide = [pyvips.Image.new_from_array((columns * n + n).astype(np.uint16)).copy(interpretation="grey16") for n in (1, 300)]
    found = [_saved(Image.fromarray(each), "PNG") for each in (colours, columns.astype(np.uint8), levels(1)[..., 0], alpha)]
    found += [_saved(Image.fromarray(colours), "JPEG"), *(each.pngsave_buffer() for each in wide)]
    found.append(_saved(Image.fromarray(np.repeat(columns[..., None], 3, 2).astype(np.uint8)), "PNG"))
    return [*found, *(_saved(Image.fromarray(colours).convert(mode), "BMP") for mode in ("RGB", "P", "1"))]


@functools.cache
def strokes() -> list[bytes]:
    """Two strokes on a transparent ground, and on white."""
    picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    picture[2:5, 2:20], picture[12:15, 3:21] = (255, 0, 0, 255), (0, 0, 255, 255)
    on_white = np.where(picture[..., 3:] > 0, picture[..., :3], 255).astype(np.uint8)
    return [_saved(Image.fromarray(picture), form) for form in ("PNG", "WEBP")] + [_saved(Image.fromarray(on_white), "PNG")]


def _layers() -> dict[str, list[np.ndarray]]:
    """A network of one channel a layer."""
    random, channels, made = np.random.default_rng(0), 3, {}
    for layer in CONVOLUTIONS:
        made[layer] = [random.normal(size=(3, 3, channels, 1)).astype("f4"), np.zeros(1, "f4")]
        channels = 1
    return made


def _npys(*protocols: int) -> list[bytes]:
    found = []
    for protocol in protocols:
        content = io.BytesIO()
        np.lib.format.write_array_header_1_0(content, {"descr": "|O", "fortran_order": False, "shape": ()})
        found.append(content.getvalue() + pickle.dumps(np.array(_layers(), dtype=object), protocol=protocol))
    return found


@functools.cache
def npys() -> list[bytes]:
    """Dictionaries, pickled by the protocols that arrays are pickled with."""
    return _npys(3, 4)


@functools.cache
def strange_npys() -> list[bytes]:
    """By the others: whole, with other opcodes, and refused, for they ask for functions."""
    return _npys(0, 2, 5)


@functools.cache
def h5s() -> list[bytes]:
    """Keras' names; packed, and in the newer layout of HDF5."""
    found = []
    for how, version in (({}, "earliest"), ({"compression": "gzip"}, "earliest"), ({}, "latest")):
        content = io.BytesIO()
        with h5py.File(content, "w", libver=version) as file:
            for layer, (filters, biases) in _layers().items():
                name = f"block{layer[4]}_conv{layer[6]}"
                file.create_dataset(f"{name}/{name}/kernel:0", data=filters, **how)
                file.create_dataset(f"{name}/{name}/bias:0", data=biases, **how)
        found.append(content.getvalue())
    return found


@functools.cache
def npzs() -> list[bytes]:
    """Plain and packed archives of arrays."""
    arrays = {f"{layer}_{part}": array for layer, pair in _layers().items() for part, array in zip("Wb", pair, strict=True)}
    found = []
    for save in (np.savez, np.savez_compressed):
        content = io.BytesIO()
        save(content, **arrays)
        found.append(content.getvalue())
    return found


@functools.cache
def csvs() -> list[bytes]:
    """Manifests as tables."""
    plain = b"content_image_path,style_image_path,strength\na.png,s.png,1\nb.png,s.png,0.5\n"
    return [plain, b'\xef\xbb\xbfcontent_image_path,style_image_path,dry_run\r\n"a, b.png","s ""1"".png",\r\n', plain * 20]


@functools.cache
def jsonls() -> list[bytes]:
    """Manifests of one JSON object a line."""
    lines = [{"content_image_path": "a.png", "style_image_path": "s.png"}]
    lines += [{**lines[0], "output_image": "b.png", "seed": 3, "strength": "0.5,1", "dry_run": True, "lut": "{region}.cube"}]
    return ["\n".join(map(json.dumps, lines)).encode(), (json.dumps(lines[1]) + "\n").encode() * 5]


@functools.cache
def records() -> list[bytes]:
    """The record of a job that is done."""
    record = Record(
        version=__version__,
        command="deep_photostyle.py",
        seed=0,
        options=dataclasses.asdict(Options()),
        inputs={"content_image_path": "0" * 64},
        outputs=["0" * 64],
        seconds=1.0,
        scores={"edge_ssim": 0.5},
        luts={"look.cube": "0" * 64},
    )
    values = dataclasses.asdict(record)
    return [
        json.dumps(values, indent=1).encode(),
        json.dumps(values | {"regions": [{"name": "a", "content": 1, "style": 1}]}).encode(),
    ]


@functools.cache
@functools.cache
def clips() -> list[bytes]:
    """Clips in each container: H.264 with a rotation, sound and a text, FFV1, and MPEG-4."""
    import av  # an extra of its own

    def clip(kind: str, codec: str, pixels: str = "yuv420p") -> bytes:
        held = io.BytesIO()
        with av.open(held, "w", kind) as container:
            container.metadata["title"] = "a film"
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
            if codec == "libx264":
                stream.set_display_rotation(90)
            sound = container.add_stream("aac" if kind != "avi" else "pcm_s16le", rate=8000, layout="mono")
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(levels(3), "rgb24").reformat(format=pixels)))
            block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
            block.sample_rate = 8000
            for encoder, frame in ((sound, block), (sound, None), (stream, None)):
                container.mux(encoder.encode(frame))
        return held.getvalue()

    rich = [clip(kind, "libx264") for kind in ("mp4", "matroska", "mov")]
    return [*rich, clip("matroska", "ffv1", "yuv444p"), clip("avi", "mpeg4")]


def cubes() -> list[bytes]:
    """Tables of one and of three dimensions, and of both, with every keyword, untidy, and in UTF-16."""
    three = "\n".join(f"{r} {g} {b}" for b in (0, 0.5, 1) for g in (0, 0.5, 1) for r in (0, 0.5, 1))
    head = 'TITLE "a look"\n# a comment\n'
    found = [f"{head}LUT_3D_SIZE 3\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n{three}\n"]
    found += ["LUT_1D_SIZE 3\nLUT_1D_INPUT_RANGE 0 2\n0 0 0\n0.5 0.4 0.3\n1 1 1\n", f"\ufeffLUT_3D_SIZE 3\r\n{three}"]
    found.append(f"LUT_IN_VIDEO_RANGE\nlut_3d_size 3\n{three}\n".replace(".", ","))
    found.append(f"LUT_1D_SIZE 2\nLUT_3D_SIZE 3\nLUT_3D_INPUT_RANGE 0 1\n0 0 0 # black\n1, 1, 1\n{three}\nTITLE x\x1a\0")
    return [*(text.encode() for text in found), found[0].encode("utf-16")]


@functools.cache
def halds() -> list[bytes]:
    """HaldCLUTs of nine nodes a side, of 8 and of 16 bits, and one in tiles."""
    steps = np.linspace(0, 1, 9)
    table = np.stack(np.meshgrid(steps, steps, steps, indexing="ij")[::-1], -1).reshape(27, 27, 3)
    wide = pyvips.Image.new_from_array(np.rint(65535 * table).astype(np.uint16)).copy(interpretation="rgb16")
    narrow = np.rint(255 * table).astype(np.uint8)
    tiles = narrow.reshape(3, 3, 9, 9, 3).transpose(0, 2, 1, 3, 4).reshape(27, 27, 3)
    found = [_saved(Image.fromarray(each), "PNG") for each in (narrow, tiles)]
    return [*found, wide.pngsave_buffer(), wide.tiffsave_buffer()]
