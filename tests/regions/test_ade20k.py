"""The table of ADE20K's classes."""

import itertools

from dpst.regions.ade20k import CLASSES, GROUPS
from dpst.regions.mask_classes import SAME, colour_distance

# objectInfo150 of the scene parsing benchmark, in its order, ten a line: of each class the first name.
BENCHMARK = """
wall; building; sky; floor; tree; ceiling; road; bed; windowpane; grass
cabinet; sidewalk; person; earth; door; table; mountain; plant; curtain; chair
car; water; painting; sofa; shelf; house; sea; mirror; rug; field
armchair; seat; fence; desk; rock; wardrobe; lamp; bathtub; railing; cushion
base; box; column; signboard; chest of drawers; counter; sand; sink; skyscraper; fireplace
refrigerator; grandstand; path; stairs; runway; case; pool table; pillow; screen door; stairway
river; bridge; bookcase; blind; coffee table; toilet; flower; book; hill; bench
countertop; stove; palm; kitchen island; computer; swivel chair; boat; bar; arcade machine; hovel
bus; towel; light; truck; tower; chandelier; awning; streetlight; booth; television
airplane; dirt track; apparel; pole; land; bannister; escalator; ottoman; bottle; buffet
poster; stage; van; ship; fountain; conveyer belt; canopy; washer; plaything; swimming pool
stool; barrel; basket; waterfall; tent; bag; minibike; cradle; oven; ball
food; step; tank; trade name; microwave; pot; animal; bicycle; lake; dishwasher
screen; blanket; sculpture; hood; sconce; vase; traffic light; tray; ashcan; fan
pier; crt screen; plate; monitor; bulletin board; shower; radiator; glass; clock; flag
"""


def test_every_class_is_in_one_group_under_the_number_of_the_benchmark():
    names = [name.strip() for line in BENCHMARK.strip().splitlines() for name in line.split(";")]
    listed = sorted((number, name) for group in GROUPS for number, name in group.classes.items())
    assert listed == list(enumerate(names, 1)) and len(listed) == CLASSES == 150


def test_lake_river_sea_and_water_are_one():
    """The paper's own example."""
    (group,) = (group for group in GROUPS if "lake" in group.classes.values())
    assert {"lake", "river", "sea", "water"} <= set(group.classes.values())


def test_kin_are_other_groups():
    names = [group.name for group in GROUPS]
    assert len(set(names)) == len(names)
    for group in GROUPS:
        assert set(group.kin) <= set(names) - {group.name} and len(set(group.kin)) == len(group.kin)


def test_no_two_colours_are_read_as_one():
    assert all(colour_distance(one.colour, other.colour) > SAME for one, other in itertools.combinations(GROUPS, 2))
