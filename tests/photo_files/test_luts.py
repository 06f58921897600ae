"""LUTs: what they do to colours, and files of ours, of others and of nobody's."""

import itertools

import numpy as np
import pytest
from PIL import Image

from photo_files.luts import Lut, check_lut_writable, tetrahedra
from photo_options import UserError


def colours(count=200, seed=0):
    return np.random.default_rng(seed).random((count, 3), dtype=np.float32)


def random_lut(size=5, seed=0):
    return Lut(np.random.default_rng(seed).random((size, size, size, 3), dtype=np.float32))


def cube(tmp_path, text, name="a.cube", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return str(path)


def rows(*shape):
    return "\n".join(f"{r} {g} {b}" for r, g, b in np.random.default_rng(1).random(shape).reshape(-1, 3))


def by_hand(table, colour):
    """Tetrahedral interpolation of one colour, in order from the dark corner along the channel that is furthest."""
    size = len(table)
    position = np.asarray(colour, np.float64) * (size - 1)
    corner = np.minimum(position.astype(int), size - 2)
    rest = position - corner
    value = table[tuple(corner)].astype(np.float64)
    for channel in np.argsort(-rest, kind="stable"):
        before = table[tuple(corner)].astype(np.float64)
        corner[channel] += 1
        value += rest[channel] * (table[tuple(corner)] - before)
    return value


# Looking up


def test_the_identity_changes_nothing():
    image = colours(24).reshape(4, 6, 3)
    np.testing.assert_allclose(Lut.identity(17)(image), image, atol=1e-6)


def test_nodes_get_the_colours_of_the_table():
    lut = random_lut()
    np.testing.assert_allclose(lut(Lut.identity(5).table), lut.table, atol=1e-5)


def test_between_nodes_each_colour_is_interpolated_in_its_tetrahedron():
    lut = random_lut()
    image = np.concatenate([colours(), np.float32(list(itertools.product((0, 0.3, 0.7, 1), repeat=3)))])  # with ties
    np.testing.assert_allclose(lut(image), [by_hand(lut.table, colour) for colour in image], atol=1e-5)


def test_weights_make_up_each_colour():
    position = 4 * colours().astype(np.float64)
    nodes, weights = tetrahedra(position, 5)
    places = np.stack([nodes // 25, nodes // 5 % 5, nodes % 5], -1)
    assert weights.min() >= 0 and nodes.min() >= 0 and nodes.max() < 125
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose((places * weights[..., None]).sum(1), position)


def test_large_photos_are_looked_up_in_parts():
    lut, image = random_lut(), colours(200_000)
    whole = lut(image)
    np.testing.assert_array_equal(whole[150_000:150_100], lut(image[150_000:150_100]))


def test_curves_change_each_channel_for_itself():
    table = np.float32([(0, 1, 0.5), (0.2, 0.5, 0.5), (1, 0, 0.5)])
    np.testing.assert_allclose(Lut(table)(np.float32([[0.25, 0.75, 0.1]])), [[0.1, 0.25, 0.5]], atol=1e-6)


@pytest.mark.parametrize("table", [Lut.identity(3).table, np.linspace(0, 1, 4, dtype=np.float32)[:, None].repeat(3, 1)])
def test_colours_outside_the_domain_get_what_its_ends_get(table):
    lut = Lut(table, (0.25, 0.0, 0.0), (0.75, 2.0, 1.0))
    np.testing.assert_allclose(
        lut(np.float32([[0.1, 0.5, 0.5], [0.5, 1, 0.2], [0.9, 0, 1]])), [(0, 0.25, 0.5), (0.5, 0.5, 0.2), (1, 0, 1)]
    )


# Files of our own


@pytest.mark.parametrize("lut", [random_lut(4), Lut(colours(7)), Lut(colours(7), (-0.5, 0.0, 0.125), (1.5, 2.0, 0.875))])
def test_a_cube_comes_back_as_it_was(lut, tmp_path):
    path = str(tmp_path / "a.cube")
    Lut(lut.table, lut.low, lut.high, 'a "good" look', ("one", "two")).write(path)
    back = Lut.read(path)
    np.testing.assert_allclose(back.table, lut.table, atol=1e-6)
    assert (back.low, back.high) == (lut.low, lut.high)
    assert (back.title, back.comments) == ("a 'good' look", ("one", "two"))


def test_red_runs_fastest_in_a_cube(tmp_path):
    path = tmp_path / "a.cube"
    Lut.identity(2).write(str(path))
    lines = [line for line in path.read_text().splitlines() if line[0].isdigit()]
    assert [line.split()[0][0] for line in lines] == list("01010101")
    assert [line.split()[2][0] for line in lines] == list("00001111")


def test_a_haldclut_comes_back_as_it_was(tmp_path):
    lut, path = random_lut(9), str(tmp_path / "a.png")
    lut.write(path)
    with Image.open(path) as picture:
        assert picture.size == (27, 27)
    np.testing.assert_allclose(Lut.read(path).table, lut.table, atol=1 / 65535)


@pytest.mark.parametrize(
    ("lut", "side"), [(Lut.identity(17), 512), (Lut.identity(65), 729), (Lut(np.linspace(0, 1, 5)[:, None].repeat(3, 1)), 512)]
)
def test_other_tables_are_made_finer_for_a_haldclut(lut, side, tmp_path):
    path = str(tmp_path / "a.png")
    lut.write(path)
    with Image.open(path) as picture:
        assert picture.size == (side, side)
    image = colours()
    np.testing.assert_allclose(Lut.read(path)(image), lut(image), atol=1e-4)


def test_a_haldclut_of_8_bits_is_read_with_red_fastest(tmp_path):
    levels = np.rint(np.linspace(0, 255, 9)).astype(np.uint8)
    flat = [(r, g, b) for b in levels for g in levels for r in levels]
    Image.fromarray(np.array(flat, np.uint8).reshape(27, 27, 3)).save(tmp_path / "a.png")
    image = colours()
    np.testing.assert_allclose(Lut.read(str(tmp_path / "a.png"))(image), image, atol=0.6 / 255)


# Files of others


def test_comments_blank_lines_and_all_usual_ends_of_lines(tmp_path):
    table = colours(8)
    numbers = [" ".join(map(str, row)) for row in table]
    lines = [
        "\ufeff# made by hand",
        "",
        'TITLE "x"',
        "LUT_3D_SIZE 2",
        "  ",
        "# the table",
        *numbers[:4],
        "# half",
        "",
        *numbers[4:],
        "",
    ]
    for end in ("\n", "\r\n", "\r"):
        lut = Lut.read(cube(tmp_path, end.join(lines)))
        np.testing.assert_allclose(lut.table[1, 0, 1], table[5], atol=1e-7)
        assert lut.title == "x"


def test_domain_and_resolves_range(tmp_path):
    lut = Lut.read(cube(tmp_path, f"LUT_1D_SIZE 3\nDOMAIN_MIN -1 0 0\nDOMAIN_MAX 1 2 3e0\n{rows(3, 3)}"))
    assert (lut.low, lut.high) == ((-1, 0, 0), (1, 2, 3))
    lut = Lut.read(cube(tmp_path, f"LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE -0.5 2\n{rows(8, 3)}"))
    assert (lut.low, lut.high) == ((-0.5,) * 3, (2,) * 3)
    assert lut.table.shape == (2, 2, 2, 3)


BAD_CUBES = {
    "": "has no LUT_1D_SIZE or LUT_3D_SIZE before its table; give a .cube file",
    "0 0 0\n": "has no LUT_1D_SIZE or LUT_3D_SIZE before its table; give a .cube file",
    "\x89PNG\r\n": "has the line '\x89PNG', no part of a .cube file; save it anew",
    "LUT_3D_SIZE 2\nLUT_1D_SIZE 2\n": "has two tables, LUT_3D_SIZE and LUT_1D_SIZE; save it with one",
    "LUT_3D_SIZE 257\n": "has LUT_3D_SIZE 257, not a number from 2 to 256; save it anew",
    "LUT_3D_SIZE 1\n": "has LUT_3D_SIZE 1, not a number from 2 to 256; save it anew",
    "LUT_1D_SIZE 99999999999999999999\n": "has LUT_1D_SIZE 99999999999999999999, not a number from 2 to 65536; save it anew",
    "LUT_3D_SIZE two\n": "has LUT_3D_SIZE two, not a number from 2 to 256; save it anew",
    "LUT_3D_SIZE\n": "has LUT_3D_SIZE , not a number from 2 to 256; save it anew",
    "LUT_3D_SIZE 2\nDOMAIN_MIN 0 0\n": "has DOMAIN_MIN 0 0, not 3 numbers up to 1e+06; save it anew",
    "LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 0 2e44\n": "has LUT_1D_INPUT_RANGE 0 2e44, not 2 numbers up to 1e+06; save it anew",
    "LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 0 1e-40\n0 0 0\n1 1 1\n": "has a domain from (0.0, 0.0, 0.0) to (1e-40, 1e-40, 1e-40), "
    "which is empty; save it anew",
    "LUT_3D_SIZE 2\nDOMAIN_MAX 1 1 inf\n": "has DOMAIN_MAX 1 1 inf, not 3 numbers up to 1e+06; save it anew",
    "LUT_3D_SIZE 2\nDOMAIN_MAX 0 1 1\n": "has a domain from (0.0, 0.0, 0.0) to (0.0, 1.0, 1.0), which is empty; save it anew",
    "LUT_3D_SIZE 2\n": "has 0 rows of 3 numbers, not 8 rows of 3 as LUT_3D_SIZE 2 promises; get a whole copy of it",
    "LUT_3D_SIZE 2\n"
    + 7 * "0 0 0\n": "has 7 rows of 3 numbers, not 8 rows of 3 as LUT_3D_SIZE 2 promises; get a whole copy of it",
    "LUT_3D_SIZE 2\n" + 9 * "0 0 0\n": "has more rows, not 8 rows of 3 as LUT_3D_SIZE 2 promises; get a whole copy of it",
    "LUT_3D_SIZE 2\n" + 8 * "0 0\n": "has 8 rows of 2 numbers, not 8 rows of 3 as LUT_3D_SIZE 2 promises; get a whole copy of it",
    "LUT_3D_SIZE 2\n" + 7 * "0 0 0\n" + "0 nan 0\n": "has numbers that are not finite or above 1e+06; get a whole copy of it",
    "LUT_3D_SIZE 2\n0 0 x\n": "is damaged (could not convert string 'x' to float32 at row 0, column 3.); get a whole copy of it",
    "LUT_3D_SIZE 2\n0 0 0\n0 0\n": "is damaged (the number of columns changed from 3 to 2 at row 2); get a whole copy of it",
    "LUT_3D_SIZE 2\nLUT_IN_VIDEO_RANGE\n": "has the line 'LUT_IN_VIDEO_RANGE', no part of a .cube file; save it anew",
    "LUT_1D_SIZE 2\n" + 2 * "0 0 0\n" + 300_000 * "#\n": "has 600026 bytes, too many for LUT_1D_SIZE 2; save it anew",
    2000 * "#\n": "has no LUT_1D_SIZE or LUT_3D_SIZE before its table; give a .cube file",
}


@pytest.mark.parametrize("text", BAD_CUBES)
def test_damaged_cubes_are_refused_in_a_line(text, tmp_path):
    path = cube(tmp_path, text, encoding="latin-1" if text.startswith("\x89") else "utf-8")
    with pytest.raises(UserError) as error:
        Lut.read(path)
    expected = BAD_CUBES[text].replace("\x89", "\ufffd")
    assert str(error.value) == f"LUT {path} {expected}"


def test_any_bytes_are_a_lut_or_refused_in_a_line(tmp_path):
    """Damage of every kind to a good file: bytes changed, cut out and put in."""
    random_lut(3).write(str(tmp_path / "good.cube"))
    random_lut(9).write(str(tmp_path / "good.png"))
    rng = np.random.default_rng(0)
    for name, count in (("good.cube", 300), ("good.png", 100)):
        good = (tmp_path / name).read_bytes()
        for number in range(count):
            start, length = rng.integers(len(good)), rng.integers(8)
            put = rng.bytes(rng.integers(8)) if number % 2 else bytes(rng.choice(list(b"0 1.e#-\nn9"), rng.integers(8)).tolist())
            path = tmp_path / f"bad{name[4:]}"
            path.write_bytes(good[:start] + put + good[start + length :])
            try:
                lut = Lut.read(str(path))
            except UserError as error:
                assert "\n" not in str(error) and "; " in str(error)
            else:
                assert np.isfinite(lut.table).all()


@pytest.mark.parametrize(("size", "message"), [((27, 28), "27x28 pixels, no HaldCLUT"), ((30, 30), "30x30 pixels, no HaldCLUT")])
def test_pictures_that_are_no_haldclut(size, message, tmp_path):
    path = str(tmp_path / "a.png")
    Image.new("RGB", size).save(path)
    with pytest.raises(UserError, match=f"^LUT {path} has {message}, which has 216x216, 343x343, 512x512 and so on; give one$"):
        Lut.read(path)


def test_pictures_too_large_for_a_haldclut_are_not_decoded(tmp_path):
    path = str(tmp_path / "a.png")
    Image.new("L", (4100, 4100)).save(path)
    with pytest.raises(UserError, match=r"a\.png has 4100x4100 pixels, more than 16\.7772 million"):
        Lut.read(path)


@pytest.mark.parametrize(
    ("name", "message"), [("none.cube", "No such file"), ("none.png", "does not exist"), ("a.3dl", "unknown extension")]
)
def test_files_that_are_not_there_or_of_another_kind(name, message, tmp_path):
    with pytest.raises(UserError, match=message):
        Lut.read(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "message"), [("a.3dl", "unknown extension '.3dl'; use one of .cube, .png"), ("file/a.cube", "cannot be written")]
)
def test_places_where_a_lut_cannot_be_written(name, message, tmp_path):
    path = str(tmp_path / name)
    (tmp_path / "file").touch()
    for function in (check_lut_writable, Lut.identity(2).write):
        with pytest.raises(UserError, match=message):
            function(path)


def test_a_lut_replaces_a_file_whole(tmp_path):
    path = cube(tmp_path, "old")
    Lut.identity(2).write(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.cube"]
    assert Lut.read(path).table.shape == (2, 2, 2, 3)
