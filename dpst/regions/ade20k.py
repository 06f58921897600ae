"""The 150 classes of ADE20K, and which of them are one region.

Luan et al. 2017 (section 3) take the labels of a scene parser and merge related ones, so that lake, river, sea and water are
one; and they keep the content to labels that the style has. Here `GROUPS` is both rules in one table: the classes that make up
a region, and which other region stands in for it in a photo pair where only one photo has it.

Numbers and names are those of the scene parsing benchmark (Zhou et al. 2017, "Scene Parsing through ADE20K Dataset",
objectInfo150), of each class the first of its names. Channel n of a network is class n + 1.
"""

from __future__ import annotations

import dataclasses

from dpst.regions.mask_classes import Colour

CLASSES = 150


@dataclasses.dataclass(frozen=True)
class Group:
    """Classes that are one region.

    Attributes:
        name: what the region is called.
        colour: in the masks that are written, RGB in levels; the commonest groups have the nine colours of the reference script.
        kin: names of the groups that can stand in for it, the nearest first. Light and colour decide what is near, not use: a
            lake reflects the sky.
        classes: number and name of each class.
    """

    name: str
    colour: Colour
    kin: tuple[str, ...]
    classes: dict[int, str]


def _classes(text: str) -> dict[int, str]:
    """Number and name of each class of a text such as "5 tree, 18 plant"."""
    pairs = (item.split(maxsplit=1) for item in text.split(", "))
    return {int(number): name for number, name in pairs}


GROUPS = (
    Group("sky", (0, 255, 255), ("water",), _classes("3 sky")),
    Group(
        "water",
        (0, 0, 255),
        ("sky",),
        _classes("22 water, 27 sea, 61 river, 105 fountain, 110 swimming pool, 114 waterfall, 129 lake"),
    ),
    Group("mountain", (170, 85, 0), ("ground", "plant", "building"), _classes("17 mountain, 35 rock, 69 hill")),
    Group("plant", (0, 255, 0), ("grass", "mountain", "ground"), _classes("5 tree, 18 plant, 67 flower, 73 palm")),
    Group("grass", (170, 255, 0), ("plant", "ground"), _classes("10 grass, 30 field")),
    Group(
        "ground",
        (255, 170, 85),
        ("road", "mountain", "grass", "floor"),
        _classes("14 earth, 47 sand, 92 dirt track, 95 land"),
    ),
    Group("road", (128, 128, 128), ("ground", "floor"), _classes("7 road, 12 sidewalk, 53 path, 55 runway")),
    Group(
        "building",
        (255, 0, 0),
        ("wall", "fence", "mountain"),
        _classes(
            "2 building, 26 house, 43 column, 49 skyscraper, 52 grandstand, 62 bridge, 80 hovel, 85 tower, 87 awning, "
            "89 booth, 107 canopy, 115 tent, 123 tank, 141 pier"
        ),
    ),
    Group("fence", (170, 0, 85), ("building", "wall"), _classes("33 fence, 39 railing, 94 pole, 96 bannister")),
    Group(
        "stairs",
        (170, 170, 0),
        ("floor", "road", "building", "wall"),
        _classes("54 stairs, 60 stairway, 97 escalator, 122 step"),
    ),
    Group("wall", (255, 255, 170), ("building", "ceiling"), _classes("1 wall, 15 door, 50 fireplace, 59 screen door")),
    Group("window", (170, 255, 255), ("cloth", "wall", "building"), _classes("9 windowpane")),
    Group("ceiling", (255, 255, 255), ("wall",), _classes("6 ceiling")),
    Group("floor", (170, 85, 60), ("road", "ground", "wall"), _classes("4 floor, 29 rug, 102 stage")),
    Group(
        "furniture",
        (85, 0, 0),
        ("seat", "bed", "machine", "thing", "wall"),
        _classes(
            "11 cabinet, 16 table, 25 shelf, 34 desk, 36 wardrobe, 45 chest of drawers, 46 counter, 56 case, "
            "57 pool table, 63 bookcase, 65 coffee table, 71 countertop, 74 kitchen island, 78 bar, 100 buffet"
        ),
    ),
    Group(
        "seat",
        (255, 85, 85),
        ("bed", "furniture", "cloth"),
        _classes("20 chair, 24 sofa, 31 armchair, 32 seat, 40 cushion, 70 bench, 76 swivel chair, 98 ottoman, 111 stool"),
    ),
    Group("bed", (255, 170, 255), ("seat", "cloth", "furniture"), _classes("8 bed, 58 pillow, 118 cradle, 132 blanket")),
    Group(
        "cloth",
        (170, 0, 255),
        ("bed", "seat", "window", "wall"),
        _classes("19 curtain, 64 blind, 82 towel, 93 apparel, 150 flag"),
    ),
    Group(
        "picture",
        (85, 85, 255),
        ("wall", "building"),
        _classes("23 painting, 28 mirror, 44 signboard, 101 poster, 124 trade name, 131 screen, 145 bulletin board"),
    ),
    Group(
        "light",
        (255, 255, 0),
        ("ceiling", "wall", "building"),
        _classes("37 lamp, 83 light, 86 chandelier, 88 streetlight, 135 sconce, 137 traffic light"),
    ),
    Group(
        "machine",
        (0, 170, 170),
        ("furniture", "thing", "wall"),
        _classes(
            "51 refrigerator, 72 stove, 75 computer, 79 arcade machine, 90 television, 106 conveyer belt, 108 washer, "
            "119 oven, 125 microwave, 130 dishwasher, 134 hood, 140 fan, 142 crt screen, 144 monitor, 147 radiator"
        ),
    ),
    Group("bath", (85, 255, 170), ("machine", "furniture", "wall"), _classes("38 bathtub, 48 sink, 66 toilet, 146 shower")),
    Group(
        "vehicle",
        (255, 0, 255),
        ("thing",),
        _classes("21 car, 77 boat, 81 bus, 84 truck, 91 airplane, 103 van, 104 ship, 117 minibike, 128 bicycle"),
    ),
    Group("person", (0, 0, 0), ("animal",), _classes("13 person")),
    Group("animal", (85, 0, 170), ("person",), _classes("127 animal")),
    Group(
        "thing",
        (64, 64, 64),
        ("furniture", "machine", "vehicle"),
        _classes(
            "41 base, 42 box, 68 book, 99 bottle, 109 plaything, 112 barrel, 113 basket, 116 bag, 120 ball, 121 food, "
            "126 pot, 133 sculpture, 136 vase, 138 tray, 139 ashcan, 143 plate, 148 glass, 149 clock"
        ),
    ),
)
