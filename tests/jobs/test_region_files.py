"""Files for each region: names that any file system takes, and the way back from the files."""

import pytest

from dpst.errors import UserError
from dpst.jobs.region_files import region_files, region_path, region_paths


@pytest.mark.parametrize(
    ("region", "path"),
    [
        ("sky", "a/look_sky.cube"),
        ("light blue", "a/look_light_blue.cube"),
        ("#00ff7f", "a/look_00ff7f.cube"),
        ("../etc", "a/look_etc.cube"),
        ("Himmel/Meer é", "a/look_Himmel_Meer_é.cube"),
        ("/", "a/look_region.cube"),
    ],
)
def test_names_of_regions_in_paths(region, path):
    assert region_path("a/look_{region}.cube", region) == path


def test_two_regions_do_not_share_a_file():
    assert region_paths("{region}.cube", ("a b", "c")) == {"a b": "a_b.cube", "c": "c.cube"}
    with pytest.raises(UserError, match=r"^regions a b and a/b would both be in a_b\.cube; give them other names"):
        region_paths("{region}.cube", ("a b", "a/b"))


def test_files_of_regions_are_found_by_the_name_around_them(tmp_path):
    for name in ("look_sky.cube", "look_sea.cube", "look_sea.png", "other_sky.cube", "look_.cube", "lookxsky.cube"):
        (tmp_path / name).touch()
    (tmp_path / "look_folder.cube").mkdir()
    found = region_files(str(tmp_path / "look_{region}.cube"))
    assert found == {"sea": str(tmp_path / "look_sea.cube"), "sky": str(tmp_path / "look_sky.cube")}
    assert region_files(str(tmp_path / "look.{region}.cube")) == {}
