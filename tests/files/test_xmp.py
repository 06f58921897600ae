"""XMP that goes into a result: what announces gain maps and films is taken out, and the rest stays as it is."""

import re

import pytest

from dpst.files.xmp import of_one_picture, upright

# Ultra HDR as a phone writes it, and a motion photo in attributes and in elements; the prefixes are each program's choice.
ULTRA_HDR = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
 xmlns:C="http://ns.google.com/photos/1.0/container/" xmlns:Item="http://ns.google.com/photos/1.0/container/item/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" hdrgm:Version="1.0" xmp:Rating="5">
<C:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><C:Item Item:Semantic="GainMap" Item:Length="55"/></rdf:li></rdf:Seq>
</C:Directory><xmp:Label>kept</xmp:Label></rdf:Description></rdf:RDF></x:xmpmeta>"""
MOTION = b"""<rdf:Description xmlns:Camera='http://ns.google.com/photos/1.0/camera/' Camera:MotionPhoto='1'
 Camera:MicroVideoOffset = "5000" Camera:BurstID="kept" dc:source="kept"><Camera:MotionPhotoVersion>1</Camera:MotionPhotoVersion>
<Camera:MotionPhotoPresentationTimestampUs/><dc:title>kept</dc:title></rdf:Description>"""
APPLE = b"""<rdf:Description xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/">
<HDRGainMap:HDRGainMapVersion>65536</HDRGainMap:HDRGainMapVersion><tiff:Make>kept</tiff:Make></rdf:Description>"""


@pytest.mark.parametrize("before", [ULTRA_HDR, MOTION, APPLE], ids=["Ultra HDR", "motion photo", "Apple"])
def test_what_announces_another_picture_goes_and_the_rest_stays(before):
    after = of_one_picture(before)
    for gone in (b":Version=", b"Directory", b"GainMap", b":MotionPhoto", b"MicroVideo", b"55", b"5000", b"65536"):
        assert not re.search(rb"(?<!xmlns:HDR)" + gone, after.replace(b"com/HDRGainMap", b"")), gone
    assert after.count(b"kept") == before.count(b"kept") and after.count(b"Rating") == before.count(b"Rating")
    assert after.count(b"<rdf:Description") == after.count(b"</rdf:Description>") == 1
    assert of_one_picture(after) == after


@pytest.mark.parametrize(
    "plain",
    [
        b'<rdf:Description xmlns:hdr="http://ns.adobe.com/hdr-metadata/1.0/" hdr:Version="1.0" Container:Directory="a"/>',
        b'<rdf:Description xmlns:G="http://ns.google.com/photos/1.0/camera/" G:SpecialTypeID="portrait"/>',
        b"no XMP at all <hdrgm:Version>",
        b"",
    ],
)
def test_other_xmp_stays_as_it_is(plain):
    assert of_one_picture(plain) == plain


def test_an_element_without_an_end_ends_nothing():
    cut = b'<a xmlns:h="http://ns.adobe.com/hdr-gain-map/1.0/"><h:Version>1.0<h:Version>1.0</a>'
    assert of_one_picture(cut) == cut


def test_upright_changes_the_orientation_alone():
    assert upright(b'tiff:Orientation="6" <tiff:Orientation>8</tiff:Orientation> exif:Orientation="6"') == (
        b'tiff:Orientation="1" <tiff:Orientation>1</tiff:Orientation> exif:Orientation="6"'
    )
